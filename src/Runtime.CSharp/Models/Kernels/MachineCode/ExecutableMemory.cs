using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Pages that hold machine code made at run time. They are writable while they are filled and executable afterwards,
/// never both at once. They live as long as the process.
/// </summary>
internal static unsafe partial class ExecutableMemory
{
    /// <summary>Copies the code into pages of its own; null where the system refuses executable pages.</summary>
    public static byte* TryPlace(ReadOnlySpan<byte> code)
    {
        try
        {
            return OperatingSystem.IsWindows() ? PlaceOnWindows(code) : PlaceOnUnix(code);
        }
        catch (Exception fault) when (fault is DllNotFoundException or EntryPointNotFoundException)
        {
            return null;
        }
    }

    private static byte* PlaceOnUnix(ReadOnlySpan<byte> code)
    {
        const int Read = 1,
            Write = 2,
            Execute = 4,
            Private = 2;
        int anonymous = OperatingSystem.IsMacOS() ? 0x1000 : 0x20;
        byte* pages = (byte*)mmap(0, (nuint)code.Length, Read | Write, Private | anonymous, -1, 0);
        if ((nint)pages == -1)
            return null;
        code.CopyTo(new Span<byte>(pages, code.Length));
        if (mprotect((nint)pages, (nuint)code.Length, Read | Execute) == 0)
            return pages;
        _ = munmap((nint)pages, (nuint)code.Length);
        return null;
    }

    private static byte* PlaceOnWindows(ReadOnlySpan<byte> code)
    {
        const uint CommitAndReserve = 0x3000,
            ReadWrite = 0x04,
            ExecuteRead = 0x20,
            Release = 0x8000;
        byte* pages = (byte*)VirtualAlloc(0, (nuint)code.Length, CommitAndReserve, ReadWrite);
        if (pages is null)
            return null;
        code.CopyTo(new Span<byte>(pages, code.Length));
        if (VirtualProtect((nint)pages, (nuint)code.Length, ExecuteRead, out _) != 0)
            return pages;
        _ = VirtualFree((nint)pages, 0, Release);
        return null;
    }

    [LibraryImport("libc")]
    private static partial nint mmap(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc")]
    private static partial int mprotect(nint address, nuint length, int protection);

    [LibraryImport("libc")]
    private static partial int munmap(nint address, nuint length);

    [LibraryImport("kernel32")]
    private static partial nint VirtualAlloc(nint address, nuint size, uint type, uint protection);

    [LibraryImport("kernel32")]
    private static partial int VirtualProtect(nint address, nuint size, uint protection, out uint previous);

    [LibraryImport("kernel32")]
    private static partial int VirtualFree(nint address, nuint size, uint type);
}
