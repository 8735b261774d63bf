using System.Globalization;
using System.IO.Compression;
using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>Reads JSON as Python writes it, with bare NaN and Infinity, and the values that logs hold in several forms.</summary>
internal static class LogJson
{
    /// <summary>Parses one JSON value. Bare NaN and Infinity become values that are no numbers, each noted.</summary>
    /// <exception cref="ToolkitException">Not JSON; the message names the place and the byte.</exception>
    public static JsonDocument Parse(ReadOnlyMemory<byte> json, string place, ImportNotes notes)
    {
        try
        {
            return JsonDocument.Parse(json);
        }
        catch (JsonException)
        {
            byte[] copy = json.ToArray();
            int replaced = NamedNumbersToNull(copy);
            try
            {
                JsonDocument document = JsonDocument.Parse(copy);
                for (int i = 0; i < replaced; i++)
                    notes.Add("NaN or Infinity read as unknown", place);
                return document;
            }
            catch (JsonException fault)
            {
                long at = fault.BytePositionInLine ?? 0;
                throw new ToolkitException(
                    $"{place}: expected JSON, got something else at byte {at} of line {(fault.LineNumber ?? 0) + 1}"
                        + (at >= copy.Length ? " (it is cut off there)" : ""),
                    fault
                );
            }
        }
    }

    /// <summary>The lines of a file, plain or gzipped, each as one JSON object with its place. Blank lines are passed over.</summary>
    public static IEnumerable<(string Place, JsonElement Root)> Lines(string path, ImportNotes notes)
    {
        using var lines = new LineReader(OpenPlain(path), path);
        while (Next(lines, out byte[] line))
        {
            if (line.AsSpan().IndexOfAnyExcept((byte)' ', (byte)'\t') < 0)
                continue;
            string place = $"{path}:{lines.Line.ToString(CultureInfo.InvariantCulture)}";
            using JsonDocument document = Parse(line, place, notes);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new ToolkitException(
                    $"{place}: expected one JSON object, got {TraceError.Shorten(document.RootElement.GetRawText())}"
                );
            yield return (place, document.RootElement);
        }

        static bool Next(LineReader lines, out byte[] line)
        {
            bool more = lines.Next(out ReadOnlySpan<byte> span);
            line = more ? span.ToArray() : [];
            return more;
        }
    }

    /// <summary>The first line of a text file as a JSON object; null where it is none, or where the file cannot be read.</summary>
    public static JsonElement? FirstObject(string path)
    {
        try
        {
            using var lines = new LineReader(OpenPlain(path), path);
            while (lines.Next(out ReadOnlySpan<byte> line))
            {
                if (line.IndexOfAnyExcept((byte)' ', (byte)'\t') < 0)
                    continue;
                using JsonDocument document = Parse(line.ToArray(), path, new ImportNotes());
                return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : null;
            }
        }
        catch (Exception fault) when (fault is ToolkitException or IOException or InvalidDataException or UnauthorizedAccessException) { }
        return null;
    }

    /// <summary>Opens a file, and unpacks it on the way where it begins as gzip does.</summary>
    public static Stream OpenPlain(string path)
    {
        try
        {
            var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
            bool packed = file.ReadByte() == 0x1F && file.ReadByte() == 0x8B;
            file.Position = 0;
            return packed ? new GZipStream(file, CompressionMode.Decompress) : file;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new ToolkitException($"{path}: expected a file to import, got: {TraceError.Shorten(fault.Message)}", fault);
        }
    }

    /// <summary>A member as text: a string as it is, a number or a truth value as it is written; null for none.</summary>
    public static string? Text(this JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value)
            ? value.ValueKind switch
            {
                JsonValueKind.String => value.GetString(),
                JsonValueKind.Null => null,
                _ => value.GetRawText(),
            }
            : null;

    /// <summary>A member as a number, which may stand in a string; null for none, NaN or something else.</summary>
    public static double? Number(this JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out JsonElement value) ? Number(value) : null;

    /// <summary>A value as a number: true is 1, false 0.</summary>
    public static double? Number(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Number when value.TryGetDouble(out double x) && double.IsFinite(x) => x,
            JsonValueKind.True => 1,
            JsonValueKind.False => 0,
            JsonValueKind.String
                when double.TryParse(value.GetString(), NumberStyles.Float, CultureInfo.InvariantCulture, out double x)
                    && double.IsFinite(x) => x,
            _ => null,
        };

    /// <summary>A member further down; null where a step is missing.</summary>
    public static JsonElement? At(this JsonElement element, params string[] path)
    {
        foreach (string name in path)
        {
            if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty(name, out element))
                return null;
        }
        return element;
    }

    /// <summary>
    /// The geometric mean of token probabilities, from `logprobs.content[].logprob` of a choice; null without any. Servers that draft
    /// report 0 for every token (llama.cpp #27972), and others -9999: such a list says nothing and is noted.
    /// </summary>
    public static double? Confidence(JsonElement choice, string place, ImportNotes notes)
    {
        if (choice.At("logprobs", "content") is not { ValueKind: JsonValueKind.Array } tokens || tokens.GetArrayLength() == 0)
            return null;
        double sum = 0;
        int count = 0;
        bool allZero = true;
        foreach (JsonElement token in tokens.EnumerateArray())
        {
            if (token.Number("logprob") is not { } x || x > 0 || x <= -9999)
                continue;
            sum += x;
            count++;
            allZero &= x == 0;
        }
        if (count == 0 || (allZero && count > 1))
        {
            notes.Add("answers whose log-probabilities are all 0 or missing get no confidence", place);
            return null;
        }
        return Math.Exp(sum / count);
    }

    // In place, outside of strings, so that bytes keep their numbers. "-Infinity" leaves its sign, hence the blank.
    private static int NamedNumbersToNull(Span<byte> json)
    {
        int replaced = 0;
        bool text = false;
        for (int i = 0; i < json.Length; i++)
        {
            if (json[i] == '"')
                text = !text;
            else if (text && json[i] == '\\')
                i++;
            else if (!text && json[i] is (byte)'N' or (byte)'I')
            {
                int length =
                    json[i..].StartsWith("NaN"u8) ? 3
                    : json[i..].StartsWith("Infinity"u8) ? 8
                    : 0;
                if (length == 0)
                    continue;
                if (i > 0 && json[i - 1] == '-')
                    json[i - 1] = (byte)' ';
                // "NaN" is shorter than "null"; an empty text is no number either.
                if (length == 3)
                    "\"\" "u8.CopyTo(json[i..]);
                else
                    "null    "u8.CopyTo(json[i..]);
                replaced++;
            }
        }
        return replaced;
    }
}
