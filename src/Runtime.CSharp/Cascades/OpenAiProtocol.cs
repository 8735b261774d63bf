using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>A token as a server reports it: its text may be a stand-in ("\ufffd", "bytes:\xf0") for bytes that are no whole character.</summary>
internal readonly record struct ReportedToken(string Text, byte[] Bytes, double LogProbability)
{
    /// <summary>The likeliest tokens at this place.</summary>
    public IReadOnlyList<ReportedToken> Alternatives { get; init; } = [];
}

/// <summary>One event of an answer's stream, or an answer that came whole.</summary>
internal sealed record OpenAiChunk
{
    /// <summary>Text of the answer.</summary>
    public string Content { get; init; } = "";

    /// <summary>Thinking that the server keeps apart from the answer.</summary>
    public string Reasoning { get; init; } = "";

    /// <summary>Pieces of tool calls.</summary>
    public IReadOnlyList<ToolCallPiece> ToolCalls { get; init; } = [];

    /// <summary>What the model says where it declines to answer.</summary>
    public string Refusal { get; init; } = "";

    public IReadOnlyList<ReportedToken> Tokens { get; init; } = [];
    public string? FinishReason { get; init; }

    /// <summary>Whether a text that the request names ended the answer; null where the server does not tell.</summary>
    public bool? Stopped { get; init; }

    public (int Prompt, int Completion)? Usage { get; init; }
    public ConfidenceFeatures? Features { get; init; }

    /// <summary>What the server says of itself: <c>system_fingerprint</c>.</summary>
    public string? Fingerprint { get; init; }

    /// <summary>The model that the server names; null for none.</summary>
    public string? Model { get; init; }

    /// <summary>The server's own words where the event is an error.</summary>
    public string? Error { get; init; }
}

/// <summary>
/// The OpenAI protocol as servers speak it, requests out and events in. Reading is lenient where servers differ (both
/// shapes of log-probabilities on both endpoints) and strict in types: what has another type is a <see cref="FormatException"/>.
/// </summary>
internal static class OpenAiProtocol
{
    /// <summary>The body of a request for an answer, greedy unless a temperature is given.</summary>
    public static JsonObject Body(OpenAiSettings settings, ChatMode chat, StageRequest request, int limit, bool logprobs)
    {
        var body = new JsonObject { ["model"] = settings.Model };
        int top = Math.Max(settings.TopLogprobs, request.Alternatives);
        if (settings.Api == OpenAiApi.Chat)
        {
            body["messages"] = Messages(request.Prompt);
            if (logprobs)
                (body["logprobs"], body["top_logprobs"]) = (true, top);
            AddForm(body, request.Form);
            if (chat != ChatMode.None)
                body["chat_template_kwargs"] = new JsonObject { ["enable_thinking"] = chat == ChatMode.Thinking };
        }
        else
        {
            body["prompt"] = Text(request.Prompt);
            if (logprobs)
                body["logprobs"] = top;
        }
        body["temperature"] = 0;
        body[settings.LimitKey] = limit;
        if (request.Stop.Count > 0)
            body["stop"] = new JsonArray([.. request.Stop.Select(stop => (JsonNode)stop)]);
        body["stream"] = true;
        body["stream_options"] = new JsonObject { ["include_usage"] = true };
        return body;
    }

    /// <summary>The messages of a prompt; a plain text is what the user says.</summary>
    public static JsonArray Messages(StagePrompt prompt) =>
        new([
            .. (prompt.Text is { } text ? [new StageMessage("user", text)] : prompt.Messages).Select(message => (JsonNode)Message(message)),
        ]);

    private static JsonObject Message(StageMessage message)
    {
        var json = new JsonObject { ["role"] = message.Role, ["content"] = message.Content };
        if (message.ToolCalls.Count > 0)
        {
            // Some servers want null where nothing was said beside the calls.
            json["content"] = message.Content == "" ? null : message.Content;
            json["tool_calls"] = new JsonArray([
                .. message.ToolCalls.Select(call =>
                    (JsonNode)
                        new JsonObject
                        {
                            ["id"] = call.Id,
                            ["type"] = "function",
                            ["function"] = new JsonObject { ["name"] = call.Name, ["arguments"] = call.Arguments },
                        }
                ),
            ]);
        }
        if (message.ToolCallId is { } id)
            json["tool_call_id"] = id;
        if (message.Reasoning is { } reasoning)
            json["reasoning_content"] = reasoning;
        return json;
    }

    private static void AddForm(JsonObject body, AnswerForm form)
    {
        if (form.Tools.Count > 0)
        {
            body["tools"] = new JsonArray([.. form.Tools.Select(tool => Node(tool))]);
            if (form.ToolChoice is { } choice)
                body["tool_choice"] = Node(choice);
            if (form.ParallelToolCalls is { } parallel)
                body["parallel_tool_calls"] = parallel;
        }
        if (form.ResponseFormat is { } format)
            body["response_format"] = Node(format);

        static JsonNode? Node(JsonElement element) => JsonNode.Parse(element.GetRawText());
    }

