namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Keys and values of one sequence in float32. Keys lie in blocks of 16 positions, value by value within a block, so
/// that one vector holds the same value of 16 positions and the scores of 16 positions arise together. Values lie
/// position by position, each head padded to whole vectors.
/// </summary>
internal sealed unsafe class KeyValueCache : IDisposable
{
    private const int Lanes = Padding.Lanes;
    private readonly int _heads, _layers, _width, _positions;
    private readonly long _keys, _values;
    private readonly AlignedBuffer<float> _buffer;

    public KeyValueCache(Qwen3Config config, int capacity)
    {
        _layers = config.Layers;
        _heads = config.KeyValueHeads;
        _width = config.HeadDimension;
        _positions = Padding.ToLanes(capacity);
        PaddedWidth = Padding.ToLanes(_width);
        _keys = (long)_positions * _width;
        _values = (long)_positions * PaddedWidth;
        _buffer = new AlignedBuffer<float>(checked(_layers * _heads * (_keys + _values)));
    }

    /// <summary>Floats from one position's value to the next.</summary>
    public int PaddedWidth { get; }

    /// <summary>The keys of one head: value i of position p at <c>[p / 16 * width * 16 + i * 16 + p % 16]</c>.</summary>
    public float* Keys(int layer, int head) => _buffer.Pointer + (layer * _heads + head) * (_keys + _values);

    /// <summary>The values of one head: value i of position p at <c>[p * PaddedWidth + i]</c>.</summary>
    public float* Values(int layer, int head) => Keys(layer, head) + _keys;

    /// <summary>Stores one head's key and value at a position.</summary>
    public void Store(int layer, int head, int position, float* key, float* value)
    {
        float* keys = Keys(layer, head) + (long)(position / Lanes) * _width * Lanes + position % Lanes;
        for (int i = 0; i < _width; i++) keys[i * Lanes] = key[i];
        float* values = Values(layer, head) + (long)position * PaddedWidth;
        for (int i = 0; i < _width; i++) values[i] = value[i];
    }

    /// <summary>Takes over the first <paramref name="length"/> positions of a cache of the same shape.</summary>
    public void CopyFrom(KeyValueCache other, int length)
    {
        long positions = Padding.ToLanes(length);
        for (int layer = 0; layer < _layers; layer++)
            for (int head = 0; head < _heads; head++)
            {
                Copy(other.Keys(layer, head), Keys(layer, head), positions * _width);
                Copy(other.Values(layer, head), Values(layer, head), positions * PaddedWidth);
            }
        GC.KeepAlive(other); // or its memory could be finalised under the last copy
    }

    public void Dispose() => _buffer.Dispose();

    private static void Copy(float* from, float* to, long count) =>
        Buffer.MemoryCopy(from, to, count * sizeof(float), count * sizeof(float));
}
