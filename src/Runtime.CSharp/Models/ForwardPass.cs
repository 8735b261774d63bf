using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Models;

/// <summary>Sees what a layer gives for one token.</summary>
internal delegate void LayerWatch(int layer, ReadOnlySpan<float> hidden);

/// <summary>
/// The layers of Qwen3 over up to <see cref="MostRows"/> tokens of any sequences, with the memory for it. Matrix products
/// take all rows at once and read each weight once; everything else goes row by row or head by head. No step of a row
/// depends on another row, except through the keys and values of earlier positions of its own sequence: that is why a
/// token's logits are the same bits in every company. Steps that are worth it are shared by the <see cref="WorkerTeam"/>.
/// One pass belongs to one thread at a time.
/// </summary>
internal sealed unsafe class ForwardPass : IPartedWork, IDisposable
{
    /// <summary>The most rows in one run of the layers; a longer prompt goes in pieces of so many.</summary>
    public const int MostRows = 256;

    /// <summary>Multiplications below which a step ends sooner on one core than a second one could join.</summary>
    private const long WorthSharing = 200_000;

    private enum Step { LayerInput, Product, Heads, Attention, Context, FeedForwardInput, Inner, Final }

    private readonly Qwen3Config _config;
    private readonly CpuWeights _weights;
    private readonly WorkerTeam _team;
    private readonly int _width, _group, _keysAt, _valuesAt;
    private readonly RowQueue _queue = new(MostRows);
    private readonly PassScratch[] _scratch;
    private PassBuffers _memory;

    // The present step, which the workers read.
    private Step _step;
    private int _layer, _parts, _tokens, _outputStride;
    private Int8Matrix _matrix;
    private float* _output;

    public ForwardPass(Qwen3Config config, CpuWeights weights, WorkerTeam team)
    {
        (_config, _weights, _team, _matrix) = (config, weights, team, weights.Head);
        _width = config.HeadDimension;
        _group = config.Heads / config.KeyValueHeads;
        _keysAt = config.Heads * _width;
        _valuesAt = _keysAt + config.KeyValueHeads * _width;
        _memory = new PassBuffers(config, 4);
        _scratch = new PassScratch[team.Size];
        for (int i = 0; i < _scratch.Length; i++) _scratch[i] = new PassScratch(config);
    }

    /// <summary>
    /// Queues one token; runs the layers when the rows are full. Its logits go to row <paramref name="logitRow"/>, or
    /// nowhere when that is negative.
    /// </summary>
    public void Add(CpuSequence sequence, int token, int position, int logitRow, Span<float> logits)
    {
        _queue.Add(sequence, token, position, logitRow);
        if (_queue.Count == MostRows) Flush(logits);
    }

    /// <summary>Runs the layers on the queued rows, if any.</summary>
    /// <param name="logits">Receives the wanted rows.</param>
    /// <param name="watch">Sees what each layer gives for the last row; for measuring errors.</param>
    public void Flush(Span<float> logits, LayerWatch? watch = null)
    {
        if (_queue.Count == 0) return;
        if (_queue.Count > _memory.Rows)
        {
            _memory.Dispose();
            _memory = new PassBuffers(_config, Math.Min(MostRows, 2 * _queue.Count));
        }
        for (_layer = 0; _layer < _config.Layers; _layer++)
        {
            LayerWeights layer = _weights.Layers[_layer];
            ByRow(Step.LayerInput, _memory.HiddenStride);
            Multiply(layer.Attention, _memory.Attention.Pointer, _memory.AttentionStride);
            ByRow(Step.Heads, 2 * _memory.AttentionStride);
            // Two products in floats, each of which takes as long as four in bytes.
            Share(Step.Attention, _queue.Runs * _config.KeyValueHeads, 8L * _queue.Pairs * _config.Heads * _width);
            ByRow(Step.Context, _memory.ContextStride);
            Multiply(layer.AttentionOutput, _memory.Update.Pointer, _memory.HiddenStride);
            ByRow(Step.FeedForwardInput, _memory.HiddenStride);
            Multiply(layer.GateUp, _memory.GateUp.Pointer, 2 * _memory.InnerStride);
            ByRow(Step.Inner, 2 * _memory.InnerStride);
            Multiply(layer.Down, _memory.Update.Pointer, _memory.HiddenStride);
            if (watch is not null) Show(watch);
        }
        ComputeLogits(logits);
        _queue.Clear();
    }

