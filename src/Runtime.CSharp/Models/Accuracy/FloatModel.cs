using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Models.Accuracy;

/// <summary>
/// Qwen3 in float32 with plain loops: the same weights as <see cref="CpuModel"/> (its INT8 weights times their scales,
/// the head included where it is the embedding's), but nothing else is rounded: activations, keys and values stay float32.
/// What the engine differs by is what its roundings cost. Slow; for measuring only.
/// </summary>
public sealed class FloatModel : ITokenModel
{
    private readonly float[][] _embedding,
        _head;
    private readonly float[] _finalNorm;

    private FloatModel(string name, Qwen3Config config, Checkpoint source)
    {
        (Name, Config) = (name, config);
        long[] table = [config.VocabularySize, config.HiddenSize];
        _embedding = Split(source.Floats("model.embed_tokens.weight", table), config.HiddenSize);
        _head = config.TieWordEmbeddings
            ? [.. _embedding.Select(Rounded)]
            : Matrix(source, "lm_head", config.VocabularySize, config.HiddenSize);
        _finalNorm = source.Floats("model.norm.weight", config.HiddenSize);
        Layers = [.. Enumerable.Range(0, config.Layers).Select(i => new Layer(config, source, $"model.layers.{i}."))];
    }

    public string Name { get; }
    public Qwen3Config Config { get; }
    public int VocabularySize => Config.VocabularySize;
    public int MaxPositions => Config.MaxPositions;
    internal Layer[] Layers { get; }

    /// <summary>Loads a folder as <see cref="CpuModel.Load"/> does.</summary>
    /// <exception cref="ToolkitException">A file is missing or malformed, or describes another kind of model.</exception>
    public static FloatModel Load(string folder)
    {
        Qwen3Config config = Qwen3Config.Read(Path.Combine(folder, "config.json"));
        using Checkpoint source = Checkpoint.Open(folder);
        return new FloatModel(Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder))), config, source);
    }

    public ITokenSequence NewSequence(int capacity) => new FloatSequence(this, capacity);

    public void ForwardBatch(ReadOnlySpan<SequenceStep> steps, Span<float> logits)
    {
        for (int i = 0; i < steps.Length; i++)
            steps[i].Sequence.Forward(steps[i].Tokens.Span, logits.Slice(i * VocabularySize, VocabularySize));
    }

    public void Dispose() { }

    /// <summary>A token's row of the embedding.</summary>
    internal ReadOnlySpan<float> Embedding(int token) => _embedding[token];

    /// <summary>Logits of what the last layer gave.</summary>
    internal void Logits(float[] hidden, Span<float> logits)
    {
        float[] normed = Norm(hidden, _finalNorm, Config.RmsNormEpsilon);
        for (int token = 0; token < VocabularySize; token++)
            logits[token] = TensorPrimitives.Dot<float>(_head[token], normed);
    }

    internal static float[] Norm(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, float epsilon)
    {
        var y = new float[x.Length];
        TensorPrimitives.Multiply(x, 1 / MathF.Sqrt(TensorPrimitives.SumOfSquares(x) / x.Length + epsilon), y);
        TensorPrimitives.Multiply(y, weight, y);
        return y;
    }

    internal static float[] Multiply(float[][] matrix, float[] x) => [.. matrix.Select(row => TensorPrimitives.Dot<float>(row, x))];

    /// <summary>The weights that the engine has for a matrix: INT8 times scale, whether the file or the engine rounded them.</summary>
    private static float[][] Matrix(Checkpoint source, string name, int rows, int columns)
    {
        if (source.TypeOf(name + ".weight") != TensorType.I8)
            return [.. Split(source.Floats(name + ".weight", rows, columns), columns).Select(Rounded)];
        sbyte[] values = source.Bytes(name + ".weight", rows, columns);
        float[] scales = source.Floats(name + ".weight_scale", rows, 1);
        return
        [
            .. Enumerable
                .Range(0, rows)
                .Select(r => Enumerable.Range(0, columns).Select(c => values[r * columns + c] * scales[r]).ToArray()),
        ];
    }

    private static float[] Rounded(float[] row)
    {
        var values = new sbyte[row.Length];
        float scale = Int8Matrix.Round(row, values);
        return [.. values.Select(v => v * scale)];
    }

    private static float[][] Split(float[] values, int columns) => [.. values.Chunk(columns)];

    internal sealed class Layer(Qwen3Config c, Checkpoint source, string prefix)
    {
        public readonly float[] AttentionNorm = source.Floats(prefix + "input_layernorm.weight", c.HiddenSize);
        public readonly float[] FeedForwardNorm = source.Floats(prefix + "post_attention_layernorm.weight", c.HiddenSize);
        public readonly float[] QueryNorm = source.Floats(prefix + "self_attn.q_norm.weight", c.HeadDimension);
        public readonly float[] KeyNorm = source.Floats(prefix + "self_attn.k_norm.weight", c.HeadDimension);
        public readonly float[][] Query = Matrix(source, prefix + "self_attn.q_proj", c.Heads * c.HeadDimension, c.HiddenSize);
        public readonly float[][] Key = Matrix(source, prefix + "self_attn.k_proj", c.KeyValueHeads * c.HeadDimension, c.HiddenSize);
        public readonly float[][] Value = Matrix(source, prefix + "self_attn.v_proj", c.KeyValueHeads * c.HeadDimension, c.HiddenSize);
        public readonly float[][] Output = Matrix(source, prefix + "self_attn.o_proj", c.HiddenSize, c.Heads * c.HeadDimension);
        public readonly float[][] Gate = Matrix(source, prefix + "mlp.gate_proj", c.IntermediateSize, c.HiddenSize);
        public readonly float[][] Up = Matrix(source, prefix + "mlp.up_proj", c.IntermediateSize, c.HiddenSize);
        public readonly float[][] Down = Matrix(source, prefix + "mlp.down_proj", c.HiddenSize, c.IntermediateSize);
    }
}
