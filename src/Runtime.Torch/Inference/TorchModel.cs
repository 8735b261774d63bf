using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>
/// A dense Qwen3 model on TorchSharp: the same INT8 arithmetic as <see cref="CpuModel"/> (weights per output channel,
/// activations per token, exact integer sums), on any device that libtorch has, its layers spread over several.
/// </summary>
/// <remarks>
/// Every forward runs on <see cref="LayerPlacement.Rows"/> rows, filled up with idle ones, and each row attends over the
/// whole blocks of <see cref="LayerPlacement.CacheBlock"/> positions that its own position needs. So the shapes that
/// libtorch sees, and by them the kernels and the order of their sums, do not depend on what else is in the batch: a
/// token that is verified has the logits that it would have had alone. 32 rows also satisfy CUDA's INT8 product, which
/// wants more than 16. One forward runs at a time; libtorch uses its own threads inside.
/// </remarks>
public sealed class TorchModel : ITokenModel
{
    private readonly TorchWeights _weights;
    private readonly Lock _running = new();
    private readonly Dictionary<string, Tensor> _angles = [];
    private int _angledPositions;
    private bool _disposed;

    private TorchModel(string name, Qwen3Config config, TorchWeights weights, Device[] devices, bool wide, int group) =>
        (Name, Config, _weights, Devices, Wide, Group) = (name, config, weights, devices, wide, group);

    public string Name { get; }
    public Qwen3Config Config { get; }
    public int VocabularySize => Config.VocabularySize;
    public int MaxPositions => Config.MaxPositions;

    /// <summary>The device of each layer.</summary>
    internal Device[] Devices { get; }

    /// <summary>
    /// Whether attention over the keys and values, which are kept in bfloat16, is computed in float32: on the processor, as
    /// in the managed engine. Where a CUDA device takes part it is computed in bfloat16.
    /// </summary>
    internal bool Wide { get; }

    /// <summary>
    /// Activations that share a scale: 64 on the processor, as in the managed engine; all of a row (0) where a CUDA device
    /// takes part, whose INT8 product is one call then.
    /// </summary>
    internal int Group { get; }

    /// <summary>Makes <c>backend: torch</c> of cascade files known.</summary>
    public static void Register() =>
        StageBackends.Register(new LocalBackend("torch", stage => Load(stage.Path, stage.Devices), anyDevice: true));

    /// <summary>Loads a model folder (or a .gguf file) onto devices.</summary>
    /// <param name="devices"><c>cpu</c>, <c>cuda:0</c>, ...; layers are spread over them evenly, in order.</param>
    /// <exception cref="ToolkitException">
    /// A file is missing or malformed, describes another kind of model, a device is not there, or its memory is too small.
    /// </exception>
    public static TorchModel Load(string path, IReadOnlyList<string> devices) => Load(path, devices, null, null);

    internal static TorchModel Load(string path, IReadOnlyList<string> devices, bool? wide, int? group)
    {
        TorchLibrary.Require();
        using ModelSource source = ModelSource.Open(path);
        Qwen3Config config = source.Config;
        if (config.HeadDimension % 8 != 0) // libtorch's product of scores and values then rounds a row by its place among the rows
            throw new ToolkitException($"{source.Name}: head_dim: expected a multiple of 8 (backend torch), got {config.HeadDimension}");
        TorchDevices.Check(
            source.Name,
            LayerPlacement.Estimate(config, devices, source.EmbeddingBytes, Math.Min(config.MaxPositions, 4096))
        );
        using var quiet = no_grad();
        Device[] placed = [.. LayerPlacement.Place(config.Layers, devices).Select(name => torch.device(name))];
        bool cuda = placed.Any(device => device.type == DeviceType.CUDA);
        return new TorchModel(
            source.Name,
            config,
            TorchWeights.Read(config, source.Checkpoint, placed),
            placed,
            wide ?? !cuda,
            group ?? (cuda ? 0 : 64)
        );
    }

    public ITokenSequence NewSequence(int capacity)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, MaxPositions);
        return new TorchSequence(this, capacity);
    }

    public void ForwardBatch(ReadOnlySpan<SequenceStep> steps, Span<float> logits)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        this.CheckLogits(logits, steps.Length);
        this.CheckBatch(steps);
        lock (_running)
        {
            var pass = new TorchPass(this);
            for (int i = 0; i < steps.Length; i++)
            {
                ReadOnlySpan<int> tokens = steps[i].Tokens.Span;
                var sequence = (TorchSequence)steps[i].Sequence;
                for (int j = 0; j < tokens.Length; j++)
                    pass.Add(sequence, tokens[j], sequence.Length + j, j == tokens.Length - 1 ? i : -1, logits);
            }
            pass.Flush(logits);
        }
        foreach (SequenceStep step in steps)
            ((TorchSequence)step.Sequence).Length += step.Tokens.Length;
    }

    internal void Append(TorchSequence sequence, ReadOnlySpan<int> tokens, Span<float> logits, bool all)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        this.CheckLogits(logits, all ? tokens.Length : 1);
        this.CheckTokens(sequence, tokens);
        lock (_running)
        {
            var pass = new TorchPass(this);
            for (int j = 0; j < tokens.Length; j++)
                pass.Add(
                    sequence,
                    tokens[j],
                    sequence.Length + j,
                    all ? j
                        : j == tokens.Length - 1 ? 0
                        : -1,
                    logits
                );
            pass.Flush(logits);
        }
        sequence.Length += tokens.Length;
    }

    /// <summary>Frees the weights. No sequence of this model may be in use, and none works afterwards.</summary>
    public void Dispose()
    {
        lock (_running)
        {
            if (_disposed)
                return;
            _disposed = true;
            _weights.Dispose();
            foreach (Tensor table in _angles.Values)
                table.Dispose();
        }
    }

    internal TorchWeights Weights => _weights;

    /// <summary>
    /// Cosines and sines of position * theta^(-2i / width) on a device: [positions, 2, width / 2], for at least so many
    /// positions. The table grows by need: a model may allow far more positions than any sequence uses.
    /// </summary>
    internal Tensor Angles(Device device, int positions)
    {
        if (positions > _angledPositions)
        {
            foreach (Tensor table in _angles.Values)
                table.Dispose();
            _angles.Clear();
            _angledPositions = (int)Math.Min(MaxPositions, LayerPlacement.RoundUp(2L * positions, LayerPlacement.CacheBlock));
        }
        string key = device.ToString();
        if (_angles.TryGetValue(key, out Tensor? angles))
            return angles;
        float[] values = RotaryAngles.Table(Config, _angledPositions);
        return _angles[key] = Int8Weight.Place(values, device, _angledPositions, 2, Config.HeadDimension / 2);
    }
}

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
