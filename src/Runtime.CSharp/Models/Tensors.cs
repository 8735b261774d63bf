using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Microsoft.Win32.SafeHandles;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The element types that are read. The first four are safetensors' and are written too; F8 is E4M3 without infinities (a
/// float of 8 bits); the others are llama.cpp's blocks of values that share a scale.
/// </summary>
public enum TensorType
{
    F32,
    F16,
    BF16,
    I8,
    F8,
    I32,
    Q4_0,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// <summary>Where one tensor lies in a file: offsets count from the first byte of the file.</summary>
public sealed record TensorEntry(string File, string Name, TensorType Type, long[] Shape, long Offset, long Bytes)
{
    /// <summary>Values that are stored together, and the bytes of them.</summary>
    public static (int Values, int Bytes) Block(TensorType type) =>
        type switch
        {
            TensorType.F32 or TensorType.I32 => (1, 4),
            TensorType.F16 or TensorType.BF16 => (1, 2),
            TensorType.I8 or TensorType.F8 => (1, 1),
            TensorType.Q4_0 => (32, 18),
            TensorType.Q8_0 => (32, 34),
            TensorType.Q4_K => (256, 144),
            TensorType.Q5_K => (256, 176),
            _ => (256, 210),
        };

    /// <summary>The bytes of one element of a type without blocks.</summary>
    public static int SizeOf(TensorType type) =>
        Block(type) is (1, var bytes) ? bytes : throw new ArgumentException($"{type} has blocks", nameof(type));

    /// <summary>The bytes of so many values, a whole number of blocks.</summary>
    public static long BytesOf(TensorType type, long count) => count / Block(type).Values * Block(type).Bytes;

    /// <summary>The number of elements, which is the product of the shape.</summary>
    public long Count => Shape.Aggregate(1L, (a, b) => a * b);
}

/// <summary>A file of named tensors, its header read and checked.</summary>
internal unsafe interface ITensorFile : IDisposable
{
    /// <summary>The tensors by their Hugging Face names.</summary>
    IReadOnlyDictionary<string, TensorEntry> Entries { get; }

    /// <summary>A tensor's bytes in memory, little-endian and row by row; they stay until this is disposed.</summary>
    byte* Bytes(TensorEntry entry);
}

/// <summary>
/// A file that the system maps into memory at the first use. To be used where copying a tensor into an array would cost too
/// much. Another process must not shorten the file meanwhile.
/// </summary>
internal sealed unsafe class MappedFile(SafeFileHandle handle) : IDisposable
{
    private readonly Lock _mapping = new();
    private MemoryMappedViewAccessor? _view;
    private byte* _bytes;

