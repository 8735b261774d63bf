using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>The element types that this project reads and writes.</summary>
public enum TensorType
{
    F32,
    F16,
    BF16,
    I8,
}

/// <summary>Where one tensor lies in a file: offsets count from the first byte of the file.</summary>
public sealed record TensorEntry(string File, string Name, TensorType Type, long[] Shape, long Offset, long Bytes)
{
    /// <summary>The bytes of one element.</summary>
    public static int SizeOf(TensorType type) =>
        type switch
        {
            TensorType.F32 => 4,
            TensorType.I8 => 1,
            _ => 2,
        };

    /// <summary>The number of elements, which is the product of the shape.</summary>
    public long Count => Bytes / SizeOf(Type);
}

/// <summary>A file of named tensors, its header read and checked.</summary>
internal unsafe interface ITensorFile : IDisposable
{
    /// <summary>The tensors by their Hugging Face names.</summary>
    IReadOnlyDictionary<string, TensorEntry> Entries { get; }

    /// <summary>A floating-point tensor's elements in row-major order, as float32.</summary>
    /// <exception cref="ToolkitException">It is an I8 tensor, or a value is not finite.</exception>
    float[] ReadFloats(TensorEntry entry);

    /// <summary>An I8 tensor's elements in row-major order.</summary>
    /// <exception cref="ToolkitException">It is no I8 tensor.</exception>
    sbyte[] ReadBytes(TensorEntry entry);

    /// <summary>A tensor's bytes in memory, little-endian and row by row; they stay until this is disposed.</summary>
    byte* Bytes(TensorEntry entry);
}

/// <summary>A tensor [rows, columns] (or [columns]) where the system has mapped its file, read row by row.</summary>
internal readonly unsafe struct MappedTensor(TensorEntry entry, byte* start)
{
    private readonly byte* _start = start;

    public TensorType Type => entry.Type;
    public int Columns => (int)entry.Shape[^1];
    public int Rows => (int)(entry.Count / Math.Max(1, Columns));

    /// <summary>A row of an I8 tensor.</summary>
    public ReadOnlySpan<sbyte> Bytes(int row) =>
        Type == TensorType.I8
            ? new ReadOnlySpan<sbyte>(_start + (long)row * Columns, Columns)
            : throw new ToolkitException($"{entry.File}: {entry.Name}: expected I8, got {Type}");

    /// <summary>A row of a floating-point tensor as float32, which is exact for every type.</summary>
    /// <exception cref="ToolkitException">It is an I8 tensor, or a value is not finite.</exception>
    public void Floats(int row, Span<float> target)
    {
        long offset = (long)row * Columns * TensorEntry.SizeOf(Type);
        Widen(Type, new ReadOnlySpan<byte>(_start + offset, Columns * TensorEntry.SizeOf(Type)), target);
        if (Columns == 0 || float.IsFinite(TensorPrimitives.MaxMagnitude(target[..Columns])))
            return;
        int at = 0;
        while (float.IsFinite(target[at]))
            at++;
        throw new ToolkitException(
            $"{entry.File}: {entry.Name}: offset {entry.Offset + offset + (long)at * TensorEntry.SizeOf(Type)}: expected a finite value, got {target[at]}"
        );
    }

    /// <summary>The row's bytes as the file has them.</summary>
    public ReadOnlySpan<byte> Raw(int row) =>
        new(_start + (long)row * Columns * TensorEntry.SizeOf(Type), Columns * TensorEntry.SizeOf(Type));

    /// <summary>Little-endian floats of 16 or 32 bits as float32.</summary>
    /// <exception cref="ToolkitException">The type is I8.</exception>
    public static void Widen(TensorType type, ReadOnlySpan<byte> source, Span<float> target)
    {
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
                    target[i] = BitConverter.Int32BitsToSingle(halves[i] << 16);
                break;
            default:
                throw new ToolkitException($"expected F32, F16 or BF16, got {type}");
        }
    }
}

/// <summary>One row per token, in the type that the checkpoint has (F32, F16 or BF16).</summary>
internal sealed unsafe class EmbeddingTable(TensorType type, int tokens, int columns) : IDisposable
{
    private readonly AlignedBuffer<byte> _rows = new((long)tokens * columns * TensorEntry.SizeOf(type));

    /// <summary>The bytes of one row.</summary>
    public Span<byte> Raw(int token)
    {
        int bytes = columns * TensorEntry.SizeOf(type);
        return new Span<byte>(_rows.Pointer + (long)token * bytes, bytes);
    }

    /// <summary>A token's row as float32.</summary>
    public void Read(int token, float* target) => MappedTensor.Widen(type, Raw(token), new Span<float>(target, columns));

    public void Dispose() => _rows.Dispose();
}