    /// <summary>The text of a prompt for a server that puts no template around it: a system message stands before the question.</summary>
    /// <exception cref="ToolkitException">It is a conversation with answers.</exception>
    public static string Text(StagePrompt prompt) =>
        prompt.Text
        ?? (
            prompt.Messages.Count(message => message.Role == "user") == 1
            && prompt.Messages.All(message => message.Role is "user" or "system")
                ? string.Join("\n\n", prompt.Messages.Select(message => message.Content))
                : throw new ToolkitException(
                    $"messages: expected one message of the role 'user' (a stage with api: completions has no chat template), got {string.Join(", ", prompt.Messages.Select(m => m.Role))}"
                )
        );

    /// <summary>Reads an event.</summary>
    /// <exception cref="FormatException">It is no JSON, or no event of the protocol; the message says what was expected and what was got.</exception>
    public static OpenAiChunk Read(string data)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(data);
        }
        catch (JsonException)
        {
            throw new FormatException($"expected an event of the OpenAI protocol, got '{Short(data)}'");
        }
        using (document)
        {
            JsonElement root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                throw Unexpected("an object", "the event", root);
            if (Get(root, "error", JsonValueKind.Object, JsonValueKind.String) is { } error)
                return new OpenAiChunk { Error = ErrorText(error) };
            var chunk = new OpenAiChunk
            {
                Usage = Get(root, "usage", JsonValueKind.Object) is { } usage
                    ? (Count(usage, "prompt_tokens"), Count(usage, "completion_tokens"))
                    : null,
                Features = Get(root, "signals", JsonValueKind.Object) is { } signals ? Features(signals) : null,
                Fingerprint = Get(root, "system_fingerprint", JsonValueKind.String)?.GetString(),
                Model = Get(root, "model", JsonValueKind.String)?.GetString(),
            };
            if (Get(root, "choices", JsonValueKind.Array) is not { } choices)
                throw Unexpected("an array", "choices", root);
            if (choices.GetArrayLength() == 0)
                return chunk;
            JsonElement choice = choices[0];
            JsonElement? message = Get(choice, "delta", JsonValueKind.Object) ?? Get(choice, "message", JsonValueKind.Object);
            return chunk with
            {
                Content = String(message, "content") ?? String(choice, "text") ?? "",
                Reasoning = String(message, "reasoning_content") ?? String(message, "reasoning") ?? "",
                ToolCalls =
                    message is { } owner && Get(owner, "tool_calls", JsonValueKind.Array) is { } calls
                        ? [.. calls.EnumerateArray().Select(Piece)]
                        : [],
                Refusal = String(message, "refusal") ?? "",
                Tokens = Get(choice, "logprobs", JsonValueKind.Object) is { } logprobs ? Tokens(logprobs) : [],
                FinishReason = String(choice, "finish_reason"),
                Stopped =
                    String(choice, "stop_reason") is not null ? true
                    : choice.TryGetProperty("stop_reason", out _) ? false
                    : null,
            };
        }
    }

    /// <summary>The tokens of either shape of log-probabilities; the first token of an echo has none (NaN).</summary>
    public static List<ReportedToken> Tokens(JsonElement logprobs)
    {
        var tokens = new List<ReportedToken>();
        if (Get(logprobs, "content", JsonValueKind.Array) is { } content)
        {
            foreach (JsonElement token in content.EnumerateArray())
                tokens.Add(
                    Token(token) with
                    {
                        Alternatives = Get(token, "top_logprobs", JsonValueKind.Array) is { } top
                            ? [.. top.EnumerateArray().Select(Token)]
                            : [],
                    }
                );
            return tokens;
        }
        if (
            Get(logprobs, "tokens", JsonValueKind.Array) is not { } texts
            || Get(logprobs, "token_logprobs", JsonValueKind.Array) is not { } values
        )
            return tokens;
        if (texts.GetArrayLength() != values.GetArrayLength())
            throw new FormatException(
                $"expected as many token_logprobs as tokens ({texts.GetArrayLength()}), got {values.GetArrayLength()}"
            );
        JsonElement? tops = Get(logprobs, "top_logprobs", JsonValueKind.Array);
        for (int i = 0; i < texts.GetArrayLength(); i++)
        {
            string text = texts[i].ValueKind == JsonValueKind.String ? texts[i].GetString()! : throw Unexpected("text", "tokens", texts[i]);
            double value = values[i].ValueKind == JsonValueKind.Null ? double.NaN : Number(values[i], "token_logprobs");
            var token = new ReportedToken(text, BytesOf(text), value);
            if (tops is { } list && i < list.GetArrayLength() && list[i].ValueKind == JsonValueKind.Object)
                token = token with
                {
                    Alternatives =
                    [
                        .. list[i]
                            .EnumerateObject()
                            .Select(p => new ReportedToken(p.Name, BytesOf(p.Name), Number(p.Value, "top_logprobs"))),
                    ],
                };
            tokens.Add(token);
        }
        return tokens;
    }

    /// <summary>The words and the parameter of an error that a server sent as a body; the start of the body where it is no JSON.</summary>
    public static (string Message, string? Parameter) Error(string body)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body);
            JsonElement root = document.RootElement;
            if (root.ValueKind == JsonValueKind.Object)
            {
                JsonElement error = root.TryGetProperty("error", out JsonElement inner) ? inner : root;
                return (ErrorText(error), error.ValueKind == JsonValueKind.Object ? String(error, "param") : null);
            }
        }
        catch (JsonException)
        {
            // said as it is, below
        }
        return (Short(body), null);
    }

    /// <summary>The start of a text, on one line.</summary>
    public static string Short(string text)
    {
        text = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return text.Length <= 300 ? text : text[..297] + "...";
    }

    /// <summary>A number.</summary>
    /// <exception cref="FormatException">It is something else.</exception>
    public static double Number(JsonElement value, string name) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number)
            ? number
            : throw Unexpected("a number", name, value);

    private static string ErrorText(JsonElement error) =>
        error.ValueKind == JsonValueKind.String ? Short(error.GetString()!)
        : error.ValueKind == JsonValueKind.Object && (String(error, "message") ?? String(error, "detail")) is { } message ? Short(message)
        : Short(error.GetRawText());

    // A call of an answer that came whole has no index: its place is one.
    private static ToolCallPiece Piece(JsonElement call, int place)
    {
        if (call.ValueKind != JsonValueKind.Object)
            throw Unexpected("an object", "tool_calls", call);
        JsonElement? function = Get(call, "function", JsonValueKind.Object);
        int index = Get(call, "index", JsonValueKind.Number) is { } given && given.TryGetInt32(out int number) ? number : place;
        return new ToolCallPiece(index, String(call, "id"), String(function, "name"), String(function, "arguments") ?? "");
    }

    private static ReportedToken Token(JsonElement token)
    {
        if (token.ValueKind != JsonValueKind.Object)
            throw Unexpected("an object", "logprobs.content", token);
        string text = String(token, "token") ?? throw Unexpected("text", "token", token);
        if (!token.TryGetProperty("logprob", out JsonElement logprob))
            throw Unexpected("a number", "logprob", token);
        byte[] bytes = Get(token, "bytes", JsonValueKind.Array) is { } list
            ?
            [
                .. list.EnumerateArray()
                    .Select(b =>
                        b.ValueKind == JsonValueKind.Number && b.TryGetByte(out byte value) ? value : throw Unexpected("bytes", "bytes", b)
                    ),
            ]
            : BytesOf(text);
        return new ReportedToken(text, bytes, Number(logprob, "logprob"));
    }

    // Some servers write a token that is no text as "bytes:\xf0\x9f".
    private static byte[] BytesOf(string text)
    {
        const string mark = "bytes:";
        if (!text.StartsWith(mark + "\\x", StringComparison.Ordinal))
            return Encoding.UTF8.GetBytes(text);
        string[] parts = text[(mark.Length + 2)..].Split("\\x");
        var bytes = new byte[parts.Length];
        for (int i = 0; i < parts.Length; i++)
            if (!byte.TryParse(parts[i], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out bytes[i]))
                return Encoding.UTF8.GetBytes(text);
        return bytes;
    }

    private static ConfidenceFeatures Features(JsonElement signals) =>
        ConfidenceFeatures.FromVector([
            .. ConfidenceFeatures.Names.Select(name =>
                signals.TryGetProperty(name, out JsonElement value) ? Number(value, name) : throw Unexpected("a number", name, signals)
            ),
        ]);

    private static int Count(JsonElement usage, string key) =>
        Get(usage, key, JsonValueKind.Number) is { } value && value.TryGetInt32(out int count) && count >= 0 ? count : 0;

    private static string? String(JsonElement? element, string key) =>
        element is { } owner && Get(owner, key, JsonValueKind.String) is { } value ? value.GetString() : null;

    // A key of one of the kinds; null where it is missing or null.
    private static JsonElement? Get(JsonElement owner, string key, params ReadOnlySpan<JsonValueKind> kinds)
    {
        if (
            owner.ValueKind != JsonValueKind.Object
            || !owner.TryGetProperty(key, out JsonElement value)
            || value.ValueKind == JsonValueKind.Null
        )
            return null;
        return kinds.Contains(value.ValueKind) ? value
            : key == "stop_reason" ? null
            : throw Unexpected($"{kinds[0].ToString().ToLowerInvariant()}", key, value);
    }

    private static FormatException Unexpected(string expected, string key, JsonElement got) =>
        new($"expected {expected} as {key}, got '{Short(got.GetRawText())}'");
}
