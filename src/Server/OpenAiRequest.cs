using System.Text.Json;
using OptimalStopping.Runtime.Cascades;

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

    public static OpenAiRequest Parse(JsonElement root, bool chat)
    {
        if (root.ValueKind != JsonValueKind.Object)
            throw ApiError.BadRequest($"body: expected a JSON object, got {Show(root)}");
        if (Integer(root, "n", 1, int.MaxValue) is > 1)
            throw ApiError.BadRequest("expected one choice (a cascade gives one answer), got more", "n", "unsupported_value");
        if (Integer(root, "best_of", 1, int.MaxValue) is > 1)
            throw ApiError.BadRequest("expected 1, got more", "best_of", "unsupported_value");
        foreach (string key in (string[])["tools", "functions", "logit_bias", "audio", "web_search_options"])
            if (Given(root, key, out JsonElement value) && !IsEmpty(value))
                throw ApiError.BadRequest("not supported by a cascade of text models", key, "unsupported_parameter");
        if (Given(root, "response_format", out JsonElement format) && Text(format, "type") is not "text")
            throw ApiError.BadRequest("expected the type 'text'", "response_format", "unsupported_value");
        if (Given(root, "temperature", out JsonElement _))
            Number(root, "temperature", 0, 2);
        if (Given(root, "top_p", out JsonElement _))
            Number(root, "top_p", 0, 1);
        bool stream = Flag(root, "stream");
        bool logprobs = chat ? Flag(root, "logprobs") : Given(root, "logprobs", out JsonElement _);
        int alternatives = (chat ? Integer(root, "top_logprobs", 0, 20) : Integer(root, "logprobs", 0, 20)) ?? 0;
        if (chat && alternatives > 0 && !logprobs)
            throw ApiError.BadRequest("expected logprobs: true beside it", "top_logprobs");
        bool includeUsage = false;
        if (Given(root, "stream_options", out JsonElement options))
        {
            if (!stream)
                throw ApiError.BadRequest("expected stream: true beside it", "stream_options");
            if (options.ValueKind != JsonValueKind.Object)
                throw ApiError.BadRequest($"expected an object, got {Show(options)}", "stream_options");
            includeUsage = Flag(options, "include_usage");
        }
        double lambda = Number(root, "lambda", 0, 1e9),
            target = Number(root, "quality_target", 0, 1);
        if (!double.IsNaN(lambda) && !double.IsNaN(target))
            throw ApiError.BadRequest("expected lambda or quality_target, got both", "quality_target");
        int? limit = Integer(root, "max_completion_tokens", 1, int.MaxValue) ?? Integer(root, "max_tokens", chat ? 1 : 0, int.MaxValue);
        return new OpenAiRequest
        {
            Chat = chat,
            Model = Text(root, "model")
                ?? throw ApiError.BadRequest("expected the name of a model (GET /v1/models lists them), got nothing", "model"),
            Stage = new StageRequest(chat ? Messages(root) : Prompt(root))
            {
                MaxTokens = limit,
                Stop = Stops(root),
                Alternatives = alternatives,
            },
            Stream = stream,
            IncludeUsage = includeUsage,
            Logprobs = logprobs,
            Echo = !chat && Flag(root, "echo"),
            PromptLogprobs = chat ? null : Integer(root, "prompt_logprobs", 0, 20),
            Events = Flag(root, "toolkit_events"),
            Lambda = lambda,
            QualityTarget = target,
            Ignored =
            [
                .. root.EnumerateObject()
                    .Where(p => !Known.Contains(p.Name) && p.Value.ValueKind != JsonValueKind.Null)
                    .Select(p => p.Name),
            ],
        };
    }

    private static StagePrompt Messages(JsonElement root)
    {
        if (!Given(root, "messages", out JsonElement list) || list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
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

    private static StagePrompt Prompt(JsonElement root)
    {
        if (!Given(root, "prompt", out JsonElement prompt))
            throw ApiError.BadRequest("expected a text, got nothing", "prompt");
        if (prompt.ValueKind == JsonValueKind.Array && prompt.GetArrayLength() == 1)
            prompt = prompt[0];
        return prompt.ValueKind == JsonValueKind.String
            ? StagePrompt.FromText(String(prompt, "prompt"))
            : throw ApiError.BadRequest($"expected one text, got {Show(prompt)}", "prompt", "unsupported_value");
    }

    private static IReadOnlyList<string> Stops(JsonElement root)
    {
        if (!Given(root, "stop", out JsonElement stop))
            return [];
        if (stop.ValueKind == JsonValueKind.String)
            return [String(stop, "stop")];
        if (
            stop.ValueKind != JsonValueKind.Array
            || stop.GetArrayLength() > 4
            || stop.EnumerateArray().Any(s => s.ValueKind != JsonValueKind.String || s.ValueEquals(""))
        )
            throw ApiError.BadRequest("expected a text or a list of at most 4 texts", "stop");
        return [.. stop.EnumerateArray().Select(s => String(s, "stop"))];
    }

    // A key that is there and not null.
    private static bool Given(JsonElement root, string key, out JsonElement value) =>
        root.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;

    private static string? Text(JsonElement root, string key) =>
        root.ValueKind == JsonValueKind.Object && root.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.String
            ? String(value, key)
            : null;

    // JSON can escape half a surrogate pair, which is no text.
    private static string String(JsonElement value, string key)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw ApiError.BadRequest("expected valid Unicode text", key);
        }
    }

    private static bool Flag(JsonElement root, string key) =>
        Given(root, key, out JsonElement value)
        && value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw ApiError.BadRequest($"expected true or false, got {Show(value)}", key),
        };

    private static int? Integer(JsonElement root, string key, int min, int max)
    {
        if (!Given(root, key, out JsonElement value))
            return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= min && number <= max
            ? number
            : throw ApiError.BadRequest(
                $"expected a whole number {(max == int.MaxValue ? $"of at least {min}" : $"from {min} to {max}")}, got {Show(value)}",
                key
            );
    }

    private static double Number(JsonElement root, string key, double min, double max)
    {
        if (!Given(root, key, out JsonElement value))
            return double.NaN;
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && number >= min && number <= max
            ? number
            : throw ApiError.BadRequest(FormattableString.Invariant($"expected a number from {min} to {max}, got {Show(value)}"), key);
    }

    private static bool IsEmpty(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.Object => !value.EnumerateObject().Any(),
            _ => false,
        };

    private static string Show(JsonElement value)
    {
        string text = value.GetRawText();
        return text.Length <= 60 ? text : text[..57] + "...";
    }
}
