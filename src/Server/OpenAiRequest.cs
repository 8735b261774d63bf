using System.Text.Json;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Server;

/// <summary>
/// A request to <c>/v1/chat/completions</c> or <c>/v1/completions</c>, checked. What the cascade cannot do is refused
/// (several choices, tools, other response formats); what does not matter to it is named in the response as ignored.
/// </summary>
internal sealed class OpenAiRequest
{
    // Decoding is greedy, so the parameters of sampling change nothing; the others are for other services.
    private static readonly HashSet<string> Known =
    [
        "model",
        "messages",
        "prompt",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "logprobs",
        "top_logprobs",
        "n",
        "best_of",
        "echo",
        "prompt_logprobs",
        "lambda",
        "quality_target",
        "toolkit_events",
        "user",
        "metadata",
        "store",
        "safety_identifier",
        "service_tier",
    ];

    // What a client asks of the answer and would not get: better refused than ignored.
    private static readonly string[] Constraints =
    [
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "logit_bias",
        "audio",
        "web_search_options",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "grammar",
        "suffix",
        "min_tokens",
    ];

    public required bool Chat { get; init; }
    public required string Model { get; init; }
    public required StageRequest Stage { get; init; }
    public bool Stream { get; init; }
    public bool IncludeUsage { get; init; }
    public bool Logprobs { get; init; }
    public bool Echo { get; init; }
    public int? PromptLogprobs { get; init; }

    /// <summary>Whether the stream also tells what happens on the cascade.</summary>
    public bool Events { get; init; }

    /// <summary>The request's own price of cost, or NaN.</summary>
    public double Lambda { get; init; } = double.NaN;

    /// <summary>The request's own target of mean quality, or NaN.</summary>
    public double QualityTarget { get; init; } = double.NaN;

    public IReadOnlyList<string> Ignored { get; init; } = [];

    public static OpenAiRequest Parse(JsonElement body, bool chat)
    {
        if (body.ValueKind != JsonValueKind.Object)
            throw ApiError.BadRequest($"body: expected a JSON object, got {Json.Show(body)}");
        JsonMap root = Map(body);
        if (root.IntegerOrNull("n", 1, int.MaxValue) is > 1)
            throw ApiError.BadRequest("expected one choice (a cascade gives one answer), got more", "n", "unsupported_value");
        if (root.IntegerOrNull("best_of", 1, int.MaxValue) is > 1)
            throw ApiError.BadRequest("expected 1, got more", "best_of", "unsupported_value");
        foreach (string key in Constraints)
            if (root.Has(key, out JsonElement value) && !IsEmpty(value))
                throw ApiError.BadRequest($"not supported by a cascade of text models: {key}", key, "unsupported_parameter");
        foreach (string key in (string[])["presence_penalty", "frequency_penalty"])
            if (root.NumberOr(key, -2, 2, 0) != 0)
                throw ApiError.BadRequest($"expected {key} 0 (decoding is greedy), got another", key, "unsupported_value");
        if (root.Has("response_format", out JsonElement format) && Text(format, "type") is not "text")
            throw ApiError.BadRequest("expected the type 'text'", "response_format", "unsupported_value");
        root.NumberOr("temperature", 0, 2, double.NaN);
        root.NumberOr("top_p", 0, 1, double.NaN);
        bool stream = root.FlagOr("stream", false);
        bool logprobs = chat ? root.FlagOr("logprobs", false) : root.Has("logprobs");
        int alternatives = (chat ? root.IntegerOrNull("top_logprobs", 0, 20) : root.IntegerOrNull("logprobs", 0, 20)) ?? 0;
        if (chat && alternatives > 0 && !logprobs)
            throw ApiError.BadRequest("expected logprobs: true beside it", "top_logprobs");
        bool includeUsage = false;
        if (root.Has("stream_options", out JsonElement options))
        {
            if (!stream)
                throw ApiError.BadRequest("expected stream: true beside it", "stream_options");
            if (options.ValueKind != JsonValueKind.Object)
                throw ApiError.BadRequest($"expected an object, got {Json.Show(options)}", "stream_options");
            includeUsage = Map(options).FlagOr("include_usage", false);
        }
        double lambda = root.NumberOr("lambda", 0, 1e9, double.NaN),
            target = root.NumberOr("quality_target", 0, 1, double.NaN);
        if (!double.IsNaN(lambda) && !double.IsNaN(target))
            throw ApiError.BadRequest("expected lambda or quality_target, got both", "quality_target");
        int? limit = root.IntegerOrNull("max_completion_tokens", 1, int.MaxValue)
            ?? root.IntegerOrNull("max_tokens", chat ? 1 : 0, int.MaxValue);
        return new OpenAiRequest
        {
            Chat = chat,
            Model = root.Text("model", "the name of a model (GET /v1/models lists them)"),
            Stage = new StageRequest(chat ? Messages(root) : Prompt(root))
            {
                MaxTokens = limit,
                Stop = Stops(root),
                Alternatives = alternatives,
            },
            Stream = stream,
            IncludeUsage = includeUsage,
            Logprobs = logprobs,
            Echo = !chat && root.FlagOr("echo", false),
            PromptLogprobs = chat ? null : root.IntegerOrNull("prompt_logprobs", 0, 20),
            Events = root.FlagOr("toolkit_events", false),
            Lambda = lambda,
            QualityTarget = target,
            Ignored =
            [
                .. body.EnumerateObject()
                    .Where(p => !Known.Contains(p.Name) && p.Value.ValueKind != JsonValueKind.Null)
                    .Select(p => p.Name),
            ],
        };
    }

