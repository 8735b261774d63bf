namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A dense Qwen3 model on the processor, in managed code: INT8 weights, activations rounded to INT8 per 64 values, exact
/// integer sums, everything else in float32 with one fixed order of operations. A token's logits are bitwise the same
/// alone, among other tokens, in a batch, on any number of cores, and with every <see cref="KernelSet"/>. A forward shares
/// steps that are large enough over the process's <see cref="WorkerPool"/>; several threads may each drive their own
/// sequences of one model at the same time.
/// </summary>
public sealed class CpuModel : ITokenModel
{
    private readonly CpuWeights _weights;
    private readonly Rotary _rotary;
    private readonly Stack<ForwardPass> _idle = [];
    private volatile bool _disposed;

    private CpuModel(string name, Qwen3Config config, CpuWeights weights, KernelSet kernels)
    {
        (Name, Config, _weights, Kernels) = (name, config, weights, kernels);
        _rotary = new Rotary(config);
    }

    public string Name { get; }
    public Qwen3Config Config { get; }
    public KernelSet Kernels { get; }
    public int VocabularySize => Config.VocabularySize;
    public int MaxPositions => Config.MaxPositions;

    /// <summary>
    /// Loads a Hugging Face folder: <c>config.json</c> and <c>model.safetensors</c> (or its shards), in F32, F16, BF16 or
    /// INT8 as compressed-tensors stores W8A8; or a <c>.gguf</c> file. Its name becomes the model's name.
    /// </summary>
    /// <param name="folder">The folder or file.</param>
    /// <param name="kernels">The instruction set; the fastest that this processor has, when null.</param>
    /// <exception cref="ToolkitException">A file is missing or malformed, or describes another kind of model.</exception>
    public static CpuModel Load(string folder, KernelSet? kernels = null)
    {
        using ModelSource source = ModelSource.Open(folder);
        kernels ??= KernelSets.Best;
        return new CpuModel(source.Name, source.Config, CpuWeights.Read(source.Config, source.Checkpoint, kernels), kernels);
    }

    /// <summary>A model of this shape with random weights, for measuring speed.</summary>
    public static CpuModel Random(string name, Qwen3Config config, int seed = 1, KernelSet? kernels = null)
    {
        kernels ??= KernelSets.Best;
        return new CpuModel(name, config, CpuWeights.Random(config, seed, kernels), kernels);
    }

    /// <summary>Set while the engine's errors are measured: sees each layer's result for the last token fed.</summary>
    internal LayerWatch? Watch { get; set; }

    /// <summary>For tests: the size from which on the head is halved, to be set before the first greedy forward.</summary>
    internal long WorthHalving
    {
        set => _weights.WorthHalving = value;
    }

    /// <summary>Rows of the head that the last greedy forward looked at closer; 0 where it took the whole head.</summary>
    internal int LookedAt { get; private set; }

    /// <summary>Bytes of weights that decoding one token reads.</summary>
    public long BytesPerToken => _weights.BytesPerToken;

    /// <summary>The same where only the token with the greatest logit is wanted; rows of the head that had to be looked at closer not counted.</summary>
    public long BytesPerGreedyToken => _weights.BytesPerGreedyToken;

    /// <summary>Bytes of keys and values that one more token of context adds to what decoding a token reads.</summary>
    public long CacheBytesPerToken => 2L * Config.Layers * Config.KeyValueHeads * Config.HeadDimension * sizeof(ushort);

