using System.Text;

namespace OptimalStopping.Runtime.Files;

/// <summary>
/// Files that are there whole or not at all. The bytes go to a temporary file beside the place, down to the disk, and
/// the temporary file is then renamed: whoever reads, and whatever ends the process or the machine, sees the old file or
/// the new one. A temporary file that a killed process left (the name with <c>.part</c>) is overwritten by the next write.
/// </summary>
public static class AtomicFile
{
    private const int BufferBytes = 1 << 16;

    /// <summary>Writes text as UTF-8 without a byte order mark; an existing file is replaced.</summary>
    /// <exception cref="ToolkitException">The file cannot be written (full disk, no permission, no such folder).</exception>
    public static void Write(string path, string text) => Write(path, Encoding.UTF8.GetBytes(text));

    /// <summary>Writes bytes; an existing file is replaced.</summary>
    /// <exception cref="ToolkitException">As for text.</exception>
    public static void Write(string path, byte[] bytes) => Write(path, file => file.Write(bytes));

    /// <summary>Writes what <paramref name="fill"/> puts into a buffered stream that can tell its position; an existing file is replaced.</summary>
    /// <exception cref="ToolkitException">As for text. What <paramref name="fill"/> itself throws is passed on, and the old file stays.</exception>
    public static void Write(string path, Action<Stream> fill)
    {
        string temporary = path + ".part";
        try
        {
            using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, BufferBytes))
            {
                fill(file);
                file.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception error)
        {
            Discard(temporary);
            if (IsWriteError(error))
                throw Error(path, error);
            throw;
        }
    }

    /// <summary>True for what a write throws when the system refuses it. A file-size limit (EFBIG) arrives as ArgumentOutOfRangeException.</summary>
    public static bool IsWriteError(Exception error) =>
        error is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentOutOfRangeException { ParamName: "value" };

    /// <summary>The one line for it.</summary>
    public static ToolkitException Error(string path, Exception error)
    {
        string got = error is ArgumentOutOfRangeException ? "the file would be larger than the system allows" : error.Message;
        return new ToolkitException($"{path}: expected a place to write to, got: {got.ReplaceLineEndings(" ")}", error);
    }

    // The write has failed already; that the rest of it cannot be removed must not hide why.
    private static void Discard(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception error) when (IsWriteError(error)) { }
    }
}
