namespace OptimalStopping.Runtime.Models;

/// <summary>Sees what a layer gives for one token.</summary>
internal delegate void LayerWatch(int layer, ReadOnlySpan<float> hidden);

/// <summary>
/// The layers of Qwen3 over up to <see cref="MostRows"/> tokens of any sequences, with the memory for it. Matrix products
/// take all rows at once and read each weight once; everything else goes row by row or head by head. No step of a row
/// depends on another row, except through the keys and values of earlier positions of its own sequence: that is why a
/// token's logits are the same bits in every company. Steps that are worth it are shared by the <see cref="WorkerPool"/>.
/// One pass belongs to one thread at a time.
/// </summary>
internal sealed unsafe class ForwardPass : IPartedWork, IDisposable
{
    /// <summary>The most rows in one run of the layers; a longer prompt goes in pieces of so many.</summary>
    public const int MostRows = 256;

    /// <summary>Multiplications below which a step ends sooner on one core than a second one could join.</summary>
    private const long WorthSharing = 200_000;

    private enum Step
    {
        LayerInput,
        Product,
        Heads,
        Attention,
        Context,
        FeedForwardInput,
        Inner,
        Final,
    }

    private readonly Qwen3Config _config;
    private readonly CpuWeights _weights;
    private readonly WorkerPool _team;
    private readonly RowQueue _queue = new(MostRows);
    private readonly AttentionSteps _attention;
    private readonly WeightPrefetcher _ahead;
    private readonly PassScratch[] _scratch;
    private PassBuffers _memory;
    private CandidateRows? _search;

    // The present step, which the workers read.
    private Step _step;
    private int _layer,
        _parts,
        _tokens,
        _outputStride;
    private Int8Matrix _matrix;
    private float* _output;

    public ForwardPass(Qwen3Config config, CpuWeights weights, WorkerPool team)
    {
        (_config, _weights, _team, _matrix) = (config, weights, team, weights.Head);
        _attention = new AttentionSteps(config, _queue);
        _memory = new PassBuffers(config, 4);
        _ahead = new WeightPrefetcher(team.Size);
        _scratch = new PassScratch[team.Size];
        for (int i = 0; i < _scratch.Length; i++)
            _scratch[i] = new PassScratch(config);
    }

    /// <summary>
    /// Queues one token; runs the layers when the rows are full. Its logits go to row <paramref name="logitRow"/>, or
    /// nowhere when that is negative.
    /// </summary>
    public void Add(KeyValueCache cache, int token, int position, int logitRow, Span<float> logits)
    {
        _queue.Add(cache, token, position, logitRow);
        if (_queue.Count == MostRows)
            Flush(logits);
    }

    /// <summary>Runs the layers on the queued rows, if any.</summary>
    /// <param name="logits">Receives the wanted rows.</param>
    /// <param name="watch">Sees what each layer gives for the last row; for measuring errors.</param>
    public void Flush(Span<float> logits, LayerWatch? watch = null)
    {
        if (_queue.Count == 0)
            return;
        RunLayers(watch, _weights.Head);
        ComputeLogits(logits);
        _queue.Clear();
    }

    /// <summary>Runs the layers on the queued rows, of which one wants its logits, and chooses the token with the greatest.</summary>
    /// <param name="logits">Room for a row of logits.</param>
    public int FlushGreedily(Span<float> logits)
    {
        int token = -1;
        LookedAt = 0;
        if (_queue.Count > 0) // otherwise the rows were full with the last token, and its logits are there
        {
            SplitHead? head = _weights.SplitHead;
            RunLayers(null, head ?? (IBlocks)_weights.Head);
            if (head is not null)
            {
                PrefetchFor(_weights.Layers[0].Attention);
                _search ??= new CandidateRows(head, _team, this);
                token = _search.Choose(_memory.Quantised);
                LookedAt = _search.Looked;
            }
            if (token < 0)
                ComputeLogits(logits);
            _queue.Clear();
        }
        return token >= 0 ? token : Greedy.Choose(logits[.._config.VocabularySize]);
    }

