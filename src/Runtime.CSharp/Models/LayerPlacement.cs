using System.Diagnostics;
using System.Globalization;

namespace OptimalStopping.Runtime.Models;

/// <summary>What one device holds of a model, and the bytes of it.</summary>
/// <param name="FirstLayer">The first of <paramref name="Layers"/> layers in a row.</param>
/// <param name="WeightBytes">INT8 matrices and their scales, the norms, and the embedding or the head where it has them.</param>
/// <param name="CacheBytes">Keys and values of one sequence of the length asked about.</param>
/// <param name="WorkBytes">The largest buffers of one forward.</param>
public sealed record DeviceShare(string Device, int FirstLayer, int Layers, long WeightBytes, long CacheBytes, long WorkBytes)
{
    public long TotalBytes => WeightBytes + CacheBytes + WorkBytes;
}

/// <summary>
/// Which device holds which layers of a model, and the memory that takes. Layers are spread evenly, in order; the first
/// device also holds the embedding, the last one the head.
/// </summary>
public static class LayerPlacement
{
    /// <summary>Tokens that one forward of the Torch engine takes at a time.</summary>
    public const int Rows = 32;

    /// <summary>The device of each layer.</summary>
    public static string[] Place(int layers, IReadOnlyList<string> devices) =>
        [.. Enumerable.Range(0, layers).Select(layer => devices[(int)((long)layer * Math.Min(devices.Count, layers) / layers)])];

    /// <summary>What each device needs, before anything is loaded.</summary>
    /// <param name="embeddingBytes">Bytes of one embedding value on the device: 2 for a 16-bit checkpoint, else 4.</param>
    /// <param name="tokens">Tokens of one sequence.</param>
    public static IReadOnlyList<DeviceShare> Estimate(Qwen3Config config, IReadOnlyList<string> devices, int embeddingBytes, int tokens)
    {
        string[] placed = Place(config.Layers, devices);
        long hidden = config.HiddenSize,
            width = config.HeadDimension,
            inner = config.IntermediateSize,
            vocabulary = config.VocabularySize;
        long queries = config.Heads * width,
            keys = config.KeyValueHeads * width;
        long layer =
            Matrix(queries + 2 * keys, hidden)
            + Matrix(hidden, queries)
            + Matrix(2 * inner, hidden)
            + Matrix(hidden, inner)
            + 4 * (2 * hidden + 2 * width);
        var shares = new List<DeviceShare>();
        for (int first = 0; first < placed.Length; )
        {
            string device = placed[first];
            int count = placed.Skip(first).TakeWhile(other => other == device).Count();
            bool last = first + count == placed.Length;
            long weights =
                count * layer
                + (first == 0 ? vocabulary * hidden * embeddingBytes : 0)
                + (last ? Matrix(vocabulary, hidden) + 4 * hidden : 0);
            long cache = count * 2L * keys * RoundUp(tokens, CacheBlock) * 2; // bfloat16
            // Activations in float32 and their INT8 products before and after scaling; the attention's scores.
            long work =
                4L * Rows * (3 * Math.Max(queries + 2 * keys, 2 * inner) + 4 * hidden)
                + (last ? 3L * 4 * Rows * vocabulary : 0)
                + 4L * Rows * config.Heads * RoundUp(tokens, CacheBlock);
            shares.Add(new DeviceShare(device, first, count, weights, cache, work));
            first += count;
        }
        return shares;
    }

    /// <summary>Positions that the Torch engine's cache grows by, and that attention covers at a time.</summary>
    public const int CacheBlock = 128;

    public static long RoundUp(long value, long multiple) => (value + multiple - 1) / multiple * multiple;

    private static long Matrix(long rows, long columns) => RoundUp(rows, 8) * (RoundUp(columns, 8) + 4);
}

/// <summary>Free memory of NVIDIA GPUs, as the driver's own <c>nvidia-smi</c> reports it.</summary>
public static class CudaMemory
{
    /// <summary>Bytes free on a device; null where there is no <c>nvidia-smi</c>, or it does not answer within 10 seconds.</summary>
    /// <remarks>
    /// nvidia-smi counts in the order of the bus; CUDA does so with <c>CUDA_DEVICE_ORDER=PCI_BUS_ID</c>, and
    /// <c>CUDA_VISIBLE_DEVICES</c> renumbers: where that is set with plain numbers it is followed.
    /// </remarks>
    public static long? FreeBytes(int device)
    {
        if (Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { Length: > 0 } visible)
        {
            string[] numbers = visible.Split(',');
            if (device >= numbers.Length || !int.TryParse(numbers[device], NumberStyles.None, CultureInfo.InvariantCulture, out device))
                return null;
        }
        try
        {
            var start = new ProcessStartInfo(
                "nvidia-smi",
                ["--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", device.ToString(CultureInfo.InvariantCulture)]
            )
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using Process? process = Process.Start(start);
            if (process is null || !process.WaitForExit(10_000) || process.ExitCode != 0)
                return null;
            return Parse(process.StandardOutput.ReadToEnd());
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null; // no such program
        }
    }

    internal static long? Parse(string output) =>
        long.TryParse(output.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long mebibytes) ? mebibytes << 20 : null;
}
