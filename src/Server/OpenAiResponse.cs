using System.Buffers;
using System.Text;
using System.Text.Json;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Server;

/// <summary>
/// Writes answers in the protocol's shapes, whole or in chunks. What the protocol has no place for stands in three more
/// keys, which its clients pass over: <c>toolkit</c> (stage, confidence, cost, every turn), <c>usage.stages</c>, and, where
/// the request named one stage, <c>signals</c> (its confidence features in full precision, for a cascade on this server's stages).
/// </summary>
internal sealed class OpenAiResponse(OpenAiRequest request, CascadeFile cascade)
{
    private string Kind => request.Chat ? "chat.completion" : "text_completion";

    /// <summary>The whole answer as one object.</summary>
    public void Whole(IBufferWriter<byte> output, ServedAnswer answer)
    {
        using var json = new Utf8JsonWriter(output, ServerJson.Options);
        Head(json, answer.Id, answer.Created, Kind);
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", 0);
        if (request.Chat)
        {
            json.WriteStartObject("message");
            json.WriteString("role", "assistant");
            IReadOnlyList<ToolCall> calls = answer.Reply.ToolCalls;
            json.WriteString(
                "content",
                answer.Answer.IsWithheld || (calls.Count > 0 && answer.Reply.Text == "") ? null : answer.Reply.Text
            );
            json.WriteString("refusal", answer.Answer.IsWithheld ? Abstention.NotSure : null);
            if (calls.Count > 0)
                ToolCalls(json, calls.Select((call, i) => new ToolCallPiece(i, call.Id, call.Name, call.Arguments)), indexed: false);
            json.WriteEndObject();
        }
        else
            json.WriteString(
                "text",
                request.Echo ? string.Concat(answer.Prompt.Select(token => token.Text)) + answer.Reply.Text : answer.Reply.Text
            );
        Logprobs(json, request.Echo ? [.. answer.Prompt, .. answer.Reply.Tokens] : answer.Reply.Tokens, 0);
        Finish(json, answer.Reply);
        if (request.PromptLogprobs is { } top)
            PromptLogprobs(json, answer.Prompt, top);
        json.WriteEndObject();
        json.WriteEndArray();
        Usage(json, answer.Answer);
        Extras(json, answer);
        json.WriteEndObject();
    }

    /// <summary>A chunk with text; a null text opens the stream of a chat.</summary>
    public void Chunk(IBufferWriter<byte> output, string id, long created, string? text, IReadOnlyList<StageToken> tokens, int offset)
    {
        using var json = new Utf8JsonWriter(output, ServerJson.Options);
        OpenChunk(json, id, created);
        if (request.Chat)
        {
            json.WriteStartObject("delta");
            if (text is null)
                json.WriteString("role", "assistant");
            if (tokens is [{ ToolCall: { } piece }])
                ToolCalls(json, [piece], indexed: true);
            else
                json.WriteString("content", text ?? "");
            json.WriteEndObject();
        }
        else
            json.WriteString("text", text);
        Logprobs(json, text is null ? [] : tokens, offset);
        json.WriteNull("finish_reason");
        CloseChunk(json);
        if (request.IncludeUsage)
            json.WriteNull("usage");
        json.WriteEndObject();
    }

    /// <summary>The chunk that ends the answer.</summary>
    public void Last(IBufferWriter<byte> output, ServedAnswer answer)
    {
        using var json = new Utf8JsonWriter(output, ServerJson.Options);
        OpenChunk(json, answer.Id, answer.Created);
        if (request.Chat)
        {
            json.WriteStartObject("delta");
            if (answer.Answer.IsWithheld)
                json.WriteString("refusal", Abstention.NotSure);
            json.WriteEndObject();
        }
        else
            json.WriteString("text", "");
        json.WriteNull("logprobs");
        Finish(json, answer.Reply);
        CloseChunk(json);
        if (request.IncludeUsage)
            json.WriteNull("usage");
        Extras(json, answer);
        json.WriteEndObject();
    }

    /// <summary>The chunk with the usage, for requests with <c>stream_options.include_usage</c>.</summary>
    public void UsageChunk(IBufferWriter<byte> output, ServedAnswer answer)
    {
        using var json = new Utf8JsonWriter(output, ServerJson.Options);
        Head(json, answer.Id, answer.Created, request.Chat ? "chat.completion.chunk" : Kind);
        json.WriteStartArray("choices");
        json.WriteEndArray();
        Usage(json, answer.Answer);
        json.WriteEndObject();
    }

