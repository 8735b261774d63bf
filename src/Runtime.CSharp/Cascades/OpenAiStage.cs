using System.ClientModel;
using System.ClientModel.Primitives;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using OpenAI;
using OpenAI.Chat;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// A stage behind an OpenAI-compatible server (vLLM, SGLang, TensorRT-LLM, llama.cpp, this toolkit), asked through the
/// official client. Answers are greedy and streamed, with log-probabilities, from which the signals of confidence come.
/// </summary>
/// <remarks>The chat and completions endpoints of one server may tokenize differently; a cascade should use one of them.</remarks>
public sealed partial class OpenAiStage : IStage
{
    private readonly CascadeStage _stage;
    private readonly OpenAiSettings _remote;
    private readonly int _maxTokens;
    private readonly StageResilience _resilience;
    private readonly HttpClient _http;
    private readonly ChatClient _client;

    /// <param name="stage">A stage with <see cref="OpenAiSettings"/>.</param>
    /// <param name="key">The API key; null for a server without one.</param>
    /// <param name="maxTokens">The cascade's limit of tokens per answer.</param>
    public OpenAiStage(CascadeStage stage, string? key, int maxTokens)
    {
        _stage = stage;
        _remote = stage.Settings as OpenAiSettings ?? throw new ArgumentException("expected a stage behind a server", nameof(stage));
        _maxTokens = maxTokens;
        _resilience = new StageResilience(stage.Name, _remote);
        _http = _resilience.NewClient();
        _client = new ChatClient(
            _remote.Model,
            new ApiKeyCredential(key ?? "none"),
            new OpenAIClientOptions
            {
                Endpoint = _remote.Url,
                Transport = new HttpClientPipelineTransport(_http),
                RetryPolicy = new ClientRetryPolicy(0), // the handler below it retries
                NetworkTimeout = Timeout.InfiniteTimeSpan,
            }
        );
    }

    /// <inheritdoc/>
    public string Name => _stage.Name;

    /// <inheritdoc/>
    public double CostOf(int promptTokens, int completionTokens) => _stage.CostOf(promptTokens, completionTokens);

