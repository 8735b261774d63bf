using System.Text;
using System.Text.Json;

namespace OptimalStopping.Runtime.Traces;

/// <summary>Reads trace files. Lines that are blank are passed over.</summary>
public static class TraceReader
{
    /// <summary>
    /// Reads a whole file into flat arrays: about 24 bytes per query and stage, and a few seconds for a million lines.
    /// The order of the stages is the one in which the lines name the models; a line may leave models out. An `answer`
    /// in the stages (a string) and `features` of the line (an array of numbers known before any model runs) are taken
    /// along; other unknown fields are passed over.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="progress">Told the number of lines read, every 100,000 lines; may be null.</param>
    /// <param name="objective">What stands as cost in the table.</param>
    /// <exception cref="ToolkitException">
    /// The file cannot be read, holds no query, names more than 16 models or orders them inconsistently, or has a
    /// malformed line; the message names file:line, key, expected, got.
    /// </exception>
    public static TraceTable ReadTable(string path, IProgress<long>? progress = null, TraceObjective objective = TraceObjective.Cost)
    {
        using var lines = new LineReader(Open(path), path);
        var builder = new TraceTableBuilder(path, objective);
        while (lines.Next(out var line))
        {
            if (!IsBlank(line))
                builder.Add(line, lines.Line);
            if (lines.Line % 100_000 == 0)
                progress?.Report(lines.Line);
        }
        return builder.Build();
    }

    /// <summary>Reads a file record by record, with every field, in constant memory.</summary>
    /// <exception cref="ToolkitException">As ReadTable, when the enumeration reaches the line.</exception>
    public static IEnumerable<TraceRecord> ReadRecords(string path)
    {
        using FileStream stream = Open(path);
        foreach (TraceRecord record in ReadRecords(stream, long.MaxValue, path))
            yield return record;
    }

    /// <summary>Reads which group each query is of, by a field of each line: `dataset`, `split`, or any other that holds a text, a number, true or false.</summary>
    /// <exception cref="ToolkitException">A line lacks the field, or it has more than <see cref="TraceGroups.Most"/> values.</exception>
    public static TraceGroups ReadGroups(string path, string column)
    {
        var names = new Dictionary<string, int>();
        var of = new List<int>();
        foreach (TraceRecord record in ReadRecords(path))
        {
            string name = column switch
            {
                "dataset" => record.Dataset,
                "split" => record.Split,
                _ => Text(record.Extra.FirstOrDefault(field => field.Key == column).Value),
            };
            if (name.Length == 0)
                throw new ToolkitException($"{path}: query '{record.Id}': key '{column}': expected a text or number to group by, got none");
            if (!names.TryGetValue(name, out int group))
                names.Add(name, group = names.Count);
            if (names.Count > TraceGroups.Most)
                throw new ToolkitException(
                    $"{path}: key '{column}': expected at most {TraceGroups.Most} groups, got more, the last by query '{record.Id}'"
                );
            of.Add(group);
        }
        return new TraceGroups(column, [.. names.Keys], [.. of]);
    }

    private static string Text(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => value.GetString()!,
            JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
            _ => "",
        };

    /// <summary>Reads records from the next <paramref name="length"/> bytes of a stream, which stays open.</summary>
    internal static IEnumerable<TraceRecord> ReadRecords(Stream stream, long length, string file)
    {
        var lines = new LineReader(stream, file, length);
        while (Next(lines, out var text))
            if (text.Length > 0)
                yield return TraceRecord.Parse(text, file, lines.Line);

        static bool Next(LineReader lines, out string text)
        {
            var more = lines.Next(out var line);
            text = more && !IsBlank(line) ? Encoding.UTF8.GetString(line) : "";
            return more;
        }
    }

    internal static bool IsBlank(ReadOnlySpan<byte> line) => line.IndexOfAnyExcept((byte)' ', (byte)'\t') < 0;

    internal static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ToolkitException($"{path}: expected a trace file, got: {TraceError.Shorten(e.Message)}", e);
        }
    }
}