    public ITokenSequence NewSequence(int capacity)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, MaxPositions);
        return new CpuSequence(this, capacity, _rotary.Table(capacity));
    }

    public void ForwardBatch(ReadOnlySpan<SequenceStep> steps, Span<float> logits)
    {
        this.CheckLogits(logits, steps.Length);
        this.CheckBatch(steps);
        ForwardPass pass = Rent();
        try
        {
            for (int i = 0; i < steps.Length; i++)
                Queue(pass, (CpuSequence)steps[i].Sequence, steps[i].Tokens.Span, i, all: false, logits);
            pass.Flush(logits);
        }
        finally
        {
            Return(pass);
        }
        for (int i = 0; i < steps.Length; i++)
            ((CpuSequence)steps[i].Sequence).Length += steps[i].Tokens.Length;
    }

    internal void Append(CpuSequence sequence, ReadOnlySpan<int> tokens, Span<float> logits, bool all)
    {
        this.CheckLogits(logits, all ? tokens.Length : 1);
        this.CheckTokens(sequence, tokens);
        ForwardPass pass = Rent();
        try
        {
            Queue(pass, sequence, tokens, 0, all, logits);
            pass.Flush(logits, Watch);
        }
        finally
        {
            Return(pass);
        }
        sequence.Length += tokens.Length;
    }

    internal int AppendGreedily(CpuSequence sequence, ReadOnlySpan<int> tokens, Span<float> logits)
    {
        this.CheckLogits(logits, 1);
        this.CheckTokens(sequence, tokens);
        ForwardPass pass = Rent();
        int token;
        try
        {
            Queue(pass, sequence, tokens, 0, all: false, logits);
            token = pass.FlushGreedily(logits);
            LookedAt = pass.LookedAt;
        }
        finally
        {
            Return(pass);
        }
        sequence.Length += tokens.Length;
        return token;
    }

    /// <summary>Frees the weights. No sequence of this model may be in use, and none works afterwards.</summary>
    public void Dispose()
    {
        lock (_idle)
        {
            if (_disposed)
                return;
            _disposed = true;
            while (_idle.TryPop(out ForwardPass? pass))
                pass.Dispose();
            _weights.Dispose();
        }
    }

    private static void Queue(ForwardPass pass, CpuSequence sequence, ReadOnlySpan<int> tokens, int logitRow, bool all, Span<float> logits)
    {
        for (int j = 0; j < tokens.Length; j++)
        {
            int row =
                all ? logitRow + j
                : j == tokens.Length - 1 ? logitRow
                : -1;
            pass.Add(sequence.Cache, tokens[j], sequence.Length + j, row, logits);
        }
    }

    /// <summary>A pass for this thread; as many exist as ever ran at the same time.</summary>
    private ForwardPass Rent()
    {
        lock (_idle)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_idle.TryPop(out ForwardPass? pass))
                return pass;
        }
        return new ForwardPass(Config, _weights, WorkerPool.Shared);
    }

    private void Return(ForwardPass pass)
    {
        pass.Reset();
        lock (_idle)
        {
            if (_disposed)
                pass.Dispose();
            else
                _idle.Push(pass);
        }
    }
}

/// <summary>A sequence of a <see cref="CpuModel"/>. To be used by one thread at a time.</summary>
internal sealed class CpuSequence : IEngineSequence
{
    private KeyValueCache? _cache;

    public CpuSequence(CpuModel model, int capacity, float[] angles)
    {
        (Model, Capacity) = (model, capacity);
        _cache = new KeyValueCache(model.Config, capacity, angles);
    }

    public CpuModel Model { get; }
    public int Capacity { get; }
    public int Length { get; internal set; }

    ITokenModel IEngineSequence.Owner => Model;
    bool IEngineSequence.InBatch { get; set; }

    void IEngineSequence.ThrowIfDisposed() => _ = Cache; // throws when disposed

    internal KeyValueCache Cache => _cache ?? throw new ObjectDisposedException(nameof(CpuSequence));

    public void Forward(ReadOnlySpan<int> tokens, Span<float> lastLogits) => Model.Append(this, tokens, lastLogits, all: false);

    public int ForwardGreedily(ReadOnlySpan<int> tokens, Span<float> logits) => Model.AppendGreedily(this, tokens, logits);

    public void ForwardAll(ReadOnlySpan<int> tokens, Span<float> allLogits) => Model.Append(this, tokens, allLogits, all: true);

    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length; // what lies behind is overwritten before it is read again
    }

    /// <summary>Holds so many tokens with random keys and values, for measuring speed.</summary>
    internal void Pretend(int length, Random random)
    {
        Cache.Randomise(random);
        Length = length;
    }

    public ITokenSequence Fork()
    {
        var copy = new CpuSequence(Model, Capacity, Cache.Angles) { Length = Length };
        copy.Cache.CopyFrom(Cache, Length);
        return copy;
    }

    public void Dispose()
    {
        _cache?.Dispose();
        _cache = null;
    }
}