    private void RunLayers(LayerWatch? watch, IBlocks head)
    {
        if (_queue.Count > _memory.Rows)
        {
            _memory.Dispose();
            _memory = new PassBuffers(_config, Math.Min(MostRows, 2 * _queue.Count));
        }
        for (_layer = 0; _layer < _config.Layers; _layer++)
        {
            LayerWeights layer = _weights.Layers[_layer];
            ByRow(Step.LayerInput, _memory.HiddenStride);
            PrefetchFor(layer.AttentionOutput);
            Multiply(layer.Attention, _memory.Attention.Pointer, _memory.AttentionStride);
            if (_queue.RunsDepend)
                ByRow(Step.Heads, 2 * _memory.AttentionStride);
            // Two products in floats, each of which takes as long as four in bytes; preparing a head takes some 16 per number.
            Share(
                Step.Attention,
                _queue.Runs * _config.KeyValueHeads,
                8L * _queue.Pairs * _config.Heads * _config.HeadDimension
                    + (_queue.RunsDepend ? 0 : 32L * _memory.AttentionStride * _queue.Count)
            );
            ByRow(Step.Context, _memory.ContextStride);
            PrefetchFor(layer.GateUp);
            Multiply(layer.AttentionOutput, _memory.Update.Pointer, _memory.HiddenStride);
            ByRow(Step.FeedForwardInput, _memory.HiddenStride);
            PrefetchFor(layer.Down);
            Multiply(layer.GateUp, _memory.GateUp.Pointer, 2 * _memory.InnerStride);
            ByRow(Step.Inner, 2 * _memory.InnerStride);
            PrefetchFor(_layer + 1 < _config.Layers ? _weights.Layers[_layer + 1].Attention : head);
            Multiply(layer.Down, _memory.Update.Pointer, _memory.HiddenStride);
            if (watch is not null)
                Show(watch);
        }
        ByRow(Step.Final, _memory.HiddenStride);
    }

    private void Show(LayerWatch watch)
    {
        long last = (long)(_queue.Count - 1) * _memory.HiddenStride;
        var values = new float[_config.HiddenSize];
        for (int i = 0; i < values.Length; i++)
            values[i] = _memory.Hidden.Pointer[last + i] + _memory.Update.Pointer[last + i];
        watch(_layer, values);
    }

    /// <summary>Rows of the head that the last greedy choice looked at closer; 0 where it took the whole head.</summary>
    public int LookedAt { get; private set; }

    /// <summary>Forgets queued rows, after a fault.</summary>
    public void Reset() => _queue.Clear();

    public void Dispose()
    {
        _memory.Dispose();
        _search?.Dispose();
        foreach (PassScratch scratch in _scratch)
            scratch.Dispose();
    }

    void IPartedWork.RunPart(int part, int worker)
    {
        if (_step == Step.Product)
            _matrix.Multiply(
                WorkerPool.First(part, _parts, _matrix.Blocks),
                WorkerPool.First(part + 1, _parts, _matrix.Blocks),
                _memory.Quantised,
                _tokens,
                _output,
                _outputStride
            );
        else if (_step == Step.Attention)
            Attend(_queue.Run(part / _config.KeyValueHeads), part % _config.KeyValueHeads, _scratch[worker]);
        else
            RunRow(part, _scratch[worker]);
    }

