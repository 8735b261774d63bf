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
    public static string[] Of(int layers, IReadOnlyList<string> devices) =>
        [.. Enumerable.Range(0, layers).Select(layer => devices[(int)((long)layer * Math.Min(devices.Count, layers) / layers)])];

    /// <summary>What each device needs, before anything is loaded.</summary>
    /// <param name="embeddingBytes">Bytes of one embedding value on the device: 2 for a 16-bit checkpoint, else 4.</param>
    /// <param name="tokens">Tokens of one sequence.</param>
    public static IReadOnlyList<DeviceShare> Estimate(Qwen3Config config, IReadOnlyList<string> devices, int embeddingBytes, int tokens)
    {
        string[] placed = Of(config.Layers, devices);
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
