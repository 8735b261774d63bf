using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// A stage behind an OpenAI-compatible server (vLLM, SGLang, TensorRT-LLM, llama.cpp, this toolkit, OpenAI). Answers are
/// greedy and streamed. Confidence comes from the log-probabilities of the answer's tokens, or from what
/// <see cref="OpenAiSettings.Confidence"/> names where a server reports none.
/// </summary>
/// <remarks>The chat and completions endpoints of one server may tokenize differently; a cascade should use one of them.</remarks>
public sealed partial class OpenAiStage : IStage
{
    private const int LongestError = 1 << 16;

    private readonly CascadeStage _stage;
    private readonly OpenAiSettings _remote;
    private readonly StageContext _context;
    private readonly string? _key;
    private readonly StageResilience _resilience;
    private readonly HttpClient _http;

    /// <param name="context">A stage with <see cref="OpenAiSettings"/>.</param>
    /// <param name="key">The API key; null for a server without one.</param>
    public OpenAiStage(StageContext context, string? key)
    {
        _stage = context.Stage;
        _context = context;
        _key = key;
        _remote = _stage.Settings as OpenAiSettings ?? throw new ArgumentException("expected a stage behind a server", nameof(context));
        _resilience = new StageResilience(_stage.Name, _remote);
        var sockets = new SocketsHttpHandler
        {
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            ConnectTimeout = TimeSpan.FromSeconds(Math.Min(10, _remote.TimeoutSeconds)),
            AllowAutoRedirect = false, // the key goes to the address that the file names, and nowhere else
            MaxResponseHeadersLength = 64,
        };
        // The stage's timeout bounds everything, so HttpClient's own (100 seconds) must not.
        _http = new HttpClient(sockets) { Timeout = Timeout.InfiniteTimeSpan };
        if (key is not null)
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
    }

    /// <inheritdoc/>
    public string Name => _stage.Name;

    /// <inheritdoc/>
    public ConfidenceSource Confidence => _remote.Confidence;

    /// <inheritdoc/>
    public int Concurrency => _remote.Concurrency;

    /// <inheritdoc/>
    public bool CanAnswer(StageRequest request) => _remote.Api == OpenAiApi.Chat || (request.Form.IsFree && !request.Prompt.UsesTools);

    /// <inheritdoc/>
    public double CostOf(int promptTokens, int completionTokens) => _stage.CostOf(promptTokens, completionTokens);

    /// <inheritdoc/>
    public async ValueTask<StageReply> AnswerAsync(
        StageRequest request,
        Action<StageToken>? onToken = null,
        CancellationToken cancel = default
    )
    {
        var told = new ToldTokens(onToken);
        return await _resilience
            .RunAsync(
                async token =>
                {
                    long start = Stopwatch.GetTimestamp();
                    OpenAiAnswer answer = await AskAsync(request, told, 0, token).ConfigureAwait(false);
                    (ConfidenceFeatures features, int prompt, int completion) = await FeaturesAsync(request, answer, token)
                        .ConfigureAwait(false);
                    return Reply(request, answer, features, prompt, completion, Stopwatch.GetElapsedTime(start).TotalSeconds);
                },
                cancel
            )
            .ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        _resilience.Dispose();
        return default;
    }

    private int Limit(StageRequest request) => Math.Min(request.MaxTokens ?? _context.MaxTokens, _context.MaxTokens);

    // Whether log-probabilities are asked for: where confidence comes from them, or the request wants to see them.
    private bool WantsLogprobs(StageRequest request) => Confidence == ConfidenceSource.LogProbabilities || request.Alternatives > 0;

