namespace OptimalStopping.Runtime.Traces;

/// <summary>
/// Reads a file line by line as UTF-8 bytes, without a string or an allocation per line. Line ends are LF or CRLF; a
/// byte order mark is skipped; the last line needs no end.
/// </summary>
internal sealed class LineReader(Stream stream) : IDisposable
{
    private byte[] _buffer = new byte[1 << 20];
    private int _start, _end;
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
                var length = at >= 0 ? searched + at : _end - _start;
                line = _buffer.AsSpan(_start, length);
                _start = Math.Min(_end, _start + length + 1);
                if (++Line == 1 && line.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF])) line = line[3..];
                if (line.EndsWith("\r"u8)) line = line[..^1];
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
        if (_end == _buffer.Length) Array.Resize(ref _buffer, checked(_buffer.Length * 2));
        var read = stream.Read(_buffer, _end, _buffer.Length - _end);
        _end += read;
        _ended = read == 0;
    }
}
