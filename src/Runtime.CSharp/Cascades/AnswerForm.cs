using System.Text.Json;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>A call of a tool, as a model wrote it.</summary>
/// <param name="Id">By which the tool's result names the call.</param>
/// <param name="Name">The tool.</param>
/// <param name="Arguments">Its arguments, as JSON text; it need not be valid.</param>
public sealed record ToolCall(string Id, string Name, string Arguments);

/// <summary>A piece of a tool call, as a stream brings it.</summary>
/// <param name="Index">Which of the answer's calls it belongs to, from 0.</param>
/// <param name="Id">Null but in a call's first piece.</param>
/// <param name="Name">Null but in a call's first piece.</param>
/// <param name="Arguments">The next characters of the arguments.</param>
public sealed record ToolCallPiece(int Index, string? Id, string? Name, string Arguments);

/// <summary>
/// What a request asks of the form of an answer: tools that may be called, or JSON. The parts are those of the OpenAI
/// protocol, kept as they came, and are passed on to servers as they are. A stage that cannot honour them is passed over.
/// </summary>
public sealed record AnswerForm
{
    /// <summary>Any text.</summary>
    public static AnswerForm Free { get; } = new();

    /// <summary>Descriptions of the tools; empty for none.</summary>
    public IReadOnlyList<JsonElement> Tools { get; init; } = [];

    /// <summary><c>auto</c>, <c>none</c>, <c>required</c>, or one tool; null for the server's own choice.</summary>
    public JsonElement? ToolChoice { get; init; }

    /// <summary>Whether one answer may call several tools; null for the server's own choice.</summary>
    public bool? ParallelToolCalls { get; init; }

    /// <summary><c>json_object</c> or <c>json_schema</c>; null for text.</summary>
    public JsonElement? ResponseFormat { get; init; }

    /// <summary>Whether any text will do.</summary>
    public bool IsFree => Tools.Count == 0 && ResponseFormat is null;

    /// <summary>Whether the model itself decides to call a tool or not, which no constraint on decoding is needed for.</summary>
    public bool LeavesToolsToModel =>
        ToolChoice is not { } choice || (choice.ValueKind == JsonValueKind.String && choice.GetString() is "auto" or "none");

    /// <summary>
    /// Whether an answer is what was asked for: JSON that parses, tools that exist, and every required property there. Types
    /// and deeper properties are not looked at. An answer that fails this cannot be right, whatever its probability.
    /// </summary>
    public bool Accepts(string text, IReadOnlyList<ToolCall> calls)
    {
        foreach (ToolCall call in calls)
            if (FunctionOf(call.Name) is not { } function || !IsObject(call.Arguments, Part(function, "parameters")))
                return false;
        if (calls.Count > 0 || ResponseFormat is not { } format)
            return true;
        return IsObject(text, Part(Part(format, "json_schema"), "schema"));
    }

    /// <summary>What an answer says, by which answers are compared: its text, and the tools that it calls with their arguments.</summary>
    public static string Said(string text, IReadOnlyList<ToolCall> calls) =>
        string.Join('\n', [text, .. calls.Select(call => $"{call.Name}({call.Arguments})")]);

    private JsonElement? FunctionOf(string name)
    {
        foreach (JsonElement tool in Tools)
            if (Part(tool, "function") is { } function && Part(function, "name") is { ValueKind: JsonValueKind.String } own)
                if (own.GetString() == name)
                    return function;
        return null;
    }

    private static bool IsObject(string text, JsonElement? schema)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement root = document.RootElement;
            bool wantsObject = Part(schema, "type") is not { ValueKind: JsonValueKind.String } type || type.GetString() == "object";
            if (!wantsObject)
                return true;
            if (root.ValueKind != JsonValueKind.Object)
                return false;
            return Part(schema, "required") is not { ValueKind: JsonValueKind.Array } required
                || required
                    .EnumerateArray()
                    .All(key => key.ValueKind != JsonValueKind.String || root.TryGetProperty(key.GetString()!, out _));
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static JsonElement? Part(JsonElement? owner, string key) =>
        owner is { ValueKind: JsonValueKind.Object } known && known.TryGetProperty(key, out JsonElement part) ? part : null;
}

/// <summary>The calls of an answer, from their pieces.</summary>
internal sealed class ToolCallBuilder
{
    private readonly List<ToolCall> _calls = [];

    /// <summary>The calls so far.</summary>
    public IReadOnlyList<ToolCall> Calls => _calls;

    /// <summary>Takes the next piece.</summary>
    /// <exception cref="FormatException">It belongs to a call that has not begun.</exception>
    public void Add(ToolCallPiece piece)
    {
        if (piece.Index == _calls.Count && piece.Name is { } name)
            _calls.Add(new ToolCall(piece.Id ?? $"call_{piece.Index}", name, piece.Arguments));
        else if (piece.Index >= 0 && piece.Index < _calls.Count)
            _calls[piece.Index] = _calls[piece.Index] with { Arguments = _calls[piece.Index].Arguments + piece.Arguments };
        else
            throw new FormatException($"expected pieces of tool call {_calls.Count} to begin with its name, got index {piece.Index}");
    }
}

/// <summary>The tool calls that a Qwen model writes into its text: JSON between <c>&lt;tool_call&gt;</c> and <c>&lt;/tool_call&gt;</c>.</summary>
internal static class WrittenToolCalls
{
    private const string Opening = "<tool_call>",
        Closing = "</tool_call>";

    /// <summary>Cuts a text into what is said and the calls. A block that is no call stays part of the text.</summary>
    public static (string Text, IReadOnlyList<ToolCall> Calls) Split(string text)
    {
        var calls = new List<ToolCall>();
        int first = -1,
            at = 0;
        while (true)
        {
            int start = text.IndexOf(Opening, at, StringComparison.Ordinal);
            int end = start < 0 ? -1 : text.IndexOf(Closing, start, StringComparison.Ordinal);
            if (end < 0 || Read(text[(start + Opening.Length)..end], calls.Count) is not { } call)
                break;
            if (first < 0)
                first = start;
            calls.Add(call);
            at = end + Closing.Length;
        }
        bool whole = calls.Count > 0 && text[at..].Trim() == "";
        return whole ? (text[..first].TrimEnd(), calls) : (text, []);
    }

    private static ToolCall? Read(string block, int index)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(block);
            JsonElement root = document.RootElement;
            return
                root.ValueKind == JsonValueKind.Object
                && root.TryGetProperty("name", out JsonElement name)
                && name.ValueKind == JsonValueKind.String
                && root.TryGetProperty("arguments", out JsonElement arguments)
                ? new ToolCall(
                    $"call_{index}",
                    name.GetString()!,
                    arguments.ValueKind == JsonValueKind.String ? arguments.GetString()! : arguments.GetRawText()
                )
                : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
