namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A model's weights as the CPU engine holds them: matrices in INT8 with a scale per output channel, norms in float32,
/// the embedding as the checkpoint has it. Matrices that share their input are stored as one.
/// </summary>
internal sealed class CpuWeights : IDisposable
{
    /// <summary>A head of fewer bytes is not halved: it stays in the caches between two tokens.</summary>
    internal long WorthHalving { get; set; } = 8 << 20;

    private readonly List<IDisposable> _owned = [];
    private readonly Lazy<SplitHead?> _splitHead;

    public EmbeddingTable Embedding { get; }
    public LayerWeights[] Layers { get; }
    public AlignedBuffer<float> FinalNorm { get; }
    public Int8Matrix Head { get; }

    private CpuWeights(Qwen3Config config, IWeightSource source, KernelSet kernels)
    {
        _splitHead = new(() => SplitHead.Supported && Head!.Bytes >= WorthHalving ? Own(new SplitHead(Head)) : null);
        try
        {
            Head = Own(new Int8Matrix(config.VocabularySize, config.HiddenSize, kernels));
            Embedding = Own(
                source.Embedding("model.embed_tokens", config.VocabularySize, config.HiddenSize, config.TieWordEmbeddings ? Head : null)
            );
            if (!config.TieWordEmbeddings)
                source.Fill(Head, 0, "lm_head", config.VocabularySize);
            FinalNorm = Norm(source, "model.norm", config.HiddenSize);
            Layers = new LayerWeights[config.Layers];
            for (int i = 0; i < Layers.Length; i++)
                Layers[i] = ReadLayer(config, source, kernels, $"model.layers.{i}.");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Reads every tensor that the configuration asks for; others in the checkpoint are left alone.</summary>
    /// <exception cref="ToolkitException">A tensor is missing or has another shape or type.</exception>
    public static CpuWeights Read(Qwen3Config config, Checkpoint source, KernelSet kernels) =>
        new(config, new CheckpointWeights(source), kernels);

    /// <summary>Random weights of the configuration's shape, for measuring speed.</summary>
    public static CpuWeights Random(Qwen3Config config, int seed, KernelSet kernels) => new(config, new RandomWeights(seed), kernels);

    /// <summary>The head in halves for greedy decoding, made when it is first asked for; null where it would not pay.</summary>
    public SplitHead? SplitHead => _splitHead.Value;

    /// <summary>Bytes that one token reads when it is decoded alone: all matrices.</summary>
    public long BytesPerToken => Head.Bytes + LayerBytes;

    /// <summary>The same where only the token with the greatest logit is wanted.</summary>
    public long BytesPerGreedyToken => (SplitHead?.Bytes ?? Head.Bytes) + LayerBytes;

    private long LayerBytes =>
        Layers.Sum(layer => layer.Attention.Bytes + layer.AttentionOutput.Bytes + layer.GateUp.Bytes + layer.Down.Bytes);

    public void Dispose()
    {
        foreach (IDisposable item in _owned)
            item.Dispose();
        _owned.Clear();
    }

    private LayerWeights ReadLayer(Qwen3Config config, IWeightSource source, KernelSet kernels, string prefix)
    {
        int hidden = config.HiddenSize,
            width = config.HeadDimension;
        int queries = config.Heads * width,
            keys = config.KeyValueHeads * width;
        source.Require(prefix + "self_attn.q_proj", queries, hidden);
        source.Require(prefix + "self_attn.k_proj", keys, hidden);
        source.Require(prefix + "mlp.gate_proj", config.IntermediateSize, hidden);
        var attention = Own(new Int8Matrix(queries + 2 * keys, hidden, kernels));
        source.Fill(attention, 0, prefix + "self_attn.q_proj", queries);
        source.Fill(attention, queries, prefix + "self_attn.k_proj", keys);
        source.Fill(attention, queries + keys, prefix + "self_attn.v_proj", keys);
        var output = Own(new Int8Matrix(hidden, queries, kernels));
        source.Fill(output, 0, prefix + "self_attn.o_proj", hidden);
        int inner = config.IntermediateSize,
            padded = Padding.ToBlock(inner); // rows between gate and up stay zero
        var gateUp = Own(new Int8Matrix(2 * padded, hidden, kernels));
        source.Fill(gateUp, 0, prefix + "mlp.gate_proj", inner);
        source.Fill(gateUp, padded, prefix + "mlp.up_proj", inner);
        var down = Own(new Int8Matrix(hidden, inner, kernels));
        source.Fill(down, 0, prefix + "mlp.down_proj", hidden);
        return new LayerWeights(
            Norm(source, prefix + "input_layernorm", hidden),
            attention,
            Norm(source, prefix + "self_attn.q_norm", width),
            Norm(source, prefix + "self_attn.k_norm", width),
            output,
            Norm(source, prefix + "post_attention_layernorm", hidden),
            gateUp,
            down
        );
    }

    private AlignedBuffer<float> Norm(IWeightSource source, string name, int length)
    {
        var buffer = Own(new AlignedBuffer<float>(Padding.ToBlock(length)));
        source.Norm(name, buffer, length);
        return buffer;
    }

    private T Own<T>(T item)
        where T : IDisposable
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
    AlignedBuffer<float> AttentionNorm,
    Int8Matrix Attention,
    AlignedBuffer<float> QueryNorm,
    AlignedBuffer<float> KeyNorm,
    Int8Matrix AttentionOutput,
    AlignedBuffer<float> FeedForwardNorm,
    Int8Matrix GateUp,
    Int8Matrix Down
);
