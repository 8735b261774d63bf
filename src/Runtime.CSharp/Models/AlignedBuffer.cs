using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Zeroed memory outside the managed heap, aligned to a cache line: the collector neither moves nor scans weights, and
/// no vector load crosses a line. The finaliser frees what was not disposed.
/// </summary>
internal sealed unsafe class AlignedBuffer<T> : IDisposable where T : unmanaged
{
    public const int Alignment = 64;
    private T* _pointer;

    public AlignedBuffer(long length)
    {
        Length = length;
        nuint bytes = checked((nuint)Math.Max(length, 1) * (nuint)sizeof(T) + Alignment - 1) / Alignment * Alignment;
        _pointer = (T*)NativeMemory.AlignedAlloc(bytes, Alignment);
        NativeMemory.Clear(_pointer, bytes);
    }

    public long Length { get; }

    public T* Pointer
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _pointer;
    }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    ~AlignedBuffer() => Free();

    private void Free()
    {
        NativeMemory.AlignedFree(_pointer);
        _pointer = null;
    }
}

/// <summary>Rounding of lengths up to whole vectors.</summary>
internal static class Padding
{
    /// <summary>Floats in the widest vector.</summary>
    public const int Lanes = 16;

    public static int ToLanes(int length) => (length + Lanes - 1) / Lanes * Lanes;

    /// <summary>Up to whole blocks of output rows.</summary>
    public static int ToBlock(int rows) => (rows + KernelSet.BlockRows - 1) / KernelSet.BlockRows * KernelSet.BlockRows;
}
