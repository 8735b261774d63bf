namespace OptimalStopping.Runtime.Models;

/// <summary>A sequence of a <see cref="CpuModel"/>. To be used by one thread at a time.</summary>
internal sealed class CpuSequence : IEngineSequence
{
    private KeyValueCache? _cache;

    public CpuSequence(CpuModel model, int capacity, float[] angles)
    {
        (Model, Capacity, Angles) = (model, capacity, angles);
        _cache = new KeyValueCache(model.Config, capacity);
    }

    public CpuModel Model { get; }
    public int Capacity { get; }
    public int Length { get; internal set; }

    /// <summary>The table of <see cref="Rotary"/>, long enough for this sequence.</summary>
    internal float[] Angles { get; }

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
        var copy = new CpuSequence(Model, Capacity, Angles) { Length = Length };
        copy.Cache.CopyFrom(Cache, Length);
        return copy;
    }

    public void Dispose()
    {
        _cache?.Dispose();
        _cache = null;
    }
}
