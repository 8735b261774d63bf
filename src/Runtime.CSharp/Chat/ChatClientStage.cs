using System.Diagnostics;
using Microsoft.Extensions.AI;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Tasks;

namespace OptimalStopping.Runtime.Chat;

/// <summary>How a cascade of chat clients asks them and judges their answers.</summary>
public sealed record ChatCascadeOptions
{
    /// <summary>What confidence in an answer comes from; agreement with the clients asked before, unless told otherwise.</summary>
    public ConfidenceSource Confidence { get; init; } = ConfidenceSource.Agreement;

    /// <summary>
    /// Confidence features of a response, for clients that report log-probabilities
    /// (<see cref="ConfidenceSource.LogProbabilities"/>); null where a response has none.
    /// </summary>
    public Func<ChatResponse, ConfidenceFeatures?>? Features { get; init; }

    /// <summary>Answers that are sampled beside the first, for <see cref="ConfidenceSource.Samples"/>.</summary>
    public int Samples { get; init; } = 5;

    /// <summary>How the answer is found in a text: answers are the same where these are.</summary>
    public Grading Answers { get; init; } = Grading.Exact;

    /// <summary>Cost of an answer of each client; 1, 2, 4, ... unless told otherwise.</summary>
    public IReadOnlyList<double>? Costs { get; init; }

    /// <summary>Name of each client; its default model, or stage-1, stage-2, ... unless told otherwise.</summary>
    public IReadOnlyList<string>? Names { get; init; }

    /// <summary>Most tokens of an answer.</summary>
    public int MaxTokens { get; init; } = 4096;

    /// <summary>Options that every request starts from: sampling, reasoning effort and the like.</summary>
    public ChatOptions? ChatOptions { get; init; }
}

/// <summary>A stage that is any <see cref="IChatClient"/>. The client belongs to the caller.</summary>
public sealed class ChatClientStage(IChatClient client, CascadeStage stage, ChatCascadeOptions options) : IStage
{
    private readonly AnswerGrader _answers = new(options.Answers);

    /// <inheritdoc/>
    public string Name => stage.Name;

    /// <inheritdoc/>
    public bool CanVerify => false;

    /// <inheritdoc/>
    public ConfidenceSource Confidence => options.Confidence;

    /// <inheritdoc/>
    public int Concurrency => 8;

    /// <inheritdoc/>
    public double CostOf(int promptTokens, int completionTokens) => stage.Cost;

    /// <inheritdoc/>
    public async ValueTask<StageReply> AnswerAsync(
        StageRequest request,
        Action<StageToken>? onToken = null,
        CancellationToken cancel = default
    )
    {
        long start = Stopwatch.GetTimestamp();
        ChatMessage[] messages = request.Prompt.Text is { } text
            ? [new ChatMessage(ChatRole.User, text)]
            : [.. request.Prompt.Messages.Select(message => new ChatMessage(new ChatRole(message.Role), message.Content))];
        ChatOptions asked = options.ChatOptions?.Clone() ?? new ChatOptions();
        asked.MaxOutputTokens = Math.Min(request.MaxTokens ?? options.MaxTokens, options.MaxTokens);
        if (request.Stop.Count > 0)
            asked.StopSequences = [.. request.Stop];
        var tokens = new List<StageToken>();
        ChatResponse response = await AskAsync(messages, asked, cancel, Told).ConfigureAwait(false);
        if (response.FinishReason == ChatFinishReason.ContentFilter)
            throw new StageException(Name, StageFailures.Filtered, "expected an answer, got finish reason content_filter");
        int read = (int)(response.Usage?.InputTokenCount ?? 0),
            written = (int)(response.Usage?.OutputTokenCount ?? 0);
        ConfidenceFeatures features = await FeaturesAsync(messages, asked, response, cancel).ConfigureAwait(false);
        bool ended = response.FinishReason != ChatFinishReason.Length;
        return new StageReply(
            response.Text,
            tokens,
            features,
            ended,
            read,
            written,
            stage.Cost,
            Stopwatch.GetElapsedTime(start).TotalSeconds
        )
        {
            // A client does not say whether a stop text ended its answer.
            IsWhole = ended && request.Stop.Count == 0,
        };

        void Told(string piece)
        {
            var token = new StageToken(-1, piece, double.NaN);
            tokens.Add(token);
            onToken?.Invoke(token);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="StageException">Always: a chat client scores no prompts.</exception>
    public ValueTask<DraftVerdict> VerifyAsync(StageRequest request, IReadOnlyList<StageToken> draft, CancellationToken cancel = default) =>
        throw new StageException(Name, StageFailures.Refused, "expected a stage that scores prompts, got a chat client");

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => default;

    private async Task<ChatResponse> AskAsync(
        IReadOnlyList<ChatMessage> messages,
        ChatOptions asked,
        CancellationToken cancel,
        Action<string>? told = null
    )
    {
        try
        {
            if (told is null)
                return await client.GetResponseAsync(messages, asked, cancel).ConfigureAwait(false);
            var updates = new List<ChatResponseUpdate>();
            await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync(messages, asked, cancel).ConfigureAwait(false))
            {
                updates.Add(update);
                if (update.Text is { Length: > 0 } piece)
                    told(piece);
            }
            return updates.ToChatResponse();
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception fault) when (fault is not (StageException or ToolkitException))
        {
            string kind = fault switch
            {
                OperationCanceledException or TimeoutException => StageFailures.Timeout,
                HttpRequestException or System.Net.Sockets.SocketException => StageFailures.Unreachable,
                IOException => StageFailures.ConnectionLost,
                _ => StageFailures.Refused,
            };
            throw new StageException(Name, kind, $"expected an answer, got: {OpenAiProtocol.Short(fault.Message)}", fault);
        }
    }

    private async Task<ConfidenceFeatures> FeaturesAsync(
        IReadOnlyList<ChatMessage> messages,
        ChatOptions asked,
        ChatResponse response,
        CancellationToken cancel
    )
    {
        string text = response.Text;
        int length = Math.Max(1, (int)(response.Usage?.OutputTokenCount ?? (text.Length + 3) / 4));
        switch (Confidence)
        {
            case ConfidenceSource.LogProbabilities:
                return options.Features?.Invoke(response)
                    ?? throw new StageException(
                        Name,
                        StageFailures.InvalidResponse,
                        "expected log-probabilities (ChatCascadeOptions.Features), got none"
                    );
            case ConfidenceSource.Samples:
                ChatOptions sampled = asked.Clone();
                sampled.Temperature ??= 0.7f;
                ChatResponse[] samples = await Task.WhenAll(
                        Enumerable.Range(0, options.Samples).Select(_ => AskAsync(messages, sampled, cancel))
                    )
                    .ConfigureAwait(false);
                return OtherConfidence.FromSamples(Key(text), [.. samples.Select(sample => Key(sample.Text))], length);
            case ConfidenceSource.Judge:
                string question = messages.LastOrDefault(message => message.Role == ChatRole.User)?.Text ?? "";
                ChatResponse verdict = await AskAsync(
                        [new ChatMessage(ChatRole.User, OtherConfidence.Verdict(question, text))],
                        asked,
                        cancel
                    )
                    .ConfigureAwait(false);
                double yes = OtherConfidence.Yes(verdict.Text, []);
                return ReportedFeatures.FromProbability(yes, 1 - yes, 0, length);
            case ConfidenceSource.Text:
                return OtherConfidence.FromText(text, length);
            default: // agreement is for the cascade to see
                return ReportedFeatures.FromProbability(0.5, 0.5, 0, length);
        }
    }

    private string Key(string text) => _answers.Extract(text) ?? text.Trim();
}