    private void Show(LayerWatch watch)
    {
        long last = (long)(_queue.Count - 1) * _memory.HiddenStride;
        var values = new float[_config.HiddenSize];
        for (int i = 0; i < values.Length; i++) values[i] = _memory.Hidden.Pointer[last + i] + _memory.Update.Pointer[last + i];
        watch(_layer, values);
    }

    /// <summary>Forgets queued rows, after a fault.</summary>
    public void Reset() => _queue.Clear();

    public void Dispose()
    {
        _memory.Dispose();
        foreach (PassScratch scratch in _scratch) scratch.Dispose();
    }

    void IPartedWork.RunPart(int part, int worker)
    {
        if (_step == Step.Product)
            _matrix.Multiply(
                (int)((long)_matrix.Blocks * part / _parts), (int)((long)_matrix.Blocks * (part + 1) / _parts),
                _memory.Quantised, _tokens, _output, _outputStride);
        else if (_step == Step.Attention)
            Attend(_queue.Run(part / _config.KeyValueHeads), part % _config.KeyValueHeads, _scratch[worker]);
        else RunRow(part, _scratch[worker]);
    }

    private void RunRow(int t, PassScratch scratch)
    {
        LayerWeights layer = _weights.Layers[Math.Min(_layer, _config.Layers - 1)];
        float* hidden = _memory.Hidden.Pointer + (long)t * _memory.HiddenStride;
        float* update = _memory.Update.Pointer + (long)t * _memory.HiddenStride;
        switch (_step)
        {
            case Step.LayerInput:
                if (_layer > 0) VectorMath.Add(hidden, update, _memory.HiddenStride);
                else _weights.Embedding.Read(_queue[t].Token, hidden); // the padding behind it is zero and stays so
                NormAndQuantise(hidden, layer.AttentionNorm, t, scratch);
                break;
            case Step.Heads:
                PrepareHeads(layer, t, scratch);
                break;
            case Step.Context:
                VectorMath.Quantise(_memory.Context.Pointer + (long)t * _memory.ContextStride, _memory.ContextStride, _memory.Quantised.Row(t));
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
                if (_queue[t].Wanted >= 0) NormAndQuantise(hidden, _weights.FinalNorm, _queue[t].Wanted, scratch);
                break;
        }
    }

    /// <summary>Norms each head of queries and keys, turns it to its position, and stores keys and values.</summary>
    private void PrepareHeads(LayerWeights layer, int t, PassScratch scratch)
    {
        (CpuSequence sequence, int position) = (_queue[t].Sequence, _queue[t].Position);
        float* queries = _memory.Attention.Pointer + (long)t * _memory.AttentionStride, turned = scratch.Turned.Pointer;
        float scale = 1 / MathF.Sqrt(_width);
        for (int head = 0; head < _config.Heads; head++)
        {
            Turn(queries + head * _width, layer.QueryNorm);
            TensorPrimitives.Multiply(new ReadOnlySpan<float>(turned, _width), scale, new Span<float>(queries + head * _width, _width));
        }
        for (int head = 0; head < _config.KeyValueHeads; head++)
        {
            Turn(queries + _keysAt + head * _width, layer.KeyNorm);
            sequence.Cache.Store(_layer, head, position, turned, queries + _valuesAt + head * _width);
        }

        void Turn(float* head, AlignedBuffer<float> norm)
        {
            Copy(head, scratch.Head.Pointer, _width); // there, zeros follow it up to whole vectors
            VectorMath.RmsNorm(scratch.Head.Pointer, norm.Pointer, turned, _width, _config.RmsNormEpsilon);
            Rotary.Rotate(turned, sequence.Angles, position, _width / 2);
        }
    }

