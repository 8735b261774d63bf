using System.ClientModel;
using System.ClientModel.Primitives;
using System.Net.ServerSentEvents;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace OptimalStopping.Runtime.Cascades;

// `/completions`: the text as it is. The official client has no class for it any more, so its pipeline is used directly
// (keys, transport and headers are the client's own).
public sealed partial class OpenAiStage
{
    public bool CanVerify => _remote.Verification != OpenAiVerification.None;

    /// <inheritdoc/>
    /// <remarks>
    /// One request that writes (almost) nothing. A draft is aligned with the server's tokens by its text; a token that
    /// covers the border of prompt and draft counts to the prompt.
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
            .Run(
                async token =>
                {
                    try
                    {
                        return _remote.Verification == OpenAiVerification.Echo
                            ? await Echo(request, text, token).ConfigureAwait(false)
                            : await PromptLogprobs(request, text, token).ConfigureAwait(false);
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

    private async Task Complete(StageRequest request, Partial partial, CancellationToken cancel)
    {
        var body = new JsonObject
        {
            ["model"] = _remote.Model,
            ["prompt"] = Text(request.Prompt),
            ["temperature"] = 0,
            ["max_tokens"] = Limit(request),
            ["logprobs"] = Math.Max(_remote.TopLogprobs, request.Alternatives),
            ["stream"] = true,
            ["stream_options"] = new JsonObject { ["include_usage"] = true },
        };
        if (request.Stop.Count > 0)
            body["stop"] = new JsonArray([.. request.Stop.Select(stop => (JsonNode)stop)]);
        using PipelineResponse response = await Post("completions", body, stream: true, cancel).ConfigureAwait(false);
        await foreach (SseItem<string> item in SseParser.Create(response.ContentStream!).EnumerateAsync(cancel).ConfigureAwait(false))
        {
            if (item.Data == "[DONE]")
                return;
            using JsonDocument document = JsonDocument.Parse(item.Data);
            JsonElement root = document.RootElement;
            if (root.TryGetProperty("usage", out JsonElement usage) && usage.ValueKind == JsonValueKind.Object)
                partial.Count(usage.GetProperty("prompt_tokens").GetInt32(), usage.GetProperty("completion_tokens").GetInt32());
            if (root.TryGetProperty("signals", out JsonElement signals))
                partial.Take(JsonSerializer.SerializeToUtf8Bytes(signals));
            foreach (JsonElement choice in root.GetProperty("choices").EnumerateArray())
            {
                if (choice.TryGetProperty("logprobs", out JsonElement logprobs) && logprobs.ValueKind == JsonValueKind.Object)
                    foreach (StageToken token in LegacyTokens(logprobs))
                        partial.Add(token);
                partial.Append(choice.GetProperty("text").GetString() ?? "");
                if (choice.TryGetProperty("finish_reason", out JsonElement finish) && finish.ValueKind == JsonValueKind.String)
                    partial.Finish(finish.GetString()!);
            }
        }
    }

    private async Task<DraftVerdict> Echo(StageRequest request, string draft, CancellationToken cancel)
    {
        string prompt = Text(request.Prompt);
        // Some servers refuse max_tokens 0; what they write after the draft is left out below.
        var body = new JsonObject
        {
            ["model"] = _remote.Model,
            ["prompt"] = prompt + draft,
            ["temperature"] = 0,
            ["max_tokens"] = 1,
            ["echo"] = true,
            ["logprobs"] = 1,
        };
        using PipelineResponse response = await Post("completions", body, stream: false, cancel).ConfigureAwait(false);
        using JsonDocument document = JsonDocument.Parse(response.Content);
        JsonElement logprobs = document.RootElement.GetProperty("choices")[0].GetProperty("logprobs");
        return Judge(LegacyTokens(logprobs).ToList(), prompt.Length, draft.Length, token =>
            token.Alternatives.All(other => other.LogProbability <= token.LogProbability)
        );
    }

    private async Task<DraftVerdict> PromptLogprobs(StageRequest request, string draft, CancellationToken cancel)
    {
        JsonObject body;
        string path;
        if (_remote.Api == OpenAiApi.Completions)
            (path, body) = ("completions", new JsonObject { ["prompt"] = Text(request.Prompt) + draft });
        else
        {
            IEnumerable<StageMessage> messages = request.Prompt.Text is { } text
                ? [new StageMessage("user", text)]
                : request.Prompt.Messages;
            JsonNode[] all =
            [
                .. messages
                    .Append(new StageMessage("assistant", draft))
                    .Select(m => new JsonObject { ["role"] = m.Role, ["content"] = m.Content }),
            ];
            (path, body) = (
                "chat/completions",
                new JsonObject
                {
                    ["messages"] = new JsonArray(all),
                    ["continue_final_message"] = true,
                    ["add_generation_prompt"] = false,
                }
            );
        }
        body["model"] = _remote.Model;
        body["temperature"] = 0;
        body["max_tokens"] = 1;
        body["prompt_logprobs"] = 1;
        using PipelineResponse response = await Post(path, body, stream: false, cancel).ConfigureAwait(false);
        using JsonDocument document = JsonDocument.Parse(response.Content);
        // vLLM writes it beside the choices of a chat and inside the choice of a completion.
        if (!document.RootElement.TryGetProperty("prompt_logprobs", out JsonElement list))
            list = document.RootElement.GetProperty("choices")[0].GetProperty("prompt_logprobs");
        var tokens = new List<StageToken>();
        foreach (JsonElement entry in list.EnumerateArray())
        {
            if (entry.ValueKind != JsonValueKind.Object)
            {
                tokens.Add(new StageToken(-1, "", double.NaN));
                continue;
            }
            // The first entry is the token itself, with its rank; likelier ones follow.
            JsonProperty own = entry.EnumerateObject().First();
            var others = entry
                .EnumerateObject()
                .Select(p => new StageToken(
                    int.Parse(p.Name),
                    p.Value.GetProperty("decoded_token").GetString() ?? "",
                    p.Value.GetProperty("logprob").GetDouble()
                ));
            tokens.Add(
                new StageToken(
                    int.Parse(own.Name),
                    own.Value.GetProperty("decoded_token").GetString() ?? "",
                    own.Value.GetProperty("logprob").GetDouble()
                )
                {
                    Alternatives = [.. others],
                }
            );
        }
        int total = tokens.Sum(token => token.Text.Length);
        return Judge(tokens, total - draft.Length, draft.Length, token =>
            token.Alternatives.All(other => other.LogProbability <= token.LogProbability)
        );
    }

    // Which of the tokens from a place on the server would have written itself.
    private DraftVerdict Judge(List<StageToken> tokens, int from, int length, Func<StageToken, bool> likeliest)
    {
        var logProbabilities = new List<double>();
        var judged = new List<StageToken>();
        int at = 0,
            accepted = 0;
        foreach (StageToken token in tokens)
        {
            bool inside = at >= from && at < from + length;
            at += token.Text.Length;
            if (!inside)
                continue;
            if (!(token.LogProbability <= 1e-3))
                throw new StageException(
                    Name,
                    StageFailures.InvalidResponse,
                    $"expected log-probabilities of at most 0, got {token.LogProbability}"
                );
            if (accepted == judged.Count && likeliest(token))
                accepted++;
            judged.Add(token);
            logProbabilities.Add(Math.Min(0, token.LogProbability));
        }
        if (at < from + length)
            throw new StageException(
                Name,
                StageFailures.InvalidResponse,
                $"expected the log-probabilities of {from + length} characters, got those of {at}"
            );
        return new DraftVerdict(logProbabilities, accepted) { Tokens = judged };
    }

    // tokens, token_logprobs and top_logprobs, side by side. The first token of an echo has no log-probability.
    private static IEnumerable<StageToken> LegacyTokens(JsonElement logprobs)
    {
        JsonElement texts = logprobs.GetProperty("tokens"),
            values = logprobs.GetProperty("token_logprobs");
        bool hasTop = logprobs.TryGetProperty("top_logprobs", out JsonElement tops) && tops.ValueKind == JsonValueKind.Array;
        for (int i = 0; i < texts.GetArrayLength(); i++)
        {
            double value = values[i].ValueKind == JsonValueKind.Null ? double.NaN : values[i].GetDouble();
            StageToken[] others =
                hasTop && tops[i].ValueKind == JsonValueKind.Object
                    ? [.. tops[i].EnumerateObject().Select(p => new StageToken(-1, p.Name, p.Value.GetDouble()))]
                    : [];
            yield return new StageToken(-1, texts[i].GetString() ?? "", value) { Alternatives = others };
        }
    }

    private static string Text(StagePrompt prompt) =>
        prompt.Text
        ?? (
            prompt.Messages is [{ Role: "user" } message]
                ? message.Content
                : throw new ToolkitException(
                    $"messages: expected one message of the role 'user' (a stage with api: completions has no chat template), got {string.Join(", ", prompt.Messages.Select(m => m.Role))}"
                )
        );

    private async Task<PipelineResponse> Post(string path, JsonObject body, bool stream, CancellationToken cancel)
    {
        PipelineMessage message = _client.Pipeline.CreateMessage();
        message.Apply(new RequestOptions { CancellationToken = cancel, BufferResponse = !stream });
        message.BufferResponse = !stream;
        message.Request.Method = "POST";
        message.Request.Uri = new Uri(_remote.Url, path);
        message.Request.Headers.Set("Content-Type", "application/json");
        message.Request.Content = BinaryContent.Create(BinaryData.FromString(body.ToJsonString()));
        await _client.Pipeline.SendAsync(message).ConfigureAwait(false);
        PipelineResponse response = message.ExtractResponse()!;
        if (!response.IsError)
            return response;
        if (stream)
            await response.BufferContentAsync(cancel).ConfigureAwait(false);
        throw new ClientResultException(response);
    }
}