    // One answer: greedy at temperature 0, sampled otherwise.
    private async Task<OpenAiAnswer> AskAsync(StageRequest request, ToldTokens told, double temperature, CancellationToken cancel)
    {
        told.Restart();
        int limit = Limit(request),
            most = 4 * limit + 64;
        JsonObject body = OpenAiProtocol.Body(_remote, _context.Chat, request, limit, temperature == 0 && WantsLogprobs(request));
        body["temperature"] = temperature;
        var answer = new OpenAiAnswer(Name, told, most, request.Alternatives);
        try
        {
            using HttpResponseMessage response = await PostAsync(
                    _remote.Api == OpenAiApi.Chat ? "chat/completions" : "completions",
                    body,
                    cancel
                )
                .ConfigureAwait(false);
            // Log-probabilities take about 100 bytes for each token listed.
            long bound = (1L << 20) + (long)most * (512 + 128L * Math.Max(_remote.TopLogprobs, request.Alternatives));
            await using Stream content = new BoundedStream(await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false), bound);
            if (response.Content.Headers.ContentType?.MediaType is "text/event-stream" or null)
                await ReadEventsAsync(content, answer, cancel).ConfigureAwait(false);
            else // a server that does not stream
                answer.Add(OpenAiProtocol.Read(await new StreamReader(content).ReadToEndAsync(cancel).ConfigureAwait(false)));
            answer.End();
        }
        catch (Exception fault) when (fault is not (StageException or ToolkitException or OperationCanceledException))
        {
            throw Failure(fault, answer.Begun);
        }
        Check(answer);
        return answer;
    }

    private static async Task ReadEventsAsync(Stream content, OpenAiAnswer answer, CancellationToken cancel)
    {
        string? first = null;
        await foreach (SseItem<string> item in SseParser.Create(content).EnumerateAsync(cancel).ConfigureAwait(false))
        {
            first ??= item.Data;
            if (item.Data == "[DONE]")
                break;
            if (item.Data != "")
                answer.Add(OpenAiProtocol.Read(item.Data));
        }
        if (first is null)
            throw new FormatException("expected a stream of events, got none");
    }

    private void Check(OpenAiAnswer answer)
    {
        switch (answer.FinishReason)
        {
            case null when answer.Begun:
                throw new StageException(Name, StageFailures.ConnectionLost, "expected the end of the answer, got the end of the stream")
                {
                    MayPass = true,
                };
            case null:
                throw Invalid("expected an answer, got none of its events");
            case "content_filter":
                throw new StageException(Name, StageFailures.Filtered, "expected an answer, got finish_reason content_filter");
            case "tool_calls" or "function_call" when answer.ToolCalls.Count > 0:
                break;
            case "stop" or "length" or "eos" or "eos_token" or "stop_sequence" or "end_turn" or "max_tokens":
                break;
            default:
                throw Invalid($"expected finish_reason stop or length, got '{OpenAiProtocol.Short(answer.FinishReason)}'");
        }
        if (
            Confidence == ConfidenceSource.LogProbabilities
            && answer.Counted.Count == 0
            && answer.Features is null
            && answer.ToolCalls.Count == 0
        )
            throw Invalid(
                answer.Text == ""
                    ? "expected an answer, got an empty one"
                    : $"expected log-probabilities of each token, got none; start the server of '{_remote.Model}' so that it returns logprobs, or set the stage's key confidence to samples, judge, agreement, text or none"
            );
    }

    private StageReply Reply(
        StageRequest request,
        OpenAiAnswer answer,
        ConfidenceFeatures features,
        int prompt,
        int completion,
        double seconds
    )
    {
        bool ended = answer.FinishReason is not ("length" or "max_tokens");
        return new StageReply(answer.Text, answer.Tokens, features, ended, prompt, completion, CostOf(prompt, completion), seconds)
        {
            // Where a server does not say what ended the answer, a text that the request names may have.
            IsWhole = ended && (request.Stop.Count == 0 || answer.Stopped == false) && request.Form.Accepts(answer.Text, answer.ToolCalls),
            ToolCalls = answer.ToolCalls,
            Server = answer.Model is { } model
                ? new ServerIdentity(Short(model), Short(answer.Fingerprint), answer.HasLogProbabilities)
                : null,
        };
    }

    [return: NotNullIfNotNull(nameof(text))]
    private static string? Short(string? text) => text is null ? null : OpenAiProtocol.Short(text);

    // What the confidence in an answer is computed from, and all the tokens that were read and written for it.
    private async Task<(ConfidenceFeatures, int Prompt, int Completion)> FeaturesAsync(
        StageRequest request,
        OpenAiAnswer answer,
        CancellationToken cancel
    )
    {
        var (prompt, completion) = Usage(request, answer);
        switch (Confidence)
        {
            case ConfidenceSource.LogProbabilities:
                // Servers need not tell the log-probabilities of a tool call: then nothing is known of it.
                return (
                    answer.Features
                        ?? (
                            answer.Counted.Count > 0
                                ? ReportedFeatures.From(answer.Counted)
                                : ReportedFeatures.FromProbability(0.5, 0.5, 0, Length(answer))
                        ),
                    prompt,
                    completion
                );
            case ConfidenceSource.Samples:
                OpenAiAnswer[] samples = await Task.WhenAll(
                        Enumerable
                            .Range(0, _remote.Samples)
                            .Select(_ => AskAsync(request with { Alternatives = 0 }, new ToldTokens(null), 0.7, cancel))
                    )
                    .ConfigureAwait(false);
                foreach (OpenAiAnswer sample in samples)
                {
                    var (p, c) = Usage(request, sample);
                    (prompt, completion) = (prompt + p, completion + c);
                }
                return (OtherConfidence.FromSamples(Key(answer), [.. samples.Select(Key)], Length(answer)), prompt, completion);
            case ConfidenceSource.Judge:
                var (probability, read, written) = await JudgeAsync(request, Said(answer), cancel).ConfigureAwait(false);
                return (
                    ReportedFeatures.FromProbability(probability, 1 - probability, 0, Length(answer)),
                    prompt + read,
                    completion + written
                );
            case ConfidenceSource.Text:
                return (OtherConfidence.FromText(answer.Text, Length(answer)), prompt, completion);
            default: // agreement is for the cascade to see
                return (ReportedFeatures.FromProbability(0.5, 0.5, 0, Length(answer)), prompt, completion);
        }
    }

    private string Key(OpenAiAnswer answer) =>
        answer.ToolCalls.Count > 0 ? Said(answer) : _context.ExtractAnswer(answer.Text) ?? answer.Text.Trim();

    private static string Said(OpenAiAnswer answer) => AnswerForm.Said(answer.Text, answer.ToolCalls);

    private static int Length(OpenAiAnswer answer) => answer.Tokens.Count;

    // The server's own count; where it sends none, four characters a token, so that no answer is free.
    private static (int Prompt, int Completion) Usage(StageRequest request, OpenAiAnswer answer)
    {
        if (answer.Usage is { Prompt: > 0 } usage)
            return (usage.Prompt, usage.Completion);
        int characters = request.Prompt.Text?.Length ?? request.Prompt.Messages.Sum(message => message.Content.Length + 16);
        return (Math.Max(1, (characters + 3) / 4), Math.Max(answer.Tokens.Count, (Said(answer).Length + 3) / 4));
    }

    // P(yes) of the stage's own verdict on its answer.
    private async Task<(double Probability, int Read, int Written)> JudgeAsync(StageRequest request, string text, CancellationToken cancel)
    {
        string question = request.Prompt.Text ?? request.Prompt.Messages.LastOrDefault(message => message.Role == "user")?.Content ?? "";
        StageRequest asked = new(StagePrompt.FromQuestion(OtherConfidence.Verdict(question, text))) { MaxTokens = 4, Alternatives = 20 };
        OpenAiAnswer verdict = await AskAsync(asked, new ToldTokens(null), 0, cancel).ConfigureAwait(false);
        var (read, written) = Usage(asked, verdict);
        return (OtherConfidence.Yes(verdict.Text, verdict.Counted), read, written);
    }

    private async Task<HttpResponseMessage> PostAsync(string path, JsonObject body, CancellationToken cancel)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, new Uri(_remote.Url, path))
        {
            Content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json"),
        };
        HttpResponseMessage response = await _http
            .SendAsync(message, HttpCompletionOption.ResponseHeadersRead, cancel)
            .ConfigureAwait(false);
        if (response.IsSuccessStatusCode)
            return response;
        using (response)
            throw Refusal(response, await BodyAsync(response, cancel).ConfigureAwait(false));
    }

    private static async Task<string> BodyAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        var bytes = new byte[LongestError];
        try
        {
            await using Stream stream = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
            return Encoding.UTF8.GetString(
                bytes,
                0,
                await stream.ReadAtLeastAsync(bytes, bytes.Length, false, cancel).ConfigureAwait(false)
            );
        }
        catch (Exception fault) when (fault is IOException or HttpRequestException)
        {
            return "";
        }
    }

    // Whose doing a refusal is: the user's where it is about what the user sent, the stage's otherwise.
    private StageException Refusal(HttpResponseMessage response, string body)
    {
        var (text, parameter) = OpenAiProtocol.Error(body);
        int status = (int)response.StatusCode;
        string said = text == "" ? response.ReasonPhrase ?? "" : Hidden(text);
        bool users =
            status is 400 or 413 or 422
            && parameter is null or "messages" or "prompt" or "input" or "stop" or "tools" or "tool_choice" or "response_format"
            && !OwnParameters.Any(own => text.Contains(own, StringComparison.Ordinal));
        if (users)
            return new StageException(Name, StageFailures.Rejected, $"rejected the request: {said}");
        TimeSpan? pause = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            { Date: { } date } => date - DateTimeOffset.UtcNow,
            _ => null,
        };
        return new StageException(Name, StageFailures.Refused, $"expected an answer of {_remote.Url}, got status {status}: {said}")
        {
            MayPass = status is 408 or 429 or >= 500,
            RetryAfter = pause < TimeSpan.Zero ? TimeSpan.Zero : pause,
        };
    }

    // What a request holds that no user asked for; a server that does not know one of them wants another cascade file.
    private static readonly string[] OwnParameters =
    [
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "temperature",
        "stream_options",
        "chat_template_kwargs",
        "grammar",
    ];

    private StageException Failure(Exception fault, bool begun)
    {
        string text = Hidden(
            OpenAiProtocol.Short((fault.InnerException is { } inner && fault is HttpRequestException ? inner : fault).Message)
        );
        return fault switch
        {
            HttpIOException { HttpRequestError: HttpRequestError.InvalidResponse or HttpRequestError.ConfigurationLimitExceeded } => Fail(
                StageFailures.InvalidResponse,
                $"expected an answer of the OpenAI protocol, got: {text}"
            ),
            HttpIOException or IOException => Fail(
                StageFailures.ConnectionLost,
                $"expected the end of the answer, got a broken connection: {text}",
                true
            ),
            HttpRequestException when begun => Fail(
                StageFailures.ConnectionLost,
                $"expected the end of the answer, got a broken connection: {text}",
                true
            ),
            HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse or HttpRequestError.ResponseEnded } => Fail(
                StageFailures.ConnectionLost,
                $"expected an answer of {_remote.Url}, got a broken connection: {text}",
                true
            ),
            HttpRequestException => Fail(StageFailures.Unreachable, $"expected a server at {_remote.Url}, got none: {text}", true),
            FormatException => Fail(StageFailures.InvalidResponse, text),
            _ => Fail(StageFailures.InvalidResponse, $"expected an answer of the OpenAI protocol, got something else: {text}"),
        };

        StageException Fail(string kind, string message, bool mayPass = false) => new(Name, kind, message, fault) { MayPass = mayPass };
    }

    private StageException Invalid(string message) => new(Name, StageFailures.InvalidResponse, message);

    // Servers like to repeat the key that they refuse.
    private string Hidden(string text) =>
        KeyLike().Replace(string.IsNullOrEmpty(_key) ? text : text.Replace(_key, "***", StringComparison.Ordinal), "***");

    [GeneratedRegex(@"\b(sk|pk|key|api)[-_][A-Za-z0-9_\-\*]{6,}|(?<=Bearer )\S+")]
    private static partial Regex KeyLike();

    // Ends the reading of what is longer than any answer.
    private sealed class BoundedStream(Stream inner, long bound) : Stream
    {
        private long _read;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancel = default)
        {
            int read = await inner.ReadAsync(buffer, cancel).ConfigureAwait(false);
            return (_read += read) <= bound ? read : throw new FormatException($"expected an answer of at most {bound} bytes, got more");
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position
        {
            get => _read;
            set => throw new NotSupportedException();
        }

        public override void Flush() { }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
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
        return new OpenAiStage(context, key);
    }
}
