using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Chat;

/// <summary>
/// A cascade as an <see cref="IChatClient"/>: each message is answered as cheaply as its quality allows. A response's
/// <see cref="ChatResponse.AdditionalProperties"/> say who answered and why (see the constants); its raw representation is
/// the <see cref="AdaptiveAnswer"/>. Models of a cascade file decode greedily, so temperature and the like change nothing;
/// tools are refused. <see cref="ChatOptions.ModelId"/> may name the cascade or one of its stages, which then answers alone.
/// </summary>
/// <remarks>Streaming gives the text of the answer that is returned only, in its tokens, once the cascade has decided.</remarks>
public sealed class CascadeChatClient(AdaptiveCascade cascade, bool ownsCascade = false) : IChatClient
{
    /// <summary>Name of the stage whose answer is returned: text.</summary>
    public const string StageKey = "toolkit.stage";

    /// <summary>Calibrated probability that the answer is right: a number from 0 to 1.</summary>
    public const string ConfidenceKey = "toolkit.confidence";

    /// <summary>Cost of all stages that ran, in the cascade's units: a number.</summary>
    public const string CostKey = "toolkit.cost";

    /// <summary>Names of the stages that ran, in order: an array of texts.</summary>
    public const string AskedKey = "toolkit.asked";

    /// <summary>
    /// Whether the policy was not sure enough to give its answer (see <see cref="Abstention"/>): true or false. The response then has no text.
    /// </summary>
    public const string AbstainedKey = "toolkit.abstained";

    private readonly ChatClientMetadata _metadata = new("optimal-stopping-toolkit", null, cascade.Cascade.File.Name);

    /// <summary>A cascade of chat clients, with the confidence that the clients' answers suggest and no calibration.</summary>
    /// <param name="clients">The cheapest first; 2 to 10. They belong to the caller.</param>
    /// <param name="policy">Decides on confidences and on which answers are the same.</param>
    /// <exception cref="ArgumentException">Clients, policy or options do not fit one another.</exception>
    public CascadeChatClient(IReadOnlyList<IChatClient> clients, IStoppingPolicy policy, ChatCascadeOptions? options = null)
        : this(ChatCascade.From(clients, policy, options)) { }

    /// <summary>A cascade of chat clients with a policy that was calibrated on their graded answers.</summary>
    /// <param name="clients">The models of the policy, in its order. They belong to the caller.</param>
    /// <exception cref="ArgumentException">Clients and policy do not fit one another.</exception>
    /// <exception cref="ToolkitException">The policy needs more than the clients' answers.</exception>
    public CascadeChatClient(IReadOnlyList<IChatClient> clients, PolicyFile policy, ChatCascadeOptions? options = null)
        : this(ChatCascade.From(clients, policy, options)) { }

    /// <summary>
    /// The embedded cascade: four small models that do arithmetic, sorting and text puzzles. Needs no file: its models are
    /// part of this assembly, and are unpacked into the user's local application data once.
    /// </summary>
    /// <param name="lambda">Price of cost: quality that one unit of cost is worth; at least 0.</param>
    /// <exception cref="ToolkitException">The models cannot be unpacked.</exception>
    public static CascadeChatClient CreateDefault(double lambda = 0.01) => Load(EmbeddedCascade.Unpack(), lambda);

    /// <summary>Loads a cascade and fits its policy on the calibration records that its file names.</summary>
    /// <param name="cascadeFile">For example <c>configs/miniature.yaml</c>.</param>
    /// <param name="lambda">Price of cost: quality that one unit of cost is worth; at least 0.</param>
    /// <exception cref="ToolkitException">A file is missing or faulty.</exception>
    public static CascadeChatClient Load(string cascadeFile, double lambda)
    {
        ArgumentException.ThrowIfNullOrEmpty(cascadeFile);
        if (!(lambda >= 0 && double.IsFinite(lambda)))
            throw new ArgumentOutOfRangeException(nameof(lambda), lambda, "expected a number of at least 0");
        CascadeFile file = CascadeFile.Load(cascadeFile);
        CascadeRecords records = CascadeRecords.Load(
            file.CalibrationTrace
                ?? throw new ToolkitException(
                    $"{cascadeFile}: key 'calibration_trace': expected the trace file to fit the policy on, got none"
                )
        );
        return new CascadeChatClient(AdaptiveCascade.Fit(Cascade.Load(file), records, lambda), ownsCascade: true);
    }

