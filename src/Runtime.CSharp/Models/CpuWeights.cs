namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A model's weights as the CPU engine holds them: matrices in INT8 with a scale per output channel, the embedding and
/// the norms in float32. Matrices that share their input are stored as one.
/// </summary>
internal sealed class CpuWeights : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    /// <summary>[vocabulary, hidden], each row padded to whole vectors.</summary>
    public AlignedBuffer<float> Embedding { get; }
    public LayerWeights[] Layers { get; }
    public AlignedBuffer<float> FinalNorm { get; }
    public Int8Matrix Head { get; }

    private CpuWeights(Qwen3Config config, Checkpoint source, KernelSet kernels)
    {
        try
        {
            int hidden = config.HiddenSize, stride = Padding.ToBlock(hidden), vocabulary = config.VocabularySize;
            float[] embedding = source.Floats("model.embed_tokens.weight", vocabulary, hidden);
            Embedding = Own(new AlignedBuffer<float>((long)vocabulary * stride));
            for (int token = 0; token < vocabulary; token++)
                Copy(embedding.AsSpan(token * hidden, hidden), Embedding, (long)token * stride);
            Head = Own(new Int8Matrix(vocabulary, hidden, kernels));
            if (config.TieWordEmbeddings)
                for (int token = 0; token < vocabulary; token++)
                    Head.SetRow(token, embedding.AsSpan(token * hidden, hidden));
            else Fill(Head, 0, source, "lm_head", vocabulary);
            FinalNorm = Norm(source, "model.norm", hidden);
            Layers = new LayerWeights[config.Layers];
            for (int i = 0; i < Layers.Length; i++) Layers[i] = ReadLayer(config, source, kernels, $"model.layers.{i}.");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Reads every tensor that the configuration asks for; others in the checkpoint are left alone.</summary>
    /// <exception cref="ToolkitException">A tensor is missing or has another shape or type.</exception>
    public static CpuWeights Read(Qwen3Config config, Checkpoint source, KernelSet kernels) => new(config, source, kernels);

    public void Dispose()
    {
        foreach (IDisposable item in _owned) item.Dispose();
        _owned.Clear();
    }

    private LayerWeights ReadLayer(Qwen3Config config, Checkpoint source, KernelSet kernels, string prefix)
    {
        int hidden = config.HiddenSize, width = config.HeadDimension;
        int queries = config.Heads * width, keys = config.KeyValueHeads * width;
        var attention = Own(new Int8Matrix(queries + 2 * keys, hidden, kernels));
        Fill(attention, 0, source, prefix + "self_attn.q_proj", queries);
        Fill(attention, queries, source, prefix + "self_attn.k_proj", keys);
        Fill(attention, queries + keys, source, prefix + "self_attn.v_proj", keys);
        var output = Own(new Int8Matrix(hidden, queries, kernels));
        Fill(output, 0, source, prefix + "self_attn.o_proj", hidden);
        int inner = config.IntermediateSize, padded = Padding.ToBlock(inner); // rows between gate and up stay zero
        var gateUp = Own(new Int8Matrix(2 * padded, hidden, kernels));
        Fill(gateUp, 0, source, prefix + "mlp.gate_proj", inner);
        Fill(gateUp, padded, source, prefix + "mlp.up_proj", inner);
        var down = Own(new Int8Matrix(hidden, inner, kernels));
        Fill(down, 0, source, prefix + "mlp.down_proj", hidden);
        return new LayerWeights(
            Norm(source, prefix + "input_layernorm", hidden), attention,
            Norm(source, prefix + "self_attn.q_norm", width), Norm(source, prefix + "self_attn.k_norm", width), output,
            Norm(source, prefix + "post_attention_layernorm", hidden), gateUp, down);
    }

    /// <summary>Rows from <paramref name="first"/> on: INT8 as compressed-tensors stores W8A8, or floats rounded here.</summary>
    private static void Fill(Int8Matrix matrix, int first, Checkpoint source, string name, int rows)
    {
        int columns = matrix.Columns;
        string weight = name + ".weight", scale = name + ".weight_scale";
        if (source.TypeOf(weight) == TensorType.I8)
        {
            if (source.Has(name + ".weight_zero_point"))
                throw new ToolkitException($"{name}.weight_zero_point: expected symmetric INT8 without a zero point, got one");
            sbyte[] values = source.Bytes(weight, rows, columns);
            float[] scales = source.Floats(scale, rows, 1);
            for (int r = 0; r < rows; r++)
                matrix.SetRow(first + r, values.AsSpan(r * columns, columns), scales[r]);
        }
        else
        {
            float[] values = source.Floats(weight, rows, columns);
            for (int r = 0; r < rows; r++)
                matrix.SetRow(first + r, values.AsSpan(r * columns, columns));
        }
    }

    private AlignedBuffer<float> Norm(Checkpoint source, string name, int length)
    {
        var buffer = Own(new AlignedBuffer<float>(Padding.ToBlock(length)));
        Copy(source.Floats(name + ".weight", length), buffer, 0);
        return buffer;
    }

    private static unsafe void Copy(ReadOnlySpan<float> values, AlignedBuffer<float> target, long offset) =>
        values.CopyTo(new Span<float>(target.Pointer + offset, values.Length));

    private T Own<T>(T item) where T : IDisposable
    {
        _owned.Add(item);
        return item;
    }
}

/// <summary>
/// One layer. <paramref name="Attention"/> is [queries; keys; values], <paramref name="GateUp"/> is [gate; up], where up
/// begins at the next multiple of 32 rows.
/// </summary>
internal sealed record LayerWeights(
    AlignedBuffer<float> AttentionNorm, Int8Matrix Attention, AlignedBuffer<float> QueryNorm, AlignedBuffer<float> KeyNorm,
    Int8Matrix AttentionOutput, AlignedBuffer<float> FeedForwardNorm, Int8Matrix GateUp, Int8Matrix Down);
