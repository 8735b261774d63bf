using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

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
        long offset = (long)row * Columns * SafeTensors.SizeOf(Type);
        Widen(Type, new ReadOnlySpan<byte>(_start + offset, Columns * SafeTensors.SizeOf(Type)), target);
        if (Columns == 0 || float.IsFinite(TensorPrimitives.MaxMagnitude(target[..Columns])))
            return;
        int at = 0;
        while (float.IsFinite(target[at]))
            at++;
        throw new ToolkitException(
            $"{entry.File}: {entry.Name}: offset {entry.Offset + offset + (long)at * SafeTensors.SizeOf(Type)}: expected a finite value, got {target[at]}"
        );
    }

    /// <summary>The row's bytes as the file has them.</summary>
    public ReadOnlySpan<byte> Raw(int row) =>
        new(_start + (long)row * Columns * SafeTensors.SizeOf(Type), Columns * SafeTensors.SizeOf(Type));

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