    /// <summary>The file's first byte; it stays until this is disposed.</summary>
    public byte* Start
    {
        get
        {
            lock (_mapping)
            {
                if (_view is null)
                {
                    using var file = MemoryMappedFile.CreateFromFile(
                        handle,
                        null,
                        0,
                        MemoryMappedFileAccess.Read,
                        HandleInheritability.None,
                        leaveOpen: true
                    );
                    _view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
                    _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _bytes);
                }
                return _bytes;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_bytes != null)
            _view!.SafeMemoryMappedViewHandle.ReleasePointer();
        _bytes = null;
        _view?.Dispose();
        handle.Dispose();
    }
}

/// <summary>A matrix of finite floats, read row by row, by several threads at once.</summary>
internal interface IMatrixRows
{
    /// <summary>A row as float32.</summary>
    /// <exception cref="ToolkitException">A value is not finite.</exception>
    void Floats(int row, Span<float> target);
}

/// <summary>A tensor [rows, columns] (or [columns]) where the system has mapped its file, read row by row.</summary>
internal readonly unsafe struct MappedTensor(TensorEntry entry, byte* start) : IMatrixRows
{
    private readonly byte* _start = start;

    public TensorType Type => entry.Type;
    public int Columns => entry.Shape.Length == 0 ? 1 : (int)entry.Shape[^1];
    public int Rows => (int)(entry.Count / Math.Max(1, Columns));

    /// <summary>A row of an I8 tensor.</summary>
    public ReadOnlySpan<sbyte> Bytes(int row) =>
        Type == TensorType.I8
            ? new ReadOnlySpan<sbyte>(_start + (long)row * Columns, Columns)
            : throw new ToolkitException($"{entry.File}: {entry.Name}: expected I8, got {Type}");

    /// <summary>A row of a floating-point tensor as float32, which is exact for every type but the blocks of llama.cpp.</summary>
    /// <exception cref="ToolkitException">It is a tensor of integers, or a value is not finite.</exception>
    public void Floats(int row, Span<float> target)
    {
        if (Type is TensorType.I8 or TensorType.I32)
            throw new ToolkitException($"{entry.File}: {entry.Name}: expected F32, F16 or BF16, got {Type}");
        ReadOnlySpan<byte> bytes = Raw(row);
        TensorValues.Widen(Type, bytes, target);
        if (Columns == 0 || float.IsFinite(TensorPrimitives.MaxMagnitude(target[..Columns])))
            return;
        int at = 0;
        while (float.IsFinite(target[at]))
            at++;
        (int values, int size) = TensorEntry.Block(Type);
        throw new ToolkitException(
            $"{entry.File}: {entry.Name}: offset {entry.Offset + (long)row * bytes.Length + (long)(at / values) * size}: expected a finite value, got {target[at]}"
        );
    }

    /// <summary>The row's bytes as the file has them.</summary>
    public ReadOnlySpan<byte> Raw(int row)
    {
        int bytes = (int)TensorEntry.BytesOf(Type, Columns);
        return new(_start + (long)row * bytes, bytes);
    }

    /// <summary>All values as float32.</summary>
    /// <exception cref="ToolkitException">As for a row.</exception>
    public float[] AllFloats()
    {
        var values = new float[entry.Count];
        for (int row = 0; row < Rows; row++)
            Floats(row, values.AsSpan(row * Columns, Columns));
        return values;
    }

    /// <summary>All values of an I8 tensor.</summary>
    public sbyte[] AllBytes()
    {
        var values = new sbyte[entry.Count];
        for (int row = 0; row < Rows; row++)
            Bytes(row).CopyTo(values.AsSpan(row * Columns));
        return values;
    }

    /// <summary>All values of an I32 tensor, or of the U32 that its bits are.</summary>
    public int[] AllIntegers() =>
        Type == TensorType.I32
            ? MemoryMarshal.Cast<byte, int>(new ReadOnlySpan<byte>(_start, checked((int)entry.Bytes))).ToArray()
            : throw new ToolkitException($"{entry.File}: {entry.Name}: expected I32, got {Type}");
}

/// <summary>What the bytes of each element type mean.</summary>
internal static unsafe class TensorValues
{
    private static readonly float[] Float8 = [.. Enumerable.Range(0, 256).Select(bits => FromFloat8((byte)bits))];

    /// <summary>The upper half of a float32 as that float32.</summary>
    public static float FromBrain(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    /// <summary>Values of a type as float32; as many as <paramref name="source"/> holds.</summary>
    /// <exception cref="ToolkitException">The type is one of integers.</exception>
    public static void Widen(TensorType type, ReadOnlySpan<byte> source, Span<float> target)
    {
        (int values, int size) = TensorEntry.Block(type);
        switch (type)
        {
            case TensorType.F32:
                MemoryMarshal.Cast<byte, float>(source).CopyTo(target);
                break;
            case TensorType.F16:
                TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(source), target);
                break;
            case TensorType.BF16:
                ReadOnlySpan<ushort> halves = MemoryMarshal.Cast<byte, ushort>(source);
                int i = 0;
                fixed (ushort* from = halves)
                    for (; i + Padding.Lanes <= halves.Length; i += Padding.Lanes)
                        KeyValueCache.Load(from + i).CopyTo(target[i..]);
                for (; i < halves.Length; i++)
                    target[i] = FromBrain(halves[i]);
                break;
            case TensorType.F8:
                for (int at = 0; at < source.Length; at++)
                    target[at] = Float8[source[at]];
                break;
            case TensorType.I8:
            case TensorType.I32:
                throw new ToolkitException($"expected F32, F16 or BF16, got {type}");
            default:
                for (int block = 0; block < source.Length / size; block++)
                    WidenBlock(type, source.Slice(block * size, size), target.Slice(block * values, values));
                break;
        }
    }

