using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Zeroed memory outside the managed heap, aligned to a cache line: the collector neither moves nor scans weights, and
/// no vector load crosses a line. Large buffers come in huge pages: with small ones, reading weights would spend much of
/// its time on looking up addresses. The finaliser frees what was not disposed.
/// </summary>
internal sealed unsafe class AlignedBuffer<T> : IDisposable
    where T : unmanaged
{
    private readonly nuint _pages; // bytes that came as huge pages, or 0
    private T* _pointer;

    public AlignedBuffer(long length)
    {
        Length = length;
        nuint bytes = checked((nuint)Math.Max(length, 1) * (nuint)sizeof(T));
        _pointer = (T*)HugePages.TryAllocate(bytes);
        if (_pointer != null)
            _pages = bytes;
        else
        {
            bytes = (bytes + 63) / 64 * 64;
            _pointer = (T*)NativeMemory.AlignedAlloc(bytes, 64);
            NativeMemory.Clear(_pointer, bytes);
        }
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
        if (_pages != 0 && _pointer != null)
            HugePages.Free(_pointer, _pages);
        else
            NativeMemory.AlignedFree(_pointer);
        _pointer = null;
    }
}

/// <summary>Zeroed memory in pages of 2 MiB, where the system gives them on request (Linux).</summary>
internal static unsafe partial class HugePages
{
    private const nuint Size = 2 << 20;

    /// <summary>Null for less than a page, and where the system has none; a refusal of huge pages costs speed only.</summary>
    public static void* TryAllocate(nuint bytes)
    {
        const int Read = 1,
            Write = 2,
            PrivateAnonymous = 0x22,
            HugePage = 14;
        if (bytes < Size || !OperatingSystem.IsLinux())
            return null;
        nuint reserved = bytes + Size;
        nint start = mmap(0, reserved, Read | Write, PrivateAnonymous, -1, 0);
        if (start == -1)
            return null;
        nuint first = ((nuint)start + Size - 1) / Size * Size,
            end = (nuint)start + reserved,
            last = Up(first + bytes);
        if (first > (nuint)start)
            _ = munmap(start, first - (nuint)start);
        if (end > last)
            _ = munmap((nint)last, end - last);
        _ = madvise((void*)first, last - first, HugePage);
        return (void*)first;
    }

    public static void Free(void* start, nuint bytes) => _ = munmap((nint)start, Up((nuint)start + bytes) - (nuint)start);

    /// <summary>Up to whole small pages, which is how memory is given back.</summary>
    private static nuint Up(nuint address)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        return (address + page - 1) / page * page;
    }

    [LibraryImport("libc")]
    private static partial nint mmap(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc")]
    private static partial int munmap(nint address, nuint length);

    [LibraryImport("libc")]
    private static partial int madvise(void* start, nuint bytes, int advice);
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
