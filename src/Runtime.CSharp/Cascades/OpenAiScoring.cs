using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace OptimalStopping.Runtime.Cascades;

// How a draft is scored by a server that was not made for it: three ways, each of which some servers know.
public sealed partial class OpenAiStage
{
    /// <inheritdoc/>
    public bool CanVerify => _remote.Verification != OpenAiVerification.None;

    /// <inheritdoc/>
    /// <remarks>
    /// A draft is aligned with the server's tokens by its text; a token that covers the border of prompt and draft counts to
    /// the prompt.
    /// </remarks>
    public async ValueTask<DraftVerdict> VerifyAsync(
        StageRequest request,
        IReadOnlyList<StageToken> draft,
        CancellationToken cancel = default
    )
    {
        if (!CanVerify)
            throw new StageException(
                Name,
                StageFailures.Refused,
                "expected a server that scores prompts (key 'verify' in the cascade file), got none"
            );
        string text = string.Concat(draft.Select(token => token.Text));
        if (text.Length == 0)
            return new DraftVerdict([], 0);
        return await _resilience
            .RunAsync(
                async token =>
                {
                    try
                    {
                        return _remote.Verification switch
                        {
                            OpenAiVerification.Echo => await EchoAsync(request, text, token).ConfigureAwait(false),
                            OpenAiVerification.Grammar => await GrammarAsync(request, text, token).ConfigureAwait(false),
                            _ => await PromptLogprobsAsync(request, text, token).ConfigureAwait(false),
                        };
                    }
                    catch (Exception fault) when (fault is not (StageException or ToolkitException or OperationCanceledException))
                    {
                        throw Failure(fault, false);
                    }
                },
                cancel
            )
            .ConfigureAwait(false);
    }

    private async Task<DraftVerdict> EchoAsync(StageRequest request, string draft, CancellationToken cancel)
    {
        string prompt = OpenAiProtocol.Text(request.Prompt);
        // Some servers refuse a limit of 0; what they write after the draft is left out below.
        var body = new JsonObject
        {
            ["model"] = _remote.Model,
            ["prompt"] = prompt + draft,
            ["temperature"] = 0,
            [_remote.LimitKey] = 1,
            ["echo"] = true,
            ["logprobs"] = 1,
        };
        using JsonDocument document = await ScoreAsync("completions", body, prompt.Length + draft.Length, cancel).ConfigureAwait(false);
        if (!Choice(document).TryGetProperty("logprobs", out JsonElement logprobs) || logprobs.ValueKind != JsonValueKind.Object)
            throw new FormatException(
                "expected the log-probabilities of the prompt (echo), got none: the server ignores echo; set verify: none or grammar"
            );
        return Judge(OpenAiProtocol.Tokens(logprobs), prompt.Length, draft.Length, "echo");
    }

    private async Task<DraftVerdict> PromptLogprobsAsync(StageRequest request, string draft, CancellationToken cancel)
    {
        JsonObject body;
        string path;
        if (_remote.Api == OpenAiApi.Completions)
            (path, body) = ("completions", new JsonObject { ["prompt"] = OpenAiProtocol.Text(request.Prompt) + draft });
        else
        {
            JsonArray messages = OpenAiProtocol.Messages(request.Prompt);
            messages.Add(new JsonObject { ["role"] = "assistant", ["content"] = draft });
            (path, body) = (
                "chat/completions",
                new JsonObject
                {
                    ["messages"] = messages,
                    ["continue_final_message"] = true,
                    ["add_generation_prompt"] = false,
                }
            );
        }
        body["model"] = _remote.Model;
        body["temperature"] = 0;
        body[_remote.LimitKey] = 1;
        body["prompt_logprobs"] = 1;
        using JsonDocument document = await ScoreAsync(path, body, 4096 + draft.Length, cancel).ConfigureAwait(false);
        // vLLM writes it beside the choices of a chat and inside the choice of a completion.
        if (
            !document.RootElement.TryGetProperty("prompt_logprobs", out JsonElement list)
            && !Choice(document).TryGetProperty("prompt_logprobs", out list)
        )
            throw new FormatException("expected prompt_logprobs, got none: the server ignores them; set verify: none, echo or grammar");
        var tokens = new List<ReportedToken>();
        foreach (JsonElement entry in list.EnumerateArray())
            tokens.Add(entry.ValueKind == JsonValueKind.Object ? Ranked(entry) : new ReportedToken("", [], double.NaN));
        int total = tokens.Sum(token => token.Text.Length);
        return Judge(tokens, total - draft.Length, draft.Length, "prompt_logprobs");
    }