    private static StagePrompt Messages(JsonMap root)
    {
        if (!root.Has("messages", out JsonElement list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            throw ApiError.BadRequest("expected a list of at least one message", "messages");
        var messages = new List<StageMessage>();
        foreach (JsonElement message in list.EnumerateArray())
        {
            string place = $"messages[{messages.Count}]";
            string role = Text(message, "role") ?? "";
            if (role is not ("system" or "developer" or "user" or "assistant"))
                throw ApiError.BadRequest($"expected the role system, developer, user or assistant, got '{role}'", $"{place}.role");
            messages.Add(new StageMessage(role == "developer" ? "system" : role, Content(message, place)));
        }
        return StagePrompt.FromMessages(messages);
    }

    // Text, or a list of parts that are all text.
    private static string Content(JsonElement message, string place)
    {
        if (Text(message, "content") is { } text)
            return text;
        if (!message.TryGetProperty("content", out JsonElement content) || content.ValueKind != JsonValueKind.Array)
            throw ApiError.BadRequest("expected text or a list of parts", $"{place}.content");
        return string.Concat(
            content
                .EnumerateArray()
                .Select(part =>
                    Text(part, "type") == "text" && Text(part, "text") is { } piece
                        ? piece
                        : throw ApiError.BadRequest("expected parts of the type 'text' only", $"{place}.content", "unsupported_value")
                )
        );
    }

    private static StagePrompt Prompt(JsonMap root)
    {
        if (!root.Has("prompt", out JsonElement prompt))
            throw ApiError.BadRequest("expected a text, got nothing", "prompt");
        bool isList = prompt.ValueKind == JsonValueKind.Array && prompt.GetArrayLength() == 1;
        if (isList)
            prompt = prompt[0];
        if (prompt.ValueKind != JsonValueKind.String)
            throw ApiError.BadRequest($"expected one text, got {Json.Show(prompt)}", "prompt", "unsupported_value");
        return StagePrompt.FromText(isList ? root.Texts("prompt")[0] : root.Text("prompt"));
    }

    private static string[] Stops(JsonMap root)
    {
        const string expected = "expected a text that is not empty, or a list of at most 4 of them";
        if (!root.Has("stop", out JsonElement stop))
            return [];
        if (stop.ValueKind is not (JsonValueKind.String or JsonValueKind.Array))
            throw ApiError.BadRequest(expected, "stop");
        string[] texts = stop.ValueKind == JsonValueKind.String ? [root.Text("stop")] : root.Texts("stop");
        return texts.Length <= 4 && !texts.Contains("") ? texts : throw ApiError.BadRequest(expected, "stop");
    }

    private static string? Text(JsonElement root, string key) =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? Map(root).Text(key)
            : null;

    private static JsonMap Map(JsonElement element) =>
        JsonMap.From(element, (key, expected, got) => ApiError.BadRequest($"expected {expected}, got {got}", key));

    private static bool IsEmpty(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.Object => !value.EnumerateObject().Any(),
            _ => false,
        };
}
