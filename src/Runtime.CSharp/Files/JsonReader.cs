using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace OptimalStopping.Runtime.Files;

/// <summary>Opens JSON that comes from strangers: every error is one line with the file, the key, what was expected and what was got.</summary>
public static class Json
{
    private const long LongestFile = 256L << 20;

    /// <summary>Reads a file of at most 256 MiB; see <see cref="Parse"/>.</summary>
    /// <exception cref="ToolkitException">The file cannot be read or is no JSON object.</exception>
    public static JsonDocument Open(string file)
    {
        try
        {
            if (new FileInfo(file).Length > LongestFile)
                throw new ToolkitException($"{file}: expected a JSON file of at most {LongestFile} bytes");
            return Parse(file, File.ReadAllBytes(file));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{file}: expected a readable file, got: {OneLine(error.Message)}", error);
        }
    }

    /// <summary>
    /// Parses bytes whose top is an object, with each key once; every name and text in it is valid Unicode.
    /// <paramref name="file"/> names them in errors.
    /// </summary>
    /// <exception cref="ToolkitException">They are something else.</exception>
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
        catch (JsonException error)
        {
            throw new ToolkitException($"{file}:{(error.LineNumber ?? 0) + 1}: expected JSON, got: {OneLine(error.Message)}", error);
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

    /// <summary>The error of a key in a file.</summary>
    public static ToolkitException Error(string file, string key, string expected, string got) =>
        new($"{file}: {key}: expected {expected}, got {got}");

    /// <summary>A value as a message shows it: one line, cut when long.</summary>
    public static string Show(JsonElement value) => value.ValueKind == JsonValueKind.Undefined ? "nothing" : Short(value.GetRawText());

    /// <summary>Text as a message shows it: one line, cut when long.</summary>
    public static string Short(string text)
    {
        text = OneLine(text);
        return text.Length <= 60 ? text : text[..57] + "...";
    }

    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}

/// <summary>
/// A JSON object, read strictly: a key that is missing, of another type or out of range is an error that names it. Each key
/// that is asked for counts as known; <see cref="RejectUnknown"/> refuses the others. Keys in messages are paths, as in
/// <c>policy.scales[2].rank</c>.
/// </summary>
public sealed class JsonMap
{
    private readonly Func<string, string, string, Exception> _error;
    private readonly string _place; // "" or "policy.scales[2]"
    private readonly HashSet<string> _known = [];

    private JsonMap(JsonElement element, Func<string, string, string, Exception> error, string place) =>
        (Element, _error, _place) = (element, error, place);

    /// <summary>The object itself.</summary>
    public JsonElement Element { get; }

    /// <summary>An object of a file.</summary>
    public static JsonMap From(string file, JsonElement element) =>
        From(element, (key, expected, got) => Json.Error(file, key, expected, got));

    /// <summary>An object of something that has errors of its own kind; <paramref name="error"/> makes them of key, expected and got.</summary>
    public static JsonMap From(JsonElement element, Func<string, string, string, Exception> error) => new(element, error, "");

    /// <summary>The error of a key of this object.</summary>
    public Exception Error(string key, string expected, string got) => _error(_place.Length == 0 ? key : $"{_place}.{key}", expected, got);

    /// <summary>Refuses the first key that nobody asked for.</summary>
    public void RejectUnknown()
    {
        foreach (JsonProperty field in Element.EnumerateObject())
            if (!_known.Contains(field.Name))
                throw Error(field.Name, "no such key", Json.Show(field.Value));
    }

    /// <summary>True where the key is there with a value other than null; asking makes it known.</summary>
    public bool Has(string key) => Has(key, out _);

    /// <summary>As <see cref="Has(string)"/>, with the value.</summary>
    public bool Has(string key, out JsonElement value)
    {
        _known.Add(key);
        return Element.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;
    }

    /// <summary>The value of a key, whatever it is.</summary>
    public JsonElement Get(string key, string expected)
    {
        _known.Add(key);
        return Element.TryGetProperty(key, out JsonElement value) ? value : throw Error(key, expected, "nothing");
    }

    /// <summary>True where the key is there and null.</summary>
    public bool IsNull(string key) => Get(key, "a value").ValueKind == JsonValueKind.Null;

    /// <summary>A nested object.</summary>
    public JsonMap Map(string key) => Inner(key, Get(key, "an object", JsonValueKind.Object));

    /// <summary>An array of objects; of exactly <paramref name="count"/> where that is given.</summary>
    public JsonMap[] Maps(string key, int? count = null)
    {
        string expected = count is null ? "an array of objects" : $"an array of {count} objects";
        JsonElement array = Get(key, expected, JsonValueKind.Array);
        if (count is not null && array.GetArrayLength() != count)
            throw Error(key, expected, $"{array.GetArrayLength()}");
        return Items(array, (item, i) =>
            item.ValueKind == JsonValueKind.Object ? Inner($"{key}[{i}]", item) : throw Wrong(key, i, "an object", item)
        );
    }

