using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>Which of the protocol's two ways of asking a stage uses.</summary>
public enum OpenAiApi
{
    /// <summary><c>/chat/completions</c>: the server puts the model's chat template around the messages.</summary>
    Chat,

    /// <summary><c>/completions</c>: the text as it is.</summary>
    Completions,
}

/// <summary>How a server tells the log-probabilities of a text that it was given, which is what verifying a draft needs.</summary>
public enum OpenAiVerification
{
    /// <summary>It does not; drafts are not verified there.</summary>
    None,

    /// <summary>vLLM: the request's <c>prompt_logprobs</c>.</summary>
    PromptLogprobs,

    /// <summary>SGLang, this toolkit and others: <c>echo</c> with <c>logprobs</c> on <c>/completions</c>.</summary>
    Echo,

    /// <summary>llama.cpp, which ignores both: the draft is the only text that a grammar allows, and is written with log-probabilities.</summary>
    Grammar,
}

/// <summary>A model behind an OpenAI-compatible server, as the cascade file describes it.</summary>
/// <param name="Url">Base URL, with the version: <c>http://host:8000/v1</c>; without a name, a password or a query.</param>
/// <param name="Model">The model's name there.</param>
public sealed record OpenAiSettings(Uri Url, string Model)
{
    /// <summary>Environment variable that holds the API key; null for a server without one.</summary>
    public string? KeyVariable { get; init; }

    /// <summary>Which endpoint is asked.</summary>
    public OpenAiApi Api { get; init; } = OpenAiApi.Chat;

    /// <summary>How a draft is scored.</summary>
    public OpenAiVerification Verification { get; init; } = OpenAiVerification.None;

    /// <summary>The key of a request that limits its tokens: OpenAI's newer models know <c>max_completion_tokens</c> only, most other servers <c>max_tokens</c>.</summary>
    public string LimitKey { get; init; } = "max_tokens";

    /// <summary>What the confidence in an answer comes from.</summary>
    public ConfidenceSource Confidence { get; init; } = ConfidenceSource.LogProbabilities;

    /// <summary>Answers that are sampled beside the greedy one, for <see cref="ConfidenceSource.Samples"/>.</summary>
    public int Samples { get; init; } = 5;

    /// <summary>Likeliest tokens to ask for; margin and entropy are computed from them. OpenAI allows 20, vLLM 20 unless told otherwise.</summary>
    public int TopLogprobs { get; init; } = 20;

    /// <summary>Longest wait for an answer, in seconds: for a place, for further attempts and for the answer, all together.</summary>
    public double TimeoutSeconds { get; init; } = 60;

    /// <summary>Attempts after the first.</summary>
    public int Retries { get; init; } = 2;

    /// <summary>Longest pause before another attempt, in seconds. A server that asks for a longer one (Retry-After) is passed over at once.</summary>
    public double PatienceSeconds { get; init; } = 2;

    /// <summary>Most requests under way at once; more wait, in order.</summary>
    public int Concurrency { get; init; } = 32;

    /// <summary>Failures one after another after which a stage is left alone.</summary>
    public int BreakAfter { get; init; } = 3;

    /// <summary>Seconds for which a stage that keeps failing is left alone.</summary>
    public double BreakSeconds { get; init; } = 10;

    /// <summary>Reads the keys of a stage with <c>backend: openai</c>.</summary>
    internal static OpenAiSettings Read(YamlMap stage)
    {
        var remote = new OpenAiSettings(Address(stage), stage.Text("model"))
        {
            KeyVariable = stage.Has("key_env") ? stage.Text("key_env") : null,
            Api = Choice(stage, "api", "chat", ("chat", OpenAiApi.Chat), ("completions", OpenAiApi.Completions)),
            Verification = Choice(
                stage,
                "verify",
                "none",
                ("none", OpenAiVerification.None),
                ("prompt_logprobs", OpenAiVerification.PromptLogprobs),
                ("echo", OpenAiVerification.Echo),
                ("grammar", OpenAiVerification.Grammar)
            ),
            LimitKey = Choice(
                stage,
                "limit_key",
                "max_tokens",
                ("max_tokens", "max_tokens"),
                ("max_completion_tokens", "max_completion_tokens")
            ),
            Confidence = Choice(
                stage,
                "confidence",
                "logprobs",
                ("logprobs", ConfidenceSource.LogProbabilities),
                ("samples", ConfidenceSource.Samples),
                ("judge", ConfidenceSource.Judge),
                ("agreement", ConfidenceSource.Agreement),
                ("text", ConfidenceSource.Text),
                ("none", ConfidenceSource.None)
            ),
            Samples = stage.IntegerOr("samples", 1, 100, 5),
            TopLogprobs = stage.IntegerOr("top_logprobs", 2, 1000, 20),
            TimeoutSeconds = stage.NumberOr("timeout_seconds", 0.01, 86_400, 60),
            Retries = stage.IntegerOr("retries", 0, 10, 2),
            PatienceSeconds = stage.NumberOr("patience_seconds", 0, 3600, 2),
            Concurrency = stage.IntegerOr("concurrency", 1, 100_000, 32),
            BreakAfter = stage.IntegerOr("break_after", 1, 1000, 3),
            BreakSeconds = stage.NumberOr("break_seconds", 0.5, 3600, 10),
        };
        if (remote is { Verification: OpenAiVerification.Echo, Api: OpenAiApi.Chat })
            throw stage.Error("verify", "echo only with api: completions (a chat cannot be echoed)", "'echo'");
        return remote;
    }

    // What stands in the address is shown in messages and manifests, so it must hold no secret; one that does is not shown here either.
    private static Uri Address(YamlMap stage)
    {
        string url = stage.Text("url");
        if (!Uri.TryCreate(url.TrimEnd('/') + "/", UriKind.Absolute, out Uri? address) || address.Scheme is not ("http" or "https"))
            throw stage.Error("url", "an address that begins with http:// or https://", url.Contains('@') ? "another" : $"'{url}'");
        if (address.UserInfo != "")
            throw stage.Error("url", "an address without a name and password (key_env names the variable with the key)", "one with them");
        if (address.Query != "" || address.Fragment != "")
            throw stage.Error("url", "an address without a query (key_env names the variable with the key)", "one with a query");
        return address;
    }

    private static T Choice<T>(YamlMap stage, string key, string otherwise, params ReadOnlySpan<(string Name, T Value)> choices)
    {
        string text = stage.TextOr(key, otherwise);
        var names = new List<string>();
        foreach (var (name, value) in choices)
        {
            if (name == text)
                return value;
            names.Add(name);
        }
        throw stage.Error(key, string.Join(" or ", names), $"'{text}'");
    }
}
