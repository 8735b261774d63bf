namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The layers of Qwen3 over up to <see cref="MaxRows"/> tokens of any sequences, with the memory for it. Matrix products
/// take all rows at once and read each weight once; everything else goes row by row. No step of a row depends on another
/// row, except through the keys and values of earlier positions of its own sequence: that is why a token's logits are
/// the same bits in every company. One pass belongs to one thread at a time.
/// </summary>
internal sealed unsafe class ForwardPass : IDisposable
{
    /// <summary>Rows that fit the first-level cache together with a block of weights of a small model.</summary>
    public const int MaxRows = 64;

    private readonly Qwen3Config _config;
    private readonly CpuWeights _weights;
    private readonly CpuSequence?[] _sequences = new CpuSequence?[MaxRows];
    private readonly int[] _tokens = new int[MaxRows], _positions = new int[MaxRows], _logitRows = new int[MaxRows];
    private readonly int _hiddenStride, _attentionStride, _contextStride, _innerStride, _segments, _headStride;
    private readonly AlignedBuffer<float> _hidden, _normed, _attention, _context, _gateUp, _inner, _update, _head;
    private readonly AlignedBuffer<ActivationSegment> _quantised;
    private AlignedBuffer<float> _scores = new(256);
    private int _rows;

    public ForwardPass(Qwen3Config config, CpuWeights weights)
    {
        (_config, _weights) = (config, weights);
        int queries = config.Heads * config.HeadDimension, keys = config.KeyValueHeads * config.HeadDimension;
        _hiddenStride = Padding.ToBlock(config.HiddenSize);
        _attentionStride = Padding.ToBlock(queries + 2 * keys);
        _contextStride = Padding.ToBlock(queries);
        _innerStride = Padding.ToBlock(config.IntermediateSize);
        int longest = Math.Max(_hiddenStride, Math.Max(_contextStride, _innerStride));
        _segments = (longest + ActivationSegment.Inputs - 1) / ActivationSegment.Inputs;
        _headStride = Padding.ToLanes(config.HeadDimension);
        _hidden = Rows(_hiddenStride);
        _update = Rows(_hiddenStride);
        _normed = new(_hiddenStride);
        _attention = Rows(_attentionStride);
        _context = Rows(_contextStride);
        _gateUp = Rows(2 * _innerStride);
        _inner = new(_innerStride);
        _head = new(3 * _headStride);
        _quantised = new((long)MaxRows * _segments);

        static AlignedBuffer<float> Rows(int stride) => new((long)MaxRows * stride);
    }

    private ActivationRows Quantised => new(_quantised.Pointer, _segments);

    /// <summary>
    /// Queues one token; runs the layers when the rows are full. Its logits go to row <paramref name="logitRow"/>, or
    /// nowhere when that is negative.
    /// </summary>
    public void Add(CpuSequence sequence, int token, int position, int logitRow, Span<float> logits)
    {
        (_sequences[_rows], _tokens[_rows], _positions[_rows], _logitRows[_rows]) = (sequence, token, position, logitRow);
        if (++_rows == MaxRows) Flush(logits);
    }

    /// <summary>Runs the layers on the queued rows, if any.</summary>
    public void Flush(Span<float> logits)
    {
        if (_rows == 0) return;
        for (int t = 0; t < _rows; t++)
            Span(_weights.Embedding.Pointer + (long)_tokens[t] * _hiddenStride, _hiddenStride).CopyTo(Span(Hidden(t), _hiddenStride));
        for (int layer = 0; layer < _config.Layers; layer++)
        {
            AttentionStep(layer, _weights.Layers[layer]);
            FeedForwardStep(_weights.Layers[layer]);
        }
        HeadStep(logits);
        Array.Clear(_sequences);
        _rows = 0;
    }

    /// <summary>Forgets queued rows, after a fault.</summary>
    public void Reset()
    {
        Array.Clear(_sequences);
        _rows = 0;
    }

    public void Dispose()
    {
        foreach (var buffer in new[] { _hidden, _normed, _attention, _context, _gateUp, _inner, _update, _head, _scores })
            buffer.Dispose();
        _quantised.Dispose();
    }

    private void AttentionStep(int layer, LayerWeights weights)
    {
        for (int t = 0; t < _rows; t++) NormAndQuantise(Hidden(t), weights.AttentionNorm, t);
        weights.Attention.Multiply(Quantised, _rows, _attention.Pointer, _attentionStride);
        for (int t = 0; t < _rows; t++) StoreKeysAndValues(layer, weights, t);
        for (int t = 0; t < _rows; t++)
        {
            Attend(layer, weights, t);
            Quantise(_context.Pointer + (long)t * _contextStride, _contextStride, t);
        }
        weights.AttentionOutput.Multiply(Quantised, _rows, _update.Pointer, _hiddenStride);
        VectorMath.Add(_hidden.Pointer, _update.Pointer, _rows * _hiddenStride);
    }