    /// <summary>A text.</summary>
    public string Text(string key, string expected = "a string") => Unicode(key, Get(key, expected, JsonValueKind.String));

    /// <summary>A text, or <paramref name="otherwise"/> where the key is missing or null.</summary>
    public string? TextOr(string key, string? otherwise) => Has(key) ? Text(key) : otherwise;

    /// <summary>An array of texts.</summary>
    public string[] Texts(string key) =>
        Items(Get(key, "an array of strings", JsonValueKind.Array), (item, i) =>
            item.ValueKind == JsonValueKind.String ? Unicode($"{key}[{i}]", item) : throw Wrong(key, i, "a string", item)
        );

    /// <summary>Checks that a key is this text.</summary>
    public void Literal(string key, string expected)
    {
        if (Text(key) is var got && got != expected)
            throw Error(key, $"'{expected}'", $"'{got}'");
    }

    /// <summary>One of some texts.</summary>
    public string OneOf(string key, IReadOnlyList<string> choices) =>
        Text(key) is var got && choices.Contains(got) ? got : throw Error(key, string.Join(" or ", choices), $"'{Json.Short(got)}'");

    /// <summary><c>true</c> or <c>false</c>.</summary>
    public bool Flag(string key)
    {
        JsonElement value = Get(key, "true or false");
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw Error(key, "true or false", Json.Show(value));
    }

    /// <summary>As <see cref="Flag"/>, or <paramref name="otherwise"/> where the key is missing or null.</summary>
    public bool FlagOr(string key, bool otherwise) => Has(key) ? Flag(key) : otherwise;

    /// <summary>A whole number from <paramref name="min"/> to <paramref name="max"/>, both included.</summary>
    public int Integer(string key, int min, int max)
    {
        string expected = $"a whole number {(max == int.MaxValue ? $"of at least {min}" : $"from {min} to {max}")}";
        JsonElement value = Get(key, expected);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= min && number <= max
            ? number
            : throw Error(key, expected, Json.Show(value));
    }

    /// <summary>As <see cref="Integer"/>, or null where the key is missing or null.</summary>
    public int? IntegerOrNull(string key, int min, int max) => Has(key) ? Integer(key, min, max) : null;

    /// <summary>A finite number from <paramref name="min"/> to <paramref name="max"/>, both included.</summary>
    public double Number(string key, double min, double max)
    {
        string expected =
            max < double.MaxValue ? FormattableString.Invariant($"a number from {min} to {max}")
            : min > double.MinValue ? FormattableString.Invariant($"a number of at least {min}")
            : "a number";
        JsonElement value = Get(key, expected);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max
            ? number
            : throw Error(key, expected, Json.Show(value));
    }

    /// <summary>As <see cref="Number"/>, or <paramref name="otherwise"/> where the key is missing or null.</summary>
    public double NumberOr(string key, double min, double max, double otherwise) => Has(key) ? Number(key, min, max) : otherwise;

    /// <summary>An array of finite numbers, or of <c>"inf"</c> for +infinity; of exactly <paramref name="count"/> where that is given.</summary>
    public double[] Numbers(string key, int? count)
    {
        string expected = count is null ? "an array of numbers" : $"an array of {count} numbers";
        JsonElement array = Get(key, expected, JsonValueKind.Array);
        if (count is not null && array.GetArrayLength() != count)
            throw Error(key, expected, $"{array.GetArrayLength()}");
        return Items(array, (item, i) => item.ValueKind switch
            {
                JsonValueKind.Number when item.TryGetDouble(out double x) && double.IsFinite(x) => x,
                JsonValueKind.String when item.ValueEquals("inf") => double.PositiveInfinity,
                _ => throw Wrong(key, i, "a number", item),
            });
    }

    private static T[] Items<T>(JsonElement array, Func<JsonElement, int, T> read) => [.. array.EnumerateArray().Select(read)];

    private Exception Wrong(string key, int index, string expected, JsonElement got) => Error($"{key}[{index}]", expected, Json.Show(got));

    // JSON can escape half a surrogate pair, which is no text.
    private string Unicode(string key, JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Error(key, "valid Unicode text", "half of a surrogate pair");
        }
    }

    private JsonMap Inner(string key, JsonElement value) => new(value, _error, _place.Length == 0 ? key : $"{_place}.{key}");

    private JsonElement Get(string key, string expected, JsonValueKind kind)
    {
        JsonElement value = Get(key, expected);
        return value.ValueKind == kind ? value : throw Error(key, expected, Json.Show(value));
    }
}