    /// <summary>The queries of some neighbouring tokens that share one head of keys and values.</summary>
    private void Attend(RowRun run, int keyHead, PassScratch scratch)
    {
        KeyValueCache cache = run.Sequence.Cache;
        var head = new Attention.Head(cache.Keys(_layer, keyHead), cache.Values(_layer, keyHead), _width, cache.Positions);
        int last = _queue[run.First + run.Count - 1].Position, scoreStride = Padding.ToLanes(last + 1), padded = Padding.ToLanes(_width);
        float* scores = scratch.Scores((long)Attention.MostQueries * scoreStride);
        float** queries = stackalloc float*[Attention.MostQueries];
        float** outputs = stackalloc float*[Attention.MostQueries];
        int* counts = stackalloc int[Attention.MostQueries];
        for (int j = 0; j < Attention.MostQueries; j++) outputs[j] = scratch.Outputs.Pointer + j * padded;
        for (int begin = 0, all = run.Count * _group; begin < all; begin += Attention.MostQueries)
        {
            int number = Math.Min(Attention.MostQueries, all - begin);
            for (int j = 0; j < number; j++)
            {
                int t = run.First + (begin + j) / _group;
                queries[j] = _memory.Attention.Pointer + (long)t * _memory.AttentionStride + Offset(begin + j);
                counts[j] = _queue[t].Position + 1;
            }
            Attention.Attend(head, queries, counts, number, scores, scoreStride, outputs);
            for (int j = 0; j < number; j++)
            {
                int t = run.First + (begin + j) / _group;
                Copy(outputs[j], _memory.Context.Pointer + (long)t * _memory.ContextStride + Offset(begin + j), _width);
            }
        }

        int Offset(int query) => (keyHead * _group + query % _group) * _width;
    }

    /// <summary>Logits of the rows that want them, which go to consecutive rows of the target.</summary>
    private void ComputeLogits(Span<float> logits)
    {
        ByRow(Step.Final, _memory.HiddenStride);
        int vocabulary = _config.VocabularySize;
        if (_queue.WantedCount == 0) return;
        fixed (float* target = logits.Slice(_queue.FirstLogitRow * vocabulary, _queue.WantedCount * vocabulary))
            Multiply(_weights.Head, target, vocabulary, _queue.WantedCount);
    }

    private void Multiply(Int8Matrix matrix, float* output, int stride) => Multiply(matrix, output, stride, _queue.Count);

    private void Multiply(Int8Matrix matrix, float* output, int stride, int tokens)
    {
        (_matrix, _outputStride, _tokens) = (matrix, stride, tokens);
        _output = output;
        Share(Step.Product, Math.Min(matrix.Blocks, 16 * _team.Size), (long)matrix.Rows * matrix.Columns * tokens);
    }

    /// <summary>A step over all rows; <paramref name="values"/> is how many numbers it touches per row, each with some 16 operations.</summary>
    private void ByRow(Step step, int values) => Share(step, _queue.Count, 16L * values * _queue.Count);

    private void Share(Step step, int parts, long multiplications)
    {
        (_step, _parts) = (step, parts);
        if (multiplications >= WorthSharing) _team.Run(this, parts);
        else
            for (int part = 0; part < parts; part++) ((IPartedWork)this).RunPart(part, 0);
    }

    private void NormAndQuantise(float* x, AlignedBuffer<float> norm, int row, PassScratch scratch)
    {
        VectorMath.RmsNorm(x, norm.Pointer, scratch.Normed.Pointer, _config.HiddenSize, _config.RmsNormEpsilon);
        VectorMath.Quantise(scratch.Normed.Pointer, _memory.HiddenStride, _memory.Quantised.Row(row));
    }

    private static void Copy(float* from, float* to, int length) => new ReadOnlySpan<float>(from, length).CopyTo(new Span<float>(to, length));
}