    // The first entry is the token itself, with its rank; likelier ones follow.
    private static ReportedToken Ranked(JsonElement entry)
    {
        ReportedToken[] all = [.. entry.EnumerateObject().Select(p => Token(p.Value))];
        return all[0] with { Alternatives = all };

        static ReportedToken Token(JsonElement value)
        {
            string text = value.GetProperty("decoded_token").GetString() ?? "";
            return new ReportedToken(text, Encoding.UTF8.GetBytes(text), OpenAiProtocol.Number(value.GetProperty("logprob"), "logprob"));
        }
    }

    // llama.cpp scores no prompts, but it can be made to write a text, with the log-probability of each token.
    private async Task<DraftVerdict> GrammarAsync(StageRequest request, string draft, CancellationToken cancel)
    {
        JsonObject body = OpenAiProtocol.Body(
            _remote,
            _context.Chat,
            request with
            {
                Alternatives = 1,
                Stop = [],
            },
            2 * draft.Length + 8,
            logprobs: true
        );
        body["grammar"] = "root ::= " + Quoted(draft);
        body["stream"] = false;
        body.Remove("stream_options");
        using JsonDocument document = await ScoreAsync(
                _remote.Api == OpenAiApi.Chat ? "chat/completions" : "completions",
                body,
                draft.Length,
                cancel
            )
            .ConfigureAwait(false);
        if (!Choice(document).TryGetProperty("logprobs", out JsonElement logprobs) || logprobs.ValueKind != JsonValueKind.Object)
            throw new FormatException("expected log-probabilities of the draft, got none");
        List<ReportedToken> tokens = OpenAiProtocol.Tokens(logprobs);
        string written = string.Concat(tokens.Select(token => token.Text));
        if (!written.StartsWith(draft, StringComparison.Ordinal))
            throw new FormatException(
                $"expected the draft that the grammar allows, got '{OpenAiProtocol.Short(written)}': the server ignores grammars"
            );
        return Judge(tokens, 0, draft.Length, "grammar");
    }

    // A literal of a GBNF grammar.
    private static string Quoted(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (Rune rune in text.EnumerateRunes())
            quoted.Append(
                rune.Value switch
                {
                    '"' => "\\\"",
                    '\\' => "\\\\",
                    '\n' => "\\n",
                    '\r' => "\\r",
                    '\t' => "\\t",
                    < 32 => string.Create(CultureInfo.InvariantCulture, $"\\x{rune.Value:X2}"),
                    _ => rune.ToString(),
                }
            );
        return quoted.Append('"').ToString();
    }

    private async Task<JsonDocument> ScoreAsync(string path, JsonObject body, int characters, CancellationToken cancel)
    {
        using HttpResponseMessage response = await PostAsync(path, body, cancel).ConfigureAwait(false);
        await using Stream content = new BoundedStream(
            await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false),
            (1L << 20) + 1024L * characters
        );
        return await JsonDocument.ParseAsync(content, cancellationToken: cancel).ConfigureAwait(false);
    }

    private static JsonElement Choice(JsonDocument document) =>
        document.RootElement.ValueKind == JsonValueKind.Object
        && document.RootElement.TryGetProperty("choices", out JsonElement choices)
        && choices.ValueKind == JsonValueKind.Array
        && choices.GetArrayLength() > 0
            ? choices[0]
            : throw new FormatException($"expected choices, got '{OpenAiProtocol.Short(document.RootElement.GetRawText())}'");

    // Which of the tokens from a place on the server would have written itself.
    private static DraftVerdict Judge(List<ReportedToken> tokens, int from, int length, string way)
    {
        var judged = new List<StageToken>();
        int at = 0,
            accepted = 0;
        foreach (ReportedToken token in tokens)
        {
            bool inside = at >= from && at < from + length;
            at += token.Text.Length;
            if (!inside)
                continue;
            if (!(token.LogProbability <= 1e-3))
                throw new FormatException($"expected log-probabilities of at most 0, got {token.LogProbability}");
            if (accepted == judged.Count && token.Alternatives.All(other => other.LogProbability <= token.LogProbability))
                accepted++;
            judged.Add(new StageToken(-1, token.Text, Math.Min(0, token.LogProbability)));
        }
        if (at < from + length)
            throw new FormatException(
                $"expected the log-probabilities of {from + length} characters, got those of {at}: the server ignores {way}"
            );
        return new DraftVerdict([.. judged.Select(token => token.LogProbability)], accepted) { Tokens = judged };
    }
}