    private void StoreKeysAndValues(int layer, LayerWeights weights, int t)
    {
        int width = _config.HeadDimension;
        float* keys = _attention.Pointer + (long)t * _attentionStride + _config.Heads * width;
        float* values = keys + _config.KeyValueHeads * width;
        for (int head = 0; head < _config.KeyValueHeads; head++)
            _sequences[t]!.Cache.Store(layer, head, _positions[t], Turned(keys + head * width, weights.KeyNorm, t), values + head * width);
    }

    private void Attend(int layer, LayerWeights weights, int t)
    {
        int width = _config.HeadDimension, group = _config.Heads / _config.KeyValueHeads;
        CpuSequence sequence = _sequences[t]!;
        int count = _positions[t] + 1;
        float* queries = _attention.Pointer + (long)t * _attentionStride, context = _context.Pointer + (long)t * _contextStride;
        float* scores = Scores(count), output = _head.Pointer + 2 * _headStride;
        float scale = 1 / MathF.Sqrt(width);
        for (int head = 0; head < _config.Heads; head++)
        {
            float* query = Turned(queries + head * width, weights.QueryNorm, t);
            for (int i = 0; i < width; i++) query[i] *= scale;
            Attention.Attend(query, sequence.Cache.Keys(layer, head / group), sequence.Cache.Values(layer, head / group),
                count, width, _headStride, scores, output);
            Span(output, width).CopyTo(Span(context + head * width, width));
        }
    }

    /// <summary>One head, normed and turned to its position (Qwen3 norms each head of queries and keys before turning).</summary>
    private float* Turned(float* head, AlignedBuffer<float> norm, int t)
    {
        float* input = _head.Pointer, output = input + _headStride;
        Span(head, _config.HeadDimension).CopyTo(Span(input, _config.HeadDimension));
        VectorMath.RmsNorm(input, norm.Pointer, output, _config.HeadDimension, _config.RmsNormEpsilon);
        Rotary.Rotate(output, _sequences[t]!.Angles, _positions[t], _config.HeadDimension / 2);
        return output;
    }

    private void FeedForwardStep(LayerWeights weights)
    {
        for (int t = 0; t < _rows; t++) NormAndQuantise(Hidden(t), weights.FeedForwardNorm, t);
        weights.GateUp.Multiply(Quantised, _rows, _gateUp.Pointer, 2 * _innerStride);
        for (int t = 0; t < _rows; t++)
        {
            float* gate = _gateUp.Pointer + (long)t * 2 * _innerStride;
            VectorMath.SwiGlu(gate, gate + _innerStride, _inner.Pointer, _innerStride);
            Quantise(_inner.Pointer, _innerStride, t);
        }
        weights.Down.Multiply(Quantised, _rows, _update.Pointer, _hiddenStride);
        VectorMath.Add(_hidden.Pointer, _update.Pointer, _rows * _hiddenStride);
    }

    /// <summary>Logits of the rows that want them. These go to consecutive rows of the target, by the caller's order.</summary>
    private void HeadStep(Span<float> logits)
    {
        int wanted = 0, first = -1;
        for (int t = 0; t < _rows; t++)
        {
            if (_logitRows[t] < 0) continue;
            if (wanted == 0) first = _logitRows[t];
            NormAndQuantise(Hidden(t), _weights.FinalNorm, wanted++);
        }
        if (wanted == 0) return;
        int vocabulary = _config.VocabularySize;
        fixed (float* target = logits.Slice(first * vocabulary, wanted * vocabulary))
            _weights.Head.Multiply(Quantised, wanted, target, vocabulary);
    }

    private void NormAndQuantise(float* x, AlignedBuffer<float> norm, int row)
    {
        VectorMath.RmsNorm(x, norm.Pointer, _normed.Pointer, _config.HiddenSize, _config.RmsNormEpsilon);
        Quantise(_normed.Pointer, _hiddenStride, row);
    }

    private void Quantise(float* x, int length, int row) => VectorMath.Quantise(x, length, Quantised.Row(row));

    private float* Hidden(int row) => _hidden.Pointer + (long)row * _hiddenStride;

    private float* Scores(int count)
    {
        if (_scores.Length < Padding.ToLanes(count))
        {
            _scores.Dispose();
            _scores = new AlignedBuffer<float>(2L * Padding.ToLanes(count));
        }
        return _scores.Pointer;
    }

    private static Span<float> Span(float* start, int length) => new(start, length);
}