    /// <summary>A chunk that tells what happens on the cascade; <paramref name="write"/> fills its object.</summary>
    public void Event(IBufferWriter<byte> output, string id, long created, string kind, int stage, Action<Utf8JsonWriter>? write = null)
    {
        using var json = new Utf8JsonWriter(output, ServerJson.Options);
        Head(json, id, created, request.Chat ? "chat.completion.chunk" : Kind);
        json.WriteStartArray("choices");
        json.WriteEndArray();
        json.WriteStartObject("toolkit_event");
        json.WriteString("kind", kind);
        json.WriteString("stage", cascade.Stages[stage].Name);
        write?.Invoke(json);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>What a turn is told as, in events and in the whole answer.</summary>
    public void Turn(Utf8JsonWriter json, StageAnswer turn, bool named = true)
    {
        if (named)
            json.WriteString("stage", cascade.Stages[turn.Stage].Name);
        ServerJson.Number(json, "confidence", turn.Confidence);
        json.WriteNumber("cost", turn.Reply.Cost);
        json.WriteNumber("prompt_tokens", turn.Reply.PromptTokens);
        json.WriteNumber("completion_tokens", turn.Reply.CompletionTokens);
        json.WriteNumber("seconds", Math.Round(turn.Seconds, 6));
        if (turn.Reply.Draft is not { } draft)
            return;
        json.WriteStartObject("draft");
        json.WriteNumber("drafted", draft.Drafted);
        json.WriteNumber("accepted", draft.Accepted);
        json.WriteEndObject();
    }

    // As vLLM does, stop_reason says whether a stop text ended the answer (a text) or the model (null).
    private void Finish(Utf8JsonWriter json, StageReply reply)
    {
        json.WriteString(
            "finish_reason",
            !reply.Ended ? "length"
                : reply.ToolCalls.Count > 0 ? "tool_calls"
                : "stop"
        );
        json.WriteString("stop_reason", request.Stage.Stop.Count > 0 && reply is { Ended: true, IsWhole: false } ? "stop" : null);
    }

    // In a stream each piece names its call by its index; only the first one has the id and the tool's name.
    private static void ToolCalls(Utf8JsonWriter json, IEnumerable<ToolCallPiece> pieces, bool indexed)
    {
        json.WriteStartArray("tool_calls");
        foreach (ToolCallPiece piece in pieces)
        {
            json.WriteStartObject();
            if (indexed)
                json.WriteNumber("index", piece.Index);
            if (piece.Name is not null)
            {
                json.WriteString("id", piece.Id ?? $"call_{piece.Index}");
                json.WriteString("type", "function");
            }
            json.WriteStartObject("function");
            if (piece.Name is not null)
                json.WriteString("name", piece.Name);
            json.WriteString("arguments", piece.Arguments);
            json.WriteEndObject();
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private void Head(Utf8JsonWriter json, string id, long created, string kind)
    {
        json.WriteStartObject();
        json.WriteString("id", id);
        json.WriteString("object", kind);
        json.WriteNumber("created", created);
        json.WriteString("model", request.Model);
        json.WriteNull("system_fingerprint");
    }

    private void OpenChunk(Utf8JsonWriter json, string id, long created)
    {
        Head(json, id, created, request.Chat ? "chat.completion.chunk" : Kind);
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", 0);
    }

    private static void CloseChunk(Utf8JsonWriter json)
    {
        json.WriteEndObject();
        json.WriteEndArray();
    }

    private void Logprobs(Utf8JsonWriter json, IReadOnlyList<StageToken> tokens, int offset)
    {
        if (tokens.Any(token => token.ToolCall is not null))
            tokens = [.. tokens.Where(token => token.ToolCall is null)];
        if (!request.Logprobs || tokens.Count == 0)
        {
            json.WriteNull("logprobs");
            return;
        }
        json.WriteStartObject("logprobs");
        if (request.Chat)
            ChatLogprobs(json, tokens);
        else
            LegacyLogprobs(json, tokens, offset);
        json.WriteEndObject();
    }

    private static void ChatLogprobs(Utf8JsonWriter json, IReadOnlyList<StageToken> tokens)
    {
        json.WriteStartArray("content");
        foreach (StageToken token in tokens)
        {
            json.WriteStartObject();
            Token(json, token);
            json.WriteStartArray("top_logprobs");
            foreach (StageToken other in token.Alternatives)
            {
                json.WriteStartObject();
                Token(json, other);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteNull("refusal");
    }

    private static void Token(Utf8JsonWriter json, StageToken token)
    {
        json.WriteString("token", token.Text);
        json.WriteNumber("logprob", Finite(token.LogProbability));
        json.WriteStartArray("bytes");
        foreach (byte b in Encoding.UTF8.GetBytes(token.Text))
            json.WriteNumberValue(b);
        json.WriteEndArray();
    }

    private void LegacyLogprobs(Utf8JsonWriter json, IReadOnlyList<StageToken> tokens, int offset)
    {
        json.WriteStartArray("tokens");
        foreach (StageToken token in tokens)
            json.WriteStringValue(token.Text);
        json.WriteEndArray();
        json.WriteStartArray("token_logprobs");
        foreach (StageToken token in tokens)
            if (double.IsNaN(token.LogProbability))
                json.WriteNullValue();
            else
                json.WriteNumberValue(Finite(token.LogProbability));
        json.WriteEndArray();
        json.WriteStartArray("top_logprobs");
        foreach (StageToken token in tokens)
        {
            if (double.IsNaN(token.LogProbability))
            {
                json.WriteNullValue();
                continue;
            }
            json.WriteStartObject();
            // The ranks of a scored prompt needed more of them than were asked for.
            foreach (StageToken other in token.Alternatives.Take(request.Stage.Alternatives))
                json.WriteNumber(other.Text, Finite(other.LogProbability));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("text_offset");
        foreach (StageToken token in tokens)
        {
            json.WriteNumberValue(offset);
            offset += token.Text.Length;
        }
        json.WriteEndArray();
    }

    // vLLM's shape: null for the first token, then the token itself with its rank, followed by the likeliest.
    private static void PromptLogprobs(Utf8JsonWriter json, IReadOnlyList<StageToken> prompt, int top)
    {
        json.WriteStartArray("prompt_logprobs");
        foreach (StageToken token in prompt)
        {
            if (double.IsNaN(token.LogProbability))
            {
                json.WriteNullValue();
                continue;
            }
            json.WriteStartObject();
            int rank = 1 + token.Alternatives.Count(other => other.LogProbability > token.LogProbability);
            Ranked(token, rank);
            for (int i = 0; i < Math.Min(top, token.Alternatives.Count); i++)
                if (token.Alternatives[i].Id != token.Id)
                    Ranked(token.Alternatives[i], i + 1);
            json.WriteEndObject();
        }
        json.WriteEndArray();

        void Ranked(StageToken token, int rank)
        {
            json.WriteStartObject(token.Id.ToString(System.Globalization.CultureInfo.InvariantCulture));
            json.WriteNumber("logprob", Finite(token.LogProbability));
            json.WriteNumber("rank", rank);
            json.WriteString("decoded_token", token.Text);
            json.WriteEndObject();
        }
    }

    // JSON has no infinity; the protocol writes -9999 for what is next to impossible.
    private static double Finite(double logProbability) => double.IsFinite(logProbability) ? logProbability : -9999;

    // Tokens of all stages that ran: that is what was computed, whoever's text is returned.
    private void Usage(Utf8JsonWriter json, AdaptiveAnswer answer)
    {
        int prompt = answer.Turns.Sum(turn => turn.Reply.PromptTokens),
            completion = answer.Turns.Sum(turn => turn.Reply.CompletionTokens);
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", prompt);
        json.WriteNumber("completion_tokens", completion);
        json.WriteNumber("total_tokens", prompt + completion);
        json.WriteStartArray("stages");
        foreach (StageAnswer turn in answer.Turns)
        {
            json.WriteStartObject();
            json.WriteString("stage", cascade.Stages[turn.Stage].Name);
            json.WriteNumber("prompt_tokens", turn.Reply.PromptTokens);
            json.WriteNumber("completion_tokens", turn.Reply.CompletionTokens);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void Extras(Utf8JsonWriter json, ServedAnswer answer)
    {
        json.WriteStartObject("toolkit");
        json.WriteString("stage", cascade.Stages[answer.Answer.Chosen.Stage].Name);
        ServerJson.Number(json, "confidence", answer.Answer.Chosen.Confidence);
        json.WriteNumber("cost", answer.Answer.Cost);
        json.WriteNumber("cost_of_largest", answer.CostOfLargest);
        if (!double.IsNaN(answer.Answer.Familiarity))
        {
            ServerJson.Number(json, "familiarity", answer.Answer.Familiarity);
            json.WriteBoolean("outside", answer.Answer.IsOutside);
        }
        if (answer.Policy is { } policy)
        {
            if (policy.Abstention is not null)
                json.WriteBoolean("abstained", answer.Answer.IsWithheld);
            json.WriteString("policy", policy.Kind);
            ServerJson.Number(json, "lambda", policy.Lambda);
            if (answer.Propensity is { } propensity)
                json.WriteNumber("propensity", propensity);
        }
        if (answer.Audited is { } audited)
            json.WriteBoolean("audit", audited);
        json.WriteStartArray("turns");
        foreach (StageAnswer turn in answer.Answer.Turns)
        {
            json.WriteStartObject();
            Turn(json, turn);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("failures");
        foreach (StageException failure in answer.Answer.Failures)
        {
            json.WriteStartObject();
            json.WriteString("stage", failure.Stage);
            json.WriteString("kind", failure.Kind);
            json.WriteString("message", failure.Message);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("ignored");
        foreach (string name in request.Ignored)
            json.WriteStringValue(name);
        json.WriteEndArray();
        json.WriteEndObject();
        if (answer.Policy is not null)
            return;
        json.WriteStartObject("signals");
        double[] values = answer.Reply.Features.ToVector();
        for (int i = 0; i < values.Length; i++)
            json.WriteNumber(ConfidenceFeatures.Names[i], values[i]);
        json.WriteEndObject();
    }
}