    private void RunRow(int t, PassScratch scratch)
    {
        LayerWeights layer = _weights.Layers[Math.Min(_layer, _config.Layers - 1)];
        float* hidden = _memory.Hidden.Pointer + (long)t * _memory.HiddenStride;
        float* update = _memory.Update.Pointer + (long)t * _memory.HiddenStride;
        switch (_step)
        {
            case Step.LayerInput:
                if (_layer > 0)
                    VectorMath.Add(hidden, update, _memory.HiddenStride);
                else
                    _weights.Embedding.Read(_queue[t].Token, hidden); // the padding behind it is zero and stays so
                NormAndQuantise(hidden, layer.AttentionNorm, t, scratch);
                break;
            case Step.Heads:
                for (int keyHead = 0; keyHead < _config.KeyValueHeads; keyHead++)
                    _attention.Prepare(layer, _layer, t, keyHead, _memory, scratch);
                break;
            case Step.Context:
                VectorMath.Quantise(
                    _memory.Context.Pointer + (long)t * _memory.ContextStride,
                    _memory.ContextStride,
                    _memory.Quantised.Row(t)
                );
                break;
            case Step.FeedForwardInput:
                VectorMath.Add(hidden, update, _memory.HiddenStride);
                NormAndQuantise(hidden, layer.FeedForwardNorm, t, scratch);
                break;
            case Step.Inner:
                float* gate = _memory.GateUp.Pointer + (long)t * 2 * _memory.InnerStride;
                VectorMath.SwiGlu(gate, gate + _memory.InnerStride, gate, _memory.InnerStride);
                VectorMath.Quantise(gate, _memory.InnerStride, _memory.Quantised.Row(t));
                break;
            case Step.Final:
                VectorMath.Add(hidden, update, _memory.HiddenStride);
                if (_queue[t].Wanted >= 0)
                    NormAndQuantise(hidden, _weights.FinalNorm, _queue[t].Wanted, scratch);
                break;
        }
    }

    private void Attend(RowRun run, int keyHead, PassScratch scratch)
    {
        if (!_queue.RunsDepend)
        {
            run.Cache.Prefetch(_layer, keyHead, _queue[run.First].Position);
            for (int t = run.First; t < run.First + run.Count; t++)
                _attention.Prepare(_weights.Layers[_layer], _layer, t, keyHead, _memory, scratch);
        }
        _attention.Attend(_layer, run, keyHead, _memory, scratch);
    }

    /// <summary>Logits of the rows that want them, which go to consecutive rows of the target.</summary>
    private void ComputeLogits(Span<float> logits)
    {
        int vocabulary = _config.VocabularySize;
        if (_queue.WantedCount == 0)
            return;
        fixed (float* target = logits.Slice(_queue.FirstLogitRow * vocabulary, _queue.WantedCount * vocabulary))
            Multiply(_weights.Head, target, vocabulary, _queue.WantedCount);
    }

    /// <summary>Says what the next product reads.</summary>
    private void PrefetchFor(IBlocks next)
    {
        int parts = _team.PartsOf(next.Blocks);
        for (int worker = 0; worker < _team.Size; worker++)
            _ahead.Set(worker, First(worker), First(worker + 1));

        byte* First(int worker) => next.Start(WorkerPool.First(_team.FirstPart(worker, parts), parts, next.Blocks));
    }

    bool IPartedWork.Prepare(int worker) => _ahead.Advance(worker);

    private void Multiply(Int8Matrix matrix, float* output, int stride) => Multiply(matrix, output, stride, _queue.Count);

    private void Multiply(Int8Matrix matrix, float* output, int stride, int tokens)
    {
        (_matrix, _outputStride, _tokens) = (matrix, stride, tokens);
        _output = output;
        Share(Step.Product, _team.PartsOf(matrix.Blocks), (long)matrix.Rows * matrix.Columns * tokens);
    }

    /// <summary>A step over all rows; <paramref name="values"/> is how many numbers it touches per row, each with some 16 operations.</summary>
    private void ByRow(Step step, int values) => Share(step, _queue.Count, 16L * values * _queue.Count);

    private void Share(Step step, int parts, long multiplications)
    {
        (_step, _parts) = (step, parts);
        if (multiplications >= WorthSharing)
            _team.Run(this, parts);
        else
            for (int part = 0; part < parts; part++)
                ((IPartedWork)this).RunPart(part, 0);
    }

    private void NormAndQuantise(float* x, AlignedBuffer<float> norm, int row, PassScratch scratch)
    {
        VectorMath.RmsNorm(x, norm.Pointer, scratch.Normed.Pointer, _config.HiddenSize, _config.RmsNormEpsilon);
        VectorMath.Quantise(scratch.Normed.Pointer, _memory.HiddenStride, _memory.Quantised.Row(row));
    }
}
