using System.Text.Json;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Server;

/// <summary>
/// A request to <c>/v1/chat/completions</c> or <c>/v1/completions</c>, checked. What the cascade cannot do is refused
/// (several choices, sound, grammars of other servers); what does not matter to it is named in the response as ignored.
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
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "modalities",
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
        "prompt_cache_key",
        "metadata",
        "store",
        "safety_identifier",
        "service_tier",
    ];

    // What a client asks of the answer and would not get: better refused than ignored.
    private static readonly string[] Constraints =
    [
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
        "bad_words",
        "stop_token_ids",
        "allowed_token_ids",
        "ignore_eos",
        "use_beam_search",
        "chat_template",
        "chat_template_kwargs",
        "continue_final_message",
    ];

    // Parts of a chat's request that the endpoint of texts does not have.
    private static readonly string[] ChatOnly = ["tools", "tool_choice", "response_format", "modalities"];

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

    /// <summary>The conversation that the request is a turn of (<see cref="SessionStages.Key"/>); null where it names none.</summary>
    public UInt128? Session { get; init; }

    /// <param name="session">The name of the conversation from outside the body; before <c>prompt_cache_key</c> and <c>user</c>.</param>
    /// <param name="credentials">What the client identified itself with: its conversations are its own.</param>
    public static OpenAiRequest Parse(JsonElement body, bool chat, string? session = null, string? credentials = null)
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
        if (root.NumberOr("repetition_penalty", 0, 10, 1) != 1)
            throw ApiError.BadRequest(
                "expected repetition_penalty 1 (decoding is greedy), got another",
                "repetition_penalty",
                "unsupported_value"
            );
        foreach (string key in ChatOnly)
            if (!chat && root.Has(key, out _))
                throw ApiError.BadRequest($"expected {key} on /v1/chat/completions only", key, "unsupported_parameter");
        if (root.Has("modalities", out _) && root.Texts("modalities") is not ["text"])
            throw ApiError.BadRequest("expected the modality 'text' alone", "modalities", "unsupported_value");
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
        session ??= Text(body, "prompt_cache_key") ?? Text(body, "user");
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
                Dataset = Dataset(root),
                Form = Form(root),
            },
            Stream = stream,
            IncludeUsage = includeUsage,
            Logprobs = logprobs,
            Echo = !chat && root.FlagOr("echo", false),
            PromptLogprobs = chat ? null : root.IntegerOrNull("prompt_logprobs", 0, 20),
            Events = root.FlagOr("toolkit_events", false),
            Lambda = lambda,
            QualityTarget = target,
            Session = string.IsNullOrEmpty(session) ? null : SessionStages.Key(session, credentials),
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
            if (role is not ("system" or "developer" or "user" or "assistant" or "tool"))
                throw ApiError.BadRequest($"expected the role system, developer, user, assistant or tool, got '{role}'", $"{place}.role");
            List<ToolCall> calls = role == "assistant" ? ToolCalls(message, place) : [];
            messages.Add(
                new StageMessage(role == "developer" ? "system" : role, Content(message, place, calls.Count > 0))
                {
                    Reasoning = Text(message, "reasoning_content") ?? Text(message, "reasoning"),
                    ToolCalls = calls,
                    ToolCallId =
                        role == "tool"
                            ? Text(message, "tool_call_id")
                                ?? throw ApiError.BadRequest(
                                    "expected the id of the call that this is the result of",
                                    $"{place}.tool_call_id"
                                )
                            : null,
                }
            );
        }
        return StagePrompt.FromMessages(messages);
    }

    private static List<ToolCall> ToolCalls(JsonElement message, string place)
    {
        var calls = new List<ToolCall>();
        if (!message.TryGetProperty("tool_calls", out JsonElement list) || list.ValueKind == JsonValueKind.Null)
            return calls;
        if (list.ValueKind != JsonValueKind.Array)
            throw ApiError.BadRequest($"expected a list, got {Json.Show(list)}", $"{place}.tool_calls");
        foreach (JsonElement call in list.EnumerateArray())
        {
            string where = $"{place}.tool_calls[{calls.Count}]";
            JsonElement function =
                call.ValueKind == JsonValueKind.Object && call.TryGetProperty("function", out JsonElement part) ? part : default;
            calls.Add(
                new ToolCall(
                    Text(call, "id") ?? throw ApiError.BadRequest("expected a text", $"{where}.id"),
                    Text(function, "name") ?? throw ApiError.BadRequest("expected a function with a name", $"{where}.function"),
                    Text(function, "arguments") ?? throw ApiError.BadRequest("expected JSON as text", $"{where}.function.arguments")
                )
            );
        }
        return calls;
    }

    // What the answer has to look like.
    private static AnswerForm Form(JsonMap root)
    {
        var form = new AnswerForm();
        if (root.Has("tools", out JsonElement tools) && !IsEmpty(tools))
        {
            if (tools.ValueKind != JsonValueKind.Array)
                throw ApiError.BadRequest($"expected a list, got {Json.Show(tools)}", "tools");
            for (int i = 0; i < tools.GetArrayLength(); i++)
                if (
                    Text(tools[i], "type") != "function"
                    || !tools[i].TryGetProperty("function", out JsonElement function)
                    || Text(function, "name") is null
                )
                    throw ApiError.BadRequest("expected a tool of the type 'function' with a name", $"tools[{i}]");
            form = form with
            {
                Tools = [.. tools.EnumerateArray().Select(tool => tool.Clone())],
                ParallelToolCalls = root.Has("parallel_tool_calls") ? root.FlagOr("parallel_tool_calls", true) : null,
            };
        }
        if (root.Has("tool_choice", out JsonElement choice))
        {
            bool isKnown = choice.ValueKind == JsonValueKind.Object || Word(choice) is "auto" or "none" or "required";
            if (!isKnown)
                throw ApiError.BadRequest($"expected auto, none, required or one tool, got {Json.Show(choice)}", "tool_choice");
            if (form.Tools.Count > 0)
                form = form with { ToolChoice = choice.Clone() };
            else if (Word(choice) is not ("auto" or "none"))
                throw ApiError.BadRequest("expected tools beside tool_choice, got none", "tool_choice");
        }
        if (!root.Has("response_format", out JsonElement format) || Text(format, "type") is "text")
            return form;
        if (Text(format, "type") is not ("json_object" or "json_schema"))
            throw ApiError.BadRequest("expected the type text, json_object or json_schema", "response_format", "unsupported_value");
        bool hasSchema = format.TryGetProperty("json_schema", out JsonElement named) && named.ValueKind == JsonValueKind.Object;
        if (Text(format, "type") == "json_schema" && !hasSchema)
            throw ApiError.BadRequest("expected a schema in json_schema", "response_format.json_schema");
        return form with { ResponseFormat = format.Clone() };
    }

    private static string? Word(JsonElement value) => value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    // Text, or a list of parts that are all text; an answer that calls tools need not say anything.
    private static string Content(JsonElement message, string place, bool optional)
    {
        if (Text(message, "content") is { } text)
            return text;
        if (optional && (!message.TryGetProperty("content", out JsonElement none) || none.ValueKind == JsonValueKind.Null))
            return "";
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

    // The client's own words about the request; the only one that a cascade knows is the dataset, by which its policy may route.
    private static string? Dataset(JsonMap root)
    {
        if (!root.Has("metadata", out JsonElement metadata))
            return null;
        return metadata.ValueKind == JsonValueKind.Object
            ? Text(metadata, "dataset")
            : throw ApiError.BadRequest($"expected an object, got {Json.Show(metadata)}", "metadata");
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
