using System.Globalization;
using OptimalStopping.Runtime.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>
/// An INT8 matrix on a device: values [outputs, inputs], each rounded up to a multiple of 8 with zeros, as CUDA's INT8
/// product wants them, and one scale per output.
/// </summary>
internal sealed record Int8Weight(Tensor Values, Tensor Scales, int Outputs) : IDisposable
{
    /// <summary>What <c>torch._int_mm</c> on CUDA wants both extents of the weights to be a multiple of.</summary>
    public const int Multiple = 8;

    public static Int8Weight From(Int8Rows rows, Device device) => Stack([rows], device);

    /// <summary>Matrices that share their input, one above the other.</summary>
    public static Int8Weight Stack(IReadOnlyList<Int8Rows> parts, Device device)
    {
        int outputs = parts.Sum(part => part.Rows),
            columns = parts[0].Columns,
            padded = RoundUp(columns);
        var values = new sbyte[(long)RoundUp(outputs) * padded];
        var scales = new float[RoundUp(outputs)];
        int row = 0;
        foreach (Int8Rows part in parts)
            for (int r = 0; r < part.Rows; r++, row++)
            {
                part.Values.AsSpan(r * columns, columns).CopyTo(values.AsSpan(row * padded, columns));
                scales[row] = part.Scales[r];
            }
        return new Int8Weight(Place(values, device, RoundUp(outputs), padded), Place(scales, device, 1, scales.Length), outputs);
    }

    public static int RoundUp(int extent) => (extent + Multiple - 1) / Multiple * Multiple;

    public static Tensor Place(Array values, Device device, params long[] shape)
    {
        using var scope = NewDisposeScope();
        return from_array(values).reshape(shape).to(device, copy: true).DetachFromDisposeScope();
    }

    public void Dispose()
    {
        Values.Dispose();
        Scales.Dispose();
    }
}

/// <summary>One layer on its device. Attention is [queries; keys; values], GateUp is [gate; up].</summary>
internal sealed record TorchLayer(
    Device Device,
    Tensor AttentionNorm,
    Int8Weight Attention,
    Tensor QueryNorm,
    Tensor KeyNorm,
    Int8Weight Output,
    Tensor FeedForwardNorm,
    Int8Weight GateUp,
    Int8Weight Down
) : IDisposable
{
    public void Dispose()
    {
        foreach (IDisposable item in (IDisposable[])[AttentionNorm, Attention, QueryNorm, KeyNorm, Output, FeedForwardNorm, GateUp, Down])
            item.Dispose();
    }
}