    // One sign, four bits of exponent (bias 7), three of fraction; all ones is not a number, and there are no infinities.
    private static float FromFloat8(byte bits)
    {
        int exponent = bits >> 3 & 15,
            fraction = bits & 7;
        float size =
            exponent == 15 && fraction == 7 ? float.NaN
            : exponent == 0 ? fraction / 512f
            : MathF.ScaleB(1 + fraction / 8f, exponent - 7);
        return (bits & 0x80) != 0 ? -size : size;
    }

    // As ggml's dequantize_row_*: "GGUF" in its documentation.
    private static void WidenBlock(TensorType type, ReadOnlySpan<byte> block, Span<float> target)
    {
        float At(ReadOnlySpan<byte> half) => (float)BinaryPrimitives.ReadHalfLittleEndian(half);
        switch (type)
        {
            case TensorType.Q8_0:
                float scale = At(block);
                for (int i = 0; i < 32; i++)
                    target[i] = scale * (sbyte)block[2 + i];
                break;
            case TensorType.Q4_0:
                scale = At(block);
                for (int i = 0; i < 16; i++)
                    (target[i], target[i + 16]) = (scale * ((block[2 + i] & 15) - 8), scale * ((block[2 + i] >> 4) - 8));
                break;
            case TensorType.Q4_K:
            case TensorType.Q5_K:
                // Eight groups of 32 values, each with a scale and a least value of 6 bits; Q5_K has a fifth bit apart.
                float all = At(block),
                    least = At(block[2..]);
                ReadOnlySpan<byte> fifth = type == TensorType.Q5_K ? block.Slice(16, 32) : default,
                    low = block[(type == TensorType.Q5_K ? 48 : 16)..];
                for (int group = 0; group < 8; group++)
                {
                    (int s, int m) = ScaleAndLeast(group, block.Slice(4, 12));
                    for (int i = 0; i < 32; i++)
                    {
                        int value = group % 2 == 0 ? low[group / 2 * 32 + i] & 15 : low[group / 2 * 32 + i] >> 4;
                        if (type == TensorType.Q5_K && (fifth[i] >> group & 1) != 0)
                            value += 16;
                        target[group * 32 + i] = all * s * value - least * m;
                    }
                }
                break;
            case TensorType.Q6_K:
                // Four low bits, two high ones, a scale of 8 bits for each 16 values, and one for all.
                float whole = At(block[208..]);
                for (int half = 0; half < 2; half++)
                for (int i = 0; i < 32; i++)
                {
                    ReadOnlySpan<byte> lows = block[(half * 64)..],
                        highs = block[(128 + half * 32)..];
                    for (int part = 0; part < 4; part++)
                    {
                        int four = part < 2 ? lows[i + 32 * part] & 15 : lows[i + 32 * (part - 2)] >> 4,
                            value = (four | (highs[i] >> (2 * part) & 3) << 4) - 32;
                        target[half * 128 + 32 * part + i] = whole * (sbyte)block[192 + half * 8 + 2 * part + i / 16] * value;
                    }
                }
                break;
        }
    }

    private static (int Scale, int Least) ScaleAndLeast(int group, ReadOnlySpan<byte> packed) =>
        group < 4
            ? (packed[group] & 63, packed[group + 4] & 63)
            : (packed[group + 4] & 15 | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4);
}

/// <summary>One row per token, in the type that the checkpoint has.</summary>
internal sealed unsafe class EmbeddingTable(TensorType type, int tokens, int columns) : IDisposable
{
    private readonly long _rowBytes = TensorEntry.BytesOf(type, columns);
    private readonly AlignedBuffer<byte> _rows = new(tokens * TensorEntry.BytesOf(type, columns));

    /// <summary>The bytes of one row.</summary>
    public Span<byte> Raw(int token) => new(_rows.Pointer + token * _rowBytes, (int)_rowBytes);

    /// <summary>A token's row as float32.</summary>
    public void Read(int token, float* target) => TensorValues.Widen(type, Raw(token), new Span<float>(target, columns));

    /// <inheritdoc/>
    public void Dispose() => _rows.Dispose();
}
