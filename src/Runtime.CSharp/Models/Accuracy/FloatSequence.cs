using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Models.Accuracy;

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