    /// <inheritdoc/>
    /// <exception cref="ToolkitException">The conversation is at fault.</exception>
    /// <exception cref="StageException">Every stage failed.</exception>
    public async Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        AdaptiveAnswer answer = await AnswerAsync(messages, options, cancellationToken).ConfigureAwait(false);
        StageReply reply = answer.Given;
        return new ChatResponse(new ChatMessage(ChatRole.Assistant, reply.Text))
        {
            ResponseId = Guid.NewGuid().ToString("N"),
            ModelId = Name(answer.Chosen),
            CreatedAt = DateTimeOffset.UtcNow,
            FinishReason = Finish(reply),
            Usage = Usage(answer),
            AdditionalProperties = Properties(answer),
            RawRepresentation = answer,
        };
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        string id = Guid.NewGuid().ToString("N");
        AdaptiveAnswer answer = await AnswerAsync(messages, options, cancellationToken).ConfigureAwait(false);
        StageReply reply = answer.Given;
        IEnumerable<string> pieces = reply.Tokens.Select(token => token.Text);
        if (string.Concat(pieces) != reply.Text)
            pieces = [reply.Text]; // a stop text cut a token
        foreach (string piece in pieces)
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return Update(new TextContent(piece));
        }
        ChatResponseUpdate last = Update(new UsageContent(Usage(answer)));
        last.FinishReason = Finish(reply);
        last.AdditionalProperties = Properties(answer);
        last.MessageId = null; // properties of the response, not of its message
        last.RawRepresentation = answer;
        yield return last;

        ChatResponseUpdate Update(AIContent content) =>
            new(ChatRole.Assistant, [content])
            {
                ResponseId = id,
                MessageId = id,
                ModelId = Name(answer.Chosen),
                CreatedAt = DateTimeOffset.UtcNow,
            };
    }

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null) =>
        serviceKey is not null ? null
        : serviceType == typeof(ChatClientMetadata) ? _metadata
        : serviceType == typeof(AdaptiveCascade) ? cascade
        : serviceType.IsInstanceOfType(this) ? this
        : null;

    public void Dispose()
    {
        if (ownsCascade)
            cascade.Cascade.DisposeAsync().AsTask().GetAwaiter().GetResult();
    }

    // Models in this process compute on the caller's thread, which an asynchronous caller does not expect.
    private Task<AdaptiveAnswer> AnswerAsync(IEnumerable<ChatMessage> messages, ChatOptions? options, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(messages);
        int alone = StageNamed(options?.ModelId);
        if (options?.Tools is { Count: > 0 })
            throw new ToolkitException("tools: expected none (a cascade answers with text), got some");
        if (options?.ResponseFormat is ChatResponseFormatJson)
            throw new ToolkitException("response format: expected text, got JSON");
        List<StageMessage> all = [];
        if (options?.Instructions is { Length: > 0 } instructions)
            all.Add(new StageMessage("system", instructions));
        foreach (ChatMessage message in messages)
        {
            if (message.Contents.FirstOrDefault(content => content is not TextContent) is { } other)
                throw new ToolkitException($"messages: expected text only, got {other.GetType().Name}");
            all.Add(new StageMessage(message.Role.Value, message.Text));
        }
        var request = new StageRequest(StagePrompt.FromMessages(all))
        {
            MaxTokens = options?.MaxOutputTokens,
            Stop = options?.StopSequences is { } stops ? [.. stops] : [],
        };
        return Task.Run(() => alone < 0 ? cascade.AnswerAsync(request, null, cancel).AsTask() : AloneAsync(alone, request, cancel), cancel);
    }

    private async Task<AdaptiveAnswer> AloneAsync(int stage, StageRequest request, CancellationToken cancel)
    {
        StageReply reply = await cascade.Cascade.Stages[stage].AnswerAsync(request, null, cancel).ConfigureAwait(false);
        var turn = new StageAnswer(stage, reply, double.NaN);
        return new AdaptiveAnswer([turn], turn, reply.Cost);
    }

    // The stage that a request names; -1 for the cascade.
    private int StageNamed(string? model)
    {
        CascadeFile file = cascade.Cascade.File;
        if (model is null || model == file.Name)
            return -1;
        for (int k = 0; k < file.Stages.Count; k++)
            if (file.Stages[k].Name == model)
                return k;
        throw new ArgumentException(
            $"expected a ModelId among {string.Join(", ", file.Stages.Select(stage => stage.Name).Prepend(file.Name))}, got '{model}'",
            nameof(model)
        );
    }

    private string Name(StageAnswer turn) => cascade.Cascade.File.Stages[turn.Stage].Name;

    private static ChatFinishReason Finish(StageReply reply) => reply.Ended ? ChatFinishReason.Stop : ChatFinishReason.Length;

    private static UsageDetails Usage(AdaptiveAnswer answer)
    {
        int read = answer.Turns.Sum(turn => turn.Reply.PromptTokens),
            written = answer.Turns.Sum(turn => turn.Reply.CompletionTokens);
        return new UsageDetails
        {
            InputTokenCount = read,
            OutputTokenCount = written,
            TotalTokenCount = read + written,
        };
    }

    private AdditionalPropertiesDictionary Properties(AdaptiveAnswer answer) =>
        new()
        {
            [StageKey] = Name(answer.Chosen),
            [ConfidenceKey] = answer.Chosen.Confidence,
            [CostKey] = answer.Cost,
            [AbstainedKey] = answer.IsWithheld,
            [AskedKey] = answer.Turns.Select(Name).ToArray(),
        };
}
