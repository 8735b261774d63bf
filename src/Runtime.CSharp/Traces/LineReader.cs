using System.Globalization;

namespace OptimalStopping.Runtime.Traces;

/// <summary>
/// Reads a file line by line as UTF-8 bytes, without a string or an allocation per line. Line ends are LF or CRLF; a
/// byte order mark is skipped; the last line needs no end. At most <paramref name="length"/> bytes are read.
/// </summary>
internal sealed class LineReader(Stream stream, string file, long length = long.MaxValue) : IDisposable
{
    private const int LongestLine = 1 << 26;

    private byte[] _buffer = new byte[1 << 20];
    private int _start,
        _end;
    private long _read;
    private bool _ended;

    /// <summary>Number of the line that Next gave last, 1-based.</summary>
    public long Line { get; private set; }

    /// <summary>Gives the next line without its end; the span is valid until the next call. False after the last.</summary>
    public bool Next(out ReadOnlySpan<byte> line)
    {
        var searched = 0;
        while (true)
        {
            var at = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            if (at >= 0 || (_ended && _end > _start))
            {
                var count = at >= 0 ? searched + at : _end - _start;
                line = _buffer.AsSpan(_start, count);
                _start = Math.Min(_end, _start + count + 1);
                if (++Line == 1 && line.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]))
                    line = line[3..];
                if (line.EndsWith("\r"u8))
                    line = line[..^1];
                return true;
            }
            if (_ended)
            {
                line = default;
                return false;
            }
            searched = _end - _start;
            Fill();
        }
    }

    public void Dispose() => stream.Dispose();

    private void Fill()
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }
        if (_end == LongestLine)
            throw new ToolkitException($"{file}:{Line + 1}: expected lines of at most {LongestLine} bytes, got a longer one");
        if (_end == _buffer.Length)
            Array.Resize(ref _buffer, _buffer.Length * 2);
        var read = stream.Read(_buffer, _end, (int)Math.Min(_buffer.Length - _end, length - _read));
        _end += read;
        _read += read;
        _ended = read == 0;
    }
}

/// <summary>Words what is wrong with a line of a trace file: file:line, key, what was expected, what was got.</summary>
internal static class TraceError
{
    public static ToolkitException At(string file, long line, string key, string expected, string got) =>
        new($"{file}:{line.ToString(CultureInfo.InvariantCulture)}: {key}: expected {expected}, got {Shorten(got)}");

    /// <summary>A fault's value in one line of at most 60 characters.</summary>
    public static string Shorten(string text)
    {
        text = text.ReplaceLineEndings(" ").Trim();
        return text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 57), "...");
    }
}
