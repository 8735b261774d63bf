using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace OptimalStopping.Runtime.Traces;

/// <summary>
/// Writes trace records, one JSON object per line, in the fixed order of fields. The same records give the same bytes:
/// numbers are written in the shortest form that reads back exactly, and lines end in a line feed.
/// </summary>
public sealed class TraceWriter : IDisposable
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Stream _stream;
    private readonly bool _leaveOpen;
    private readonly ArrayBufferWriter<byte> _buffer = new(4096);
    private readonly Utf8JsonWriter _json;

    /// <summary>Writes to a stream, which Dispose closes unless it is to be left open.</summary>
    public TraceWriter(Stream stream, bool leaveOpen = false)
    {
        _stream = stream;
        _leaveOpen = leaveOpen;
        _json = new Utf8JsonWriter(_buffer, Options);
    }

    /// <summary>
    /// Opens a file: a new one (an existing one is replaced), or to append to. Nobody else may have it open: two writers
    /// would mix their lines.
    /// </summary>
    public static TraceWriter Open(string path, bool append = false) =>
        new(new FileStream(path, append ? FileMode.Append : FileMode.Create, FileAccess.Write, FileShare.None));

    /// <summary>Writes one record as one line. A line is handed to the stream in one piece.</summary>
    public void Write(TraceRecord record)
    {
        _buffer.ResetWrittenCount();
        _json.Reset();
        _json.WriteStartObject();
        _json.WriteString("id", record.Id);
        _json.WriteString("dataset", record.Dataset);
        _json.WriteString("split", record.Split);
        _json.WriteStartArray("stages");
        foreach (var stage in record.Stages)
        {
            _json.WriteStartObject();
            _json.WriteString("model", stage.Model);
            _json.WriteNumber("cost", stage.Cost);
            if (stage.Confidence is { } confidence)
                _json.WriteNumber("confidence", confidence);
            else
                _json.WriteNull("confidence");
            _json.WriteNumber("quality", stage.Quality);
            WriteExtra(stage.Extra);
            _json.WriteEndObject();
        }
        _json.WriteEndArray();
        WriteExtra(record.Extra);
        _json.WriteEndObject();
        _json.Flush();
        _buffer.Write("\n"u8);
        _stream.Write(_buffer.WrittenSpan);
    }

    /// <summary>Hands everything written so far to the file.</summary>
    public void Flush() => _stream.Flush();

    public void Dispose()
    {
        _json.Dispose();
        if (!_leaveOpen)
            _stream.Dispose();
    }

    private void WriteExtra(IReadOnlyList<KeyValuePair<string, JsonElement>> fields)
    {
        foreach (var (name, value) in fields)
        {
            _json.WritePropertyName(name);
            value.WriteTo(_json);
        }
    }
}