/// <summary>
/// A model's weights on the devices that a <see cref="LayerPlacement"/> gives them: matrices in INT8, the embedding in
/// 16 bits where the checkpoint has it so, the norms in float32.
/// </summary>
internal sealed class TorchWeights : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    private TorchWeights(Qwen3Config config, Checkpoint source, Device[] devices)
    {
        try
        {
            int hidden = config.HiddenSize,
                vocabulary = config.VocabularySize;
            const string embedding = "model.embed_tokens.weight";
            float[] floats = source.Floats(embedding, vocabulary, hidden);
            Embedding = Own(Narrowed(floats, source.TypeOf(embedding), devices[0], vocabulary, hidden));
            Device last = devices[^1];
            Int8Rows head = config.TieWordEmbeddings
                ? Int8Rows.Round(floats, vocabulary, hidden)
                : Int8Rows.Read(source, "lm_head", vocabulary, hidden);
            Head = Own(Int8Weight.From(head, last));
            FinalNorm = Norm(source, "model.norm", hidden, last);
            Layers = new TorchLayer[config.Layers];
            for (int i = 0; i < Layers.Length; i++)
                Layers[i] = Own(ReadLayer(config, source, $"model.layers.{i}.", devices[i]));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>[vocabulary, hidden], on the first layer's device.</summary>
    public Tensor Embedding { get; }
    public TorchLayer[] Layers { get; }

    /// <summary>On the last layer's device, as the head.</summary>
    public Tensor FinalNorm { get; }
    public Int8Weight Head { get; }

    /// <param name="devices">Of each layer.</param>
    public static TorchWeights Read(Qwen3Config config, Checkpoint source, Device[] devices) => new(config, source, devices);

    public void Dispose()
    {
        foreach (IDisposable item in _owned)
            item.Dispose();
        _owned.Clear();
    }

    private TorchLayer ReadLayer(Qwen3Config config, Checkpoint source, string prefix, Device device)
    {
        int hidden = config.HiddenSize,
            width = config.HeadDimension,
            inner = config.IntermediateSize;
        int queries = config.Heads * width,
            keys = config.KeyValueHeads * width;
        Int8Rows Rows(string name, int rows, int columns) => Int8Rows.Read(source, prefix + name, rows, columns);
        return new TorchLayer(
            device,
            Norm(source, prefix + "input_layernorm", hidden, device),
            Int8Weight.Stack(
                [Rows("self_attn.q_proj", queries, hidden), Rows("self_attn.k_proj", keys, hidden), Rows("self_attn.v_proj", keys, hidden)],
                device
            ),
            Norm(source, prefix + "self_attn.q_norm", width, device),
            Norm(source, prefix + "self_attn.k_norm", width, device),
            Int8Weight.From(Rows("self_attn.o_proj", hidden, queries), device),
            Norm(source, prefix + "post_attention_layernorm", hidden, device),
            Int8Weight.Stack([Rows("mlp.gate_proj", inner, hidden), Rows("mlp.up_proj", inner, hidden)], device),
            Int8Weight.From(Rows("mlp.down_proj", hidden, inner), device)
        );
    }

    // A 16-bit embedding goes back into its 16 bits, which loses nothing and halves its memory.
    private static Tensor Narrowed(float[] floats, TensorType type, Device device, params long[] shape)
    {
        using var scope = NewDisposeScope();
        ScalarType kept = type switch
        {
            TensorType.BF16 => bfloat16,
            TensorType.F16 => float16,
            _ => float32,
        };
        return from_array(floats).reshape(shape).to(kept, copy: true).to(device).DetachFromDisposeScope();
    }

    private Tensor Norm(Checkpoint source, string name, int length, Device device) =>
        Own(Int8Weight.Place(source.Floats(name + ".weight", length), device, length));

    private T Own<T>(T item)
        where T : IDisposable
    {
        _owned.Add(item);
        return item;
    }
}

/// <summary>What this machine has, against what a model needs; asked before anything is loaded.</summary>
internal static class TorchDevices
{
    /// <summary>Refuses devices that are not there and, where the free memory is known, models that do not fit.</summary>
    /// <exception cref="ToolkitException">One line that says what is needed and what is there.</exception>
    public static void Check(string model, IReadOnlyList<DeviceShare> shares) => Check(model, shares, DeviceCount(), FreeBytes);

    internal static void Check(string model, IReadOnlyList<DeviceShare> shares, int cudaDevices, Func<string, long?> freeBytes)
    {
        foreach (DeviceShare share in shares)
        {
            if (share.Device != "cpu" && int.Parse(share.Device[5..], CultureInfo.InvariantCulture) >= cudaDevices)
                throw new ToolkitException(
                    $"{model}: device {share.Device}: expected one of this machine's {cudaDevices} CUDA devices{(cudaDevices == 0 ? " (none: is this a build with -p:TorchBackend=cuda, and does nvidia-smi list a GPU?)" : "")}"
                );
        }
        foreach (var group in shares.GroupBy(share => share.Device))
        {
            long needed = group.Sum(share => share.TotalBytes);
            if (freeBytes(group.Key) is { } free && needed > free)
                throw new ToolkitException(
                    $"{model}: device {group.Key}: expected {Gibibytes(needed)} of free memory (weights {Gibibytes(group.Sum(s => s.WeightBytes))}, a sequence's cache {Gibibytes(group.Sum(s => s.CacheBytes))}, work {Gibibytes(group.Sum(s => s.WorkBytes))}), got {Gibibytes(free)}; give the stage more devices"
                );
        }
    }

    private static int DeviceCount() => torch.cuda.is_available() ? torch.cuda.device_count() : 0;

    // TorchSharp does not tell a GPU's free memory; nvidia-smi does (see CudaMemory).
    private static long? FreeBytes(string device) =>
        device == "cpu"
            ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes
            : CudaMemory.FreeBytes(int.Parse(device[5..], CultureInfo.InvariantCulture));

    private static string Gibibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):F2} GiB");
}
