using OptimalStopping.Runtime.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>
/// A sequence of a <see cref="TorchModel"/>: keys and values of each layer, [key heads, positions, width], in bfloat16 on
/// its device.
/// </summary>
internal sealed class TorchSequence : IEngineSequence
{
    private Tensor[]? _keys,
        _values;

    public TorchSequence(TorchModel model, int capacity)
    {
        (Model, Capacity) = (model, capacity);
        long positions = LayerPlacement.RoundUp(capacity, LayerPlacement.CacheBlock);
        long[] shape = [model.Config.KeyValueHeads, positions, model.Config.HeadDimension];
        using var scope = NewDisposeScope();
        // Zeros and not what memory held: a masked position has weight zero, and zero times NaN is NaN.
        Tensor Empty(Device device) => zeros(shape, bfloat16, device).DetachFromDisposeScope();
        _keys = [.. model.Devices.Select(Empty)];
        _values = [.. model.Devices.Select(Empty)];
    }

    public TorchModel Model { get; }
    public int Capacity { get; }
    public int Length { get; internal set; }

    ITokenModel IEngineSequence.Owner => Model;
    bool IEngineSequence.InBatch { get; set; }

    void IEngineSequence.ThrowIfDisposed() => _ = Keys(0); // throws when disposed

    internal Tensor Keys(int layer) => (_keys ?? throw new ObjectDisposedException(nameof(TorchSequence)))[layer];

    internal Tensor Values(int layer) => (_values ?? throw new ObjectDisposedException(nameof(TorchSequence)))[layer];

    public void Forward(ReadOnlySpan<int> tokens, Span<float> lastLogits) => Model.Append(this, tokens, lastLogits, all: false);

    public void ForwardAll(ReadOnlySpan<int> tokens, Span<float> allLogits) => Model.Append(this, tokens, allLogits, all: true);

    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length; // what lies behind is masked, and overwritten before it is read again
    }

    public ITokenSequence Fork()
    {
        var copy = new TorchSequence(Model, Capacity) { Length = Length };
        using var quiet = no_grad();
        for (int layer = 0; layer < Model.Config.Layers; layer++)
        {
            copy.Keys(layer).copy_(Keys(layer));
            copy.Values(layer).copy_(Values(layer));
        }
        return copy;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in (_keys ?? []).Concat(_values ?? []))
            tensor.Dispose();
        (_keys, _values) = (null, null);
    }
}
