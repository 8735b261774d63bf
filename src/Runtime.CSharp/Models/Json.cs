using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace OptimalStopping.Runtime.Models;

/// <summary>Reads values out of a model's JSON files; every fault becomes one line with file, key, expected and got.</summary>
public static class Json
{
    private const long LongestFile = 256L << 20;

    public static JsonDocument Open(string file)
    {
        try
        {
            if (new FileInfo(file).Length > LongestFile)
                throw new ToolkitException($"{file}: expected a JSON file of at most {LongestFile} bytes");
            return Parse(file, File.ReadAllBytes(file));
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{file}: expected a readable file, got: {OneLine(fault.Message)}", fault);
        }
    }

    /// <summary>Parses bytes whose top is an object; every name and text in it is known to be valid Unicode.</summary>
    public static JsonDocument Parse(string file, ReadOnlyMemory<byte> bytes)
    {
        if (NotUnicode(bytes.Span) is { } offset)
            throw new ToolkitException(
                $"{file}: offset {offset}: expected Unicode text in JSON, got an invalid byte or half of a surrogate pair"
            );
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(bytes, new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (JsonException fault)
        {
            throw new ToolkitException($"{file}:{(fault.LineNumber ?? 0) + 1}: expected JSON, got: {OneLine(fault.Message)}", fault);
        }
        if (document.RootElement.ValueKind == JsonValueKind.Object)
            return document;
        string got = Show(document.RootElement);
        document.Dispose();
        throw new ToolkitException($"{file}: expected a JSON object, got {got}");
    }

    /// <summary>
    /// Where the first byte that is no UTF-8, or the first text with an escaped lone surrogate, stands; null where every
    /// text is valid. The parser accepts both, and fails only when the text is asked for.
    /// </summary>
    public static long? NotUnicode(ReadOnlySpan<byte> json)
    {
        if (!Utf8.IsValid(json))
        {
            int valid = 0;
            while (Rune.DecodeFromUtf8(json[valid..], out _, out int length) == OperationStatus.Done)
                valid += length;
            return valid;
        }
        if (json.IndexOf("\\u"u8) < 0)
            return null;
        var reader = new Utf8JsonReader(json);
        try
        {
            while (reader.Read())
                if (reader.TokenType is JsonTokenType.PropertyName or JsonTokenType.String && reader.ValueIsEscaped)
                    reader.GetString();
        }
        catch (InvalidOperationException)
        {
            return reader.TokenStartIndex;
        }
        catch (JsonException) { } // no JSON: the parser says so with the line
        return null;
    }

    public static JsonElement Get(string file, JsonElement root, string key, string expected) =>
        root.TryGetProperty(key, out JsonElement value) ? value : throw Error(file, key, expected, "nothing");

    public static void Expect(string file, JsonElement root, string key, string expected, Func<JsonElement, bool> holds)
    {
        JsonElement value = Get(file, root, key, expected);
        if (!holds(value))
            throw Error(file, key, expected, Show(value));
    }

    public static long Integer(string file, JsonElement root, string key, long min, long max)
    {
        string expected = $"a whole number from {min} to {max}";
        JsonElement value = Get(file, root, key, expected);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) && number >= min && number <= max
            ? number
            : throw Error(file, key, expected, Show(value));
    }

    public static double Number(string file, JsonElement root, string key, double min, double max)
    {
        string expected = FormattableString.Invariant($"a number from {min} to {max}");
        JsonElement value = Get(file, root, key, expected);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max
            ? number
            : throw Error(file, key, expected, Show(value));
    }

    public static bool Boolean(string file, JsonElement root, string key)
    {
        JsonElement value = Get(file, root, key, "true or false");
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw Error(file, key, "true or false", Show(value));
    }

    public static ToolkitException Error(string file, string key, string expected, string got) =>
        new($"{file}: {key}: expected {expected}, got {got}");

    /// <summary>A value as the message shows it: one line, cut when long.</summary>
    public static string Show(JsonElement value)
    {
        string text = OneLine(value.GetRawText());
        return text.Length <= 60 ? text : text[..57] + "...";
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
