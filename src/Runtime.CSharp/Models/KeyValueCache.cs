using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Keys and values of one sequence in bfloat16, which is half the memory to read of float32; its rounding (1 part in
/// 512) is finer than that of INT8 activations. Keys lie in blocks of 16 positions, value by value within a block, so
/// that one vector holds the same value of 16 positions and the scores of 16 positions arise together. Values lie in
/// strips of 16, position by position within a strip, so that each strip is read as one stream.
/// </summary>
internal sealed unsafe class KeyValueCache : IDisposable
{
    private const int Lanes = Padding.Lanes;
    private readonly int _heads,
        _layers,
        _width;
    private readonly long _keys,
        _values;
    private readonly AlignedBuffer<ushort> _buffer;

    /// <param name="capacity">Positions that there must be room for.</param>
    /// <param name="angles">The table of <see cref="Rotary"/>, long enough for them.</param>
    public KeyValueCache(Qwen3Config config, int capacity, float[] angles)
    {
        Angles = angles;
        _layers = config.Layers;
        _heads = config.KeyValueHeads;
        _width = config.HeadDimension;
        Positions = Padding.ToLanes(capacity);
        _keys = (long)Positions * _width;
        _values = (long)Positions * Padding.ToLanes(_width);
        _buffer = new AlignedBuffer<ushort>(checked(_layers * _heads * (_keys + _values)));
    }

    /// <summary>The rotary angles of its positions.</summary>
    public float[] Angles { get; }

    /// <summary>Positions that there is room for, a multiple of 16; those that no token holds yet are finite numbers.</summary>
    public int Positions { get; }

    /// <summary>The keys of one head: value i of position p at <c>[p / 16 * width * 16 + i * 16 + p % 16]</c>.</summary>
    public ushort* Keys(int layer, int head) => _buffer.Pointer + (layer * _heads + head) * (_keys + _values);

    /// <summary>The values of one head: value i of position p at <c>[i / 16 * Positions * 16 + p * 16 + i % 16]</c>.</summary>
    public ushort* Values(int layer, int head) => Keys(layer, head) + _keys;

    /// <summary>
    /// Asks for the first of a head's keys and values ahead of their use; the processor finds out itself that more of the
    /// same is wanted.
    /// </summary>
    public void Prefetch(int layer, int head, int positions)
    {
        const int Most = 64,
            Line = 64 / sizeof(ushort);
        if (!Sse.IsSupported)
            return;
        positions = Padding.ToLanes(Math.Min(positions, Most));
        ushort* keys = Keys(layer, head),
            values = Values(layer, head);
        for (int i = 0; i < positions * _width; i += Line)
            Sse.Prefetch1(keys + i);
        for (long strip = 0; strip < _values; strip += (long)Positions * Lanes)
        for (int i = 0; i < positions * Lanes; i += Line)
            Sse.Prefetch1(values + strip + i);
    }

    /// <summary>Stores one head's key and value at a position.</summary>
    public void Store(int layer, int head, int position, float* key, float* value)
    {
        ushort* keys = Keys(layer, head) + (long)(position / Lanes) * _width * Lanes + position % Lanes;
        ushort* values = Values(layer, head) + (long)position * Lanes,
            row = stackalloc ushort[Lanes];
        long strip = (long)Positions * Lanes;
        int i = 0;
        for (; i + Lanes <= _width; i += Lanes, values += strip)
        {
            Narrow(Vector512.Load(key + i)).Store(row);
            for (int j = 0; j < Lanes; j++)
                keys[(i + j) * Lanes] = row[j];
            Narrow(Vector512.Load(value + i)).Store(values);
        }
        for (; i < _width; i++)
        {
            keys[i * Lanes] = Narrow(key[i]);
            values[i % Lanes] = Narrow(value[i]);
        }
    }

    /// <summary>Takes over the first <paramref name="length"/> positions of a cache of the same shape.</summary>
    public void CopyFrom(KeyValueCache other, int length)
    {
        long positions = Padding.ToLanes(length);
        for (int layer = 0; layer < _layers; layer++)
        for (int head = 0; head < _heads; head++)
        {
            Copy(other.Keys(layer, head), Keys(layer, head), positions * _width);
            for (long strip = 0; strip < _values; strip += (long)Positions * Lanes)
                Copy(other.Values(layer, head) + strip, Values(layer, head) + strip, positions * Lanes);
        }
        GC.KeepAlive(other); // or its memory could be finalised under the last copy
    }

    /// <summary>Random numbers below 1 everywhere, for measuring speed.</summary>
    public void Randomise(Random random)
    {
        for (long start = 0; start < _buffer.Length; start += 1 << 20)
        {
            var part = new Span<ushort>(_buffer.Pointer + start, (int)Math.Min(1 << 20, _buffer.Length - start));
            random.NextBytes(MemoryMarshal.AsBytes(part));
            for (int i = 0; i < part.Length; i++)
                part[i] = (ushort)(part[i] & 0x80FF | 0x3E00); // 1/8 to 1/2, either sign
        }
    }

    public void Dispose() => _buffer.Dispose();

    /// <summary>16 stored numbers as float32: bfloat16 is its upper half.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(ushort* from)
    {
        Vector256<ushort> halves = Vector256.Load(from);
        if (Avx512F.IsSupported)
            return (Avx512F.ConvertToVector512UInt32(halves) << 16).AsSingle(); // one instruction for what follows
        (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(halves);
        return (Vector512.Create(lower, upper) << 16).AsSingle();
    }

    /// <summary>A finite float32 rounded to bfloat16, ties to even.</summary>
    private static ushort Narrow(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (ushort)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }

    private static Vector256<ushort> Narrow(Vector512<float> values)
    {
        Vector512<uint> bits = values.AsUInt32();
        bits = (bits + Vector512.Create(0x7FFFu) + (bits >> 16 & Vector512<uint>.One)) >> 16;
        return Vector256.Narrow(bits.GetLower(), bits.GetUpper());
    }

    private static void Copy(ushort* from, ushort* to, long count) =>
        Buffer.MemoryCopy(from, to, count * sizeof(ushort), count * sizeof(ushort));
}
