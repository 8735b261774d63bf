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
        using ModelSource source = ModelSource.Open(folder);
        return new FloatModel(source.Name, source.Config, source.Checkpoint);
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
        if (!source.IsInt8(name))
        {
            IMatrixRows matrix = PackedMatrices.Open(source, name, rows, columns);
            return
            [
                .. Enumerable
                    .Range(0, rows)
                    .Select(r =>
                    {
                        var row = new float[columns];
                        matrix.Floats(r, row);
                        return Rounded(row);
                    }),
            ];
        }
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

/// <summary>A sequence of a <see cref="FloatModel"/>.</summary>
internal sealed class FloatSequence : ITokenSequence
{
    private readonly FloatModel _model;
    private readonly List<float[]>[] _keys,
        _values; // per layer, one array of all heads per position

    public FloatSequence(FloatModel model, int capacity)
    {
        (_model, Capacity) = (model, capacity);
        _keys = [.. model.Layers.Select(_ => new List<float[]>())];
        _values = [.. model.Layers.Select(_ => new List<float[]>())];
        Hidden = new float[model.Layers.Length][];
    }

    public int Length { get; private set; }
    public int Capacity { get; }

    /// <summary>What each layer gave for the last token.</summary>
    public float[][] Hidden { get; }

    public void Forward(ReadOnlySpan<int> tokens, Span<float> lastLogits)
    {
        if (tokens.Length > Capacity - Length)
            throw new ArgumentException($"expected at most {Capacity - Length} more tokens, got {tokens.Length}", nameof(tokens));
        foreach (int token in tokens)
            Step(token);
        _model.Logits(Hidden[^1], lastLogits);
    }

    public void ForwardAll(ReadOnlySpan<int> tokens, Span<float> allLogits)
    {
        for (int i = 0; i < tokens.Length; i++)
            Forward(tokens.Slice(i, 1), allLogits.Slice(i * _model.VocabularySize, _model.VocabularySize));
    }

    public void Truncate(int length)
    {
        foreach (List<float[]> kept in _keys.Concat(_values))
            kept.RemoveRange(length, Length - length);
        Length = length;
    }

    public ITokenSequence Fork()
    {
        var copy = new FloatSequence(_model, Capacity) { Length = Length };
        for (int i = 0; i < _keys.Length; i++)
        {
            copy._keys[i].AddRange(_keys[i]);
            copy._values[i].AddRange(_values[i]);
        }
        return copy;
    }

    public void Dispose() { }

    private void Step(int token)
    {
        Qwen3Config c = _model.Config;
        float[] hidden = _model.Embedding(token).ToArray();
        for (int i = 0; i < _model.Layers.Length; i++)
        {
            FloatModel.Layer layer = _model.Layers[i];
            float[] x = FloatModel.Norm(hidden, layer.AttentionNorm, c.RmsNormEpsilon);
            float[] query = FloatModel.Multiply(layer.Query, x),
                key = FloatModel.Multiply(layer.Key, x);
            Turn(query, layer.QueryNorm);
            Turn(key, layer.KeyNorm);
            _keys[i].Add(key);
            _values[i].Add(FloatModel.Multiply(layer.Value, x));
            Add(hidden, FloatModel.Multiply(layer.Output, Attend(query, _keys[i], _values[i])));
            x = FloatModel.Norm(hidden, layer.FeedForwardNorm, c.RmsNormEpsilon);
            float[] gate = FloatModel.Multiply(layer.Gate, x),
                up = FloatModel.Multiply(layer.Up, x);
            for (int j = 0; j < gate.Length; j++)
                gate[j] = gate[j] / (1 + MathF.Exp(-gate[j])) * up[j];
            Add(hidden, FloatModel.Multiply(layer.Down, gate));
            Hidden[i] = [.. hidden];
        }
        Length++;
    }

    private void Turn(float[] heads, float[] norm)
    {
        Qwen3Config c = _model.Config;
        int half = c.HeadDimension / 2;
        for (int start = 0; start < heads.Length; start += c.HeadDimension)
        {
            float[] x = FloatModel.Norm(heads.AsSpan(start, c.HeadDimension), norm, c.RmsNormEpsilon);
            for (int i = 0; i < half; i++)
            {
                double angle = Length * Math.Pow(c.RopeTheta, -2.0 * i / c.HeadDimension);
                float cosine = (float)Math.Cos(angle),
                    sine = (float)Math.Sin(angle);
                heads[start + i] = x[i] * cosine - x[i + half] * sine;
                heads[start + i + half] = x[i + half] * cosine + x[i] * sine;
            }
        }
    }

    private float[] Attend(float[] query, List<float[]> keys, List<float[]> values)
    {
        Qwen3Config c = _model.Config;
        int width = c.HeadDimension,
            group = c.Heads / c.KeyValueHeads;
        var context = new float[query.Length];
        var weights = new float[keys.Count];
        for (int head = 0; head < c.Heads; head++)
        {
            int from = head / group * width;
            for (int p = 0; p < keys.Count; p++)
                weights[p] = TensorPrimitives.Dot(query.AsSpan(head * width, width), keys[p].AsSpan(from, width)) / MathF.Sqrt(width);
            TensorPrimitives.SoftMax(weights, weights);
            Span<float> output = context.AsSpan(head * width, width);
            for (int p = 0; p < keys.Count; p++)
                TensorPrimitives.MultiplyAdd(values[p].AsSpan(from, width), weights[p], output, output);
        }
        return context;
    }

    private static void Add(float[] x, float[] y) => TensorPrimitives.Add(x, y, x);
}