    public async ValueTask<StageReply> AnswerAsync(
        StageRequest request,
        Action<StageToken>? onToken = null,
        CancellationToken cancel = default
    )
    {
        var told = new Told(onToken);
        return await _resilience
            .Run(
                token => _remote.Api == OpenAiApi.Chat ? Guarded(told, request, Chat, token) : Guarded(told, request, Complete, token),
                cancel
            )
            .ConfigureAwait(false);
    }

    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        return default;
    }

    private int Limit(StageRequest request) => Math.Min(request.MaxTokens ?? _maxTokens, _maxTokens);

    // One attempt, with everything that a server or a network can do turned into a StageException.
    private async ValueTask<StageReply> Guarded(
        Told told,
        StageRequest request,
        Func<StageRequest, Partial, CancellationToken, Task> ask,
        CancellationToken cancel
    )
    {
        long start = Stopwatch.GetTimestamp();
        told.Restart();
        var partial = new Partial(this, told, 4 * Limit(request) + 16);
        try
        {
            await ask(request, partial, cancel).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is not (StageException or ToolkitException or OperationCanceledException))
        {
            throw Failure(fault, partial.Tokens.Count > 0);
        }
        return partial.ToReply(Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    private async Task Chat(StageRequest request, Partial partial, CancellationToken cancel)
    {
        ChatMessage[] messages = request.Prompt.Text is { } text
            ? [new UserChatMessage(text)]
            : [.. request.Prompt.Messages.Select(Message)];
        var options = new ChatCompletionOptions
        {
            Temperature = 0,
            MaxOutputTokenCount = Limit(request),
            IncludeLogProbabilities = true,
            TopLogProbabilityCount = Math.Max(_remote.TopLogprobs, request.Alternatives),
        };
        foreach (string stop in request.Stop)
            options.StopSequences.Add(stop);
        // Servers of the open models know the older name of this limit; the newer one is what the client writes.
        options.Patch.Set("$.max_tokens"u8, Limit(request));
        await foreach (
            StreamingChatCompletionUpdate update in _client.CompleteChatStreamingAsync(messages, options, cancel).ConfigureAwait(false)
        )
        {
            foreach (ChatTokenLogProbabilityDetails token in update.ContentTokenLogProbabilities)
                partial.Add(
                    new StageToken(-1, token.Token, token.LogProbability)
                    {
                        Alternatives =
                        [
                            .. token.TopLogProbabilities.Select(other => new StageToken(-1, other.Token, other.LogProbability)),
                        ],
                    }
                );
            foreach (ChatMessageContentPart part in update.ContentUpdate)
                partial.Append(part.Text ?? "");
            if (update.FinishReason is { } reason)
                partial.Finish(
                    reason == ChatFinishReason.Length ? "length"
                    : reason == ChatFinishReason.Stop ? "stop"
                    : reason.ToString()
                );
            if (update.Usage is { } usage)
                partial.Count(usage.InputTokenCount, usage.OutputTokenCount);
            if (update.Patch.TryGetJson("$.signals"u8, out ReadOnlyMemory<byte> signals))
                partial.Take(signals);
        }
    }

    private static ChatMessage Message(StageMessage message) =>
        message.Role switch
        {
            "system" or "developer" => new SystemChatMessage(message.Content),
            "assistant" => new AssistantChatMessage(message.Content),
            _ => new UserChatMessage(message.Content),
        };

    private StageException Failure(Exception fault, bool begun)
    {
        string text = fault.Message.ReplaceLineEndings(" ");
        if (text.Length > 300)
            text = text[..300] + "...";
        return fault switch
        {
            ClientResultException { Status: 400 or 413 or 422 } => Fail(StageFailures.Rejected, $"rejected the request: {text}"),
            ClientResultException { Status: > 0 } refused => Fail(
                StageFailures.Refused,
                $"expected an answer of {_remote.Url}, got status {refused.Status}: {text}"
            ),
            HttpIOException or IOException => Fail(
                StageFailures.ConnectionLost,
                $"expected the end of the answer, got a broken connection: {text}"
            ),
            HttpRequestException when begun => Fail(
                StageFailures.ConnectionLost,
                $"expected the end of the answer, got a broken connection: {text}"
            ),
            HttpRequestException or ClientResultException => Fail(
                StageFailures.Unreachable,
                $"expected a server at {_remote.Url}, got none: {text}"
            ),
            _ => Fail(StageFailures.InvalidResponse, $"expected an answer of the OpenAI protocol, got something else: {text}"),
        };

        StageException Fail(string kind, string message) => new(Name, kind, message, fault);
    }

    // Tokens are told once even when an attempt is repeated: greedy decoding writes the same again.
    private sealed class Told(Action<StageToken>? onToken)
    {
        private readonly List<string> _texts = [];
        private int _at;

        public void Restart() => _at = 0;

        /// <summary>False when a repeated attempt writes something else than was told.</summary>
        public bool Tell(StageToken token)
        {
            if (onToken is null)
                return true;
            if (_at++ < _texts.Count)
                return _texts[_at - 1] == token.Text;
            _texts.Add(token.Text);
            onToken(token);
            return true;
        }
    }

    // An answer as it comes in.
    private sealed class Partial(OpenAiStage stage, Told told, int mostTokens)
    {
        private readonly StringBuilder _text = new();
        private string? _finish;
        private ConfidenceFeatures? _features;
        private int? _prompt,
            _completion;

        public List<StageToken> Tokens { get; } = [];

        public void Add(StageToken token)
        {
            if (!(token.LogProbability <= 1e-3) || token.Alternatives.Any(other => double.IsNaN(other.LogProbability)))
                throw InvalidResponse($"expected log-probabilities of at most 0, got {token.LogProbability}");
            if (Tokens.Count >= mostTokens)
                throw InvalidResponse($"expected at most {mostTokens} tokens, got more");
            Tokens.Add(token with { LogProbability = Math.Min(0, token.LogProbability) });
            if (!told.Tell(token))
                throw InvalidResponse("expected the same answer on the second attempt, got another");
        }

        public void Append(string text)
        {
            _text.Append(text);
            if (_text.Length > 256 * mostTokens)
                throw InvalidResponse($"expected at most {mostTokens} tokens, got {_text.Length} characters");
        }

        public void Finish(string reason) => _finish = reason;

        public void Count(int prompt, int completion) => (_prompt, _completion) = (prompt, completion);

        // This toolkit's server sends its signals as they are, in full precision.
        public void Take(ReadOnlyMemory<byte> json)
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            _features = ConfidenceFeatures.FromVector([.. ConfidenceFeatures.Names.Select(name => root.GetProperty(name).GetDouble())]);
        }

        public StageReply ToReply(double seconds)
        {
            if (_finish is null && Tokens.Count == 0 && _text.Length == 0)
                throw InvalidResponse("expected a stream of the OpenAI protocol, got none of its events");
            if (_finish is null)
                throw new StageException(
                    stage.Name,
                    StageFailures.ConnectionLost,
                    "expected the end of the answer, got the end of the stream"
                );
            if (_finish is not ("stop" or "length"))
                throw InvalidResponse($"expected finish_reason stop or length, got '{_finish}'");
            if (Tokens.Count == 0 && _features is null)
                throw InvalidResponse(
                    $"expected log-probabilities of each token, got none; start the server of '{stage._remote.Model}' so that it returns logprobs"
                );
            int prompt = _prompt ?? 0,
                completion = _completion ?? Tokens.Count;
            return new StageReply(
                _text.ToString(),
                Tokens,
                _features ?? RemoteFeatures.Of(Tokens),
                _finish == "stop",
                prompt,
                completion,
                stage.CostOf(prompt, completion),
                seconds
            );
        }

        private StageException InvalidResponse(string message) => new(stage.Name, StageFailures.InvalidResponse, message);
    }
}

/// <summary>The backend <c>openai</c>: models behind OpenAI-compatible servers.</summary>
public sealed class OpenAiBackend() : StageBackend("openai")
{
    /// <inheritdoc/>
    public override CascadeStage Read(YamlMap keys, CascadeStage stage, string folder) =>
        stage with
        {
            Settings = OpenAiSettings.Read(keys),
        };

    /// <inheritdoc/>
    /// <exception cref="ToolkitException">The environment variable with the API key is not set.</exception>
    public override IStage Open(StageContext context)
    {
        var settings = (OpenAiSettings)context.Stage.Settings!;
        string? key = null;
        if (settings.KeyVariable is { } variable && string.IsNullOrEmpty(key = Environment.GetEnvironmentVariable(variable)))
            throw new ToolkitException(
                $"{context.File}: stage '{context.Stage.Name}': expected an API key in the environment variable {variable}, got none"
            );
        return new OpenAiStage(context.Stage, key, context.MaxTokens);
    }
}
