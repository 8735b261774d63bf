using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// One stage of a cascade: a model that answers prompts, wherever it runs. The cascade above it decides when to stop and
/// knows nothing of engines, processes or networks. A stage may answer many requests at once.
/// </summary>
public interface IStage : IAsyncDisposable
{
    /// <summary>The stage's name in the cascade file.</summary>
    string Name { get; }

    /// <summary>Whether <see cref="VerifyAsync"/> works here: a remote server need not return log-probabilities of a prompt.</summary>
    bool CanVerify { get; }

    /// <summary>What the confidence in its answers comes from.</summary>
    ConfidenceSource Confidence => ConfidenceSource.LogProbabilities;

    /// <summary>Requests that it may be asked at once with profit; more wait.</summary>
    int Concurrency => 1;

    /// <summary>
    /// Whether it can honour what a request asks of the answer's form, and read the conversation's tool calls; a stage that
    /// cannot is passed over.
    /// </summary>
    bool CanAnswer(StageRequest request) => request.Form.IsFree && !request.Prompt.UsesTools;

    /// <summary>What an answer costs, in the cascade's units, where nothing is saved by a draft.</summary>
    double CostOf(int promptTokens, int completionTokens);

    /// <summary>
    /// Writes an answer, greedily. A stage that computes in this process does so on the caller's thread and returns a
    /// completed task.
    /// </summary>
    /// <param name="onToken">Told each token as it is written; not the one that ends the answer.</param>
    /// <exception cref="ToolkitException">The request is at fault; another stage of the cascade would refuse it too.</exception>
    /// <exception cref="StageException">The stage is at fault: it is down, too slow, or its reply makes no sense.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    ValueTask<StageReply> AnswerAsync(StageRequest request, Action<StageToken>? onToken = null, CancellationToken cancel = default);

    /// <summary>Answers one question and waits for the answer. Errors as those of <see cref="AnswerAsync"/>.</summary>
    StageReply Answer(string question, CancellationToken cancel = default) =>
        AnswerAsync(new StageRequest(StagePrompt.FromQuestion(question)), cancel: cancel).AsTask().GetAwaiter().GetResult();

    /// <summary>
    /// Reads a text that another stage wrote, in one forward, and says how much of it this stage would have written too.
    /// </summary>
    /// <exception cref="StageException">As above; also where <see cref="CanVerify"/> is false.</exception>
    ValueTask<DraftVerdict> VerifyAsync(StageRequest request, IReadOnlyList<StageToken> draft, CancellationToken cancel = default);
}

/// <summary>What the confidence in a stage's answers comes from.</summary>
public enum ConfidenceSource
{
    /// <summary>The log-probabilities of its tokens.</summary>
    LogProbabilities,

    /// <summary>How many of several sampled answers agree with the greedy one.</summary>
    Samples,

    /// <summary>The stage is asked whether its answer is right: the probability of "yes".</summary>
    Judge,

    /// <summary>How many of the stages asked before gave the same answer.</summary>
    Agreement,

    /// <summary>The text alone: its length, and the words by which a model says that it is not sure.</summary>
    Text,

    /// <summary>Nothing: every answer of the stage is as likely to be right as its answers are on the whole.</summary>
    None,
}

/// <summary>One message of a conversation.</summary>
/// <param name="Role"><c>system</c>, <c>user</c>, <c>assistant</c> or <c>tool</c>.</param>
/// <param name="Content">What was said; empty for nothing.</param>
public sealed record StageMessage(string Role, string Content)
{
    /// <summary>What an answer's thinking was, where the client sends it back apart from the content; null for none.</summary>
    public string? Reasoning { get; init; }

    /// <summary>The tools that an answer called.</summary>
    public IReadOnlyList<ToolCall> ToolCalls { get; init; } = [];

    /// <summary>The call that a message of the role <c>tool</c> is the result of; null elsewhere.</summary>
    public string? ToolCallId { get; init; }
}

/// <summary>What a stage is asked: a text to go on with, or a conversation to answer.</summary>
public sealed class StagePrompt
{
    private StagePrompt(string? text, IReadOnlyList<StageMessage> messages) => (Text, Messages) = (text, messages);

    /// <summary>The text to go on with; null for a conversation.</summary>
    public string? Text { get; }

    /// <summary>The conversation, oldest message first; empty for a text.</summary>
    public IReadOnlyList<StageMessage> Messages { get; }

    /// <summary>Whether tools were called in the conversation.</summary>
    public bool UsesTools => Messages.Any(message => message.Role == "tool" || message.ToolCalls.Count > 0);

    /// <summary>What the user asks: the last message of a conversation, where it is the user's, or the text.</summary>
    public string? Question => Text ?? (Messages.Count > 0 && Messages[^1].Role == "user" ? Messages[^1].Content : null);

    /// <summary>A text to go on with, as it is, without a template around it.</summary>
    public static StagePrompt FromText(string text) => new(text, []);

    /// <summary>A question: a conversation of one message by the user.</summary>
    public static StagePrompt FromQuestion(string question) => FromMessages([new StageMessage("user", question)]);

    /// <summary>A conversation; each model puts its own chat template around it.</summary>
    public static StagePrompt FromMessages(IReadOnlyList<StageMessage> messages) => new(null, messages);
}

/// <summary>A request to one stage.</summary>
public sealed record StageRequest(StagePrompt Prompt)
{
    /// <summary>Most tokens to write; null for the cascade's own limit, which also bounds it.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>The dataset that the question is of, where a policy was calibrated by datasets; null where that is not known.</summary>
    public string? Dataset { get; init; }

    /// <summary>What the answer has to look like.</summary>
    public AnswerForm Form { get; init; } = AnswerForm.Free;

    /// <summary>Texts that end the answer; they are not part of it.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>How many likeliest tokens each <see cref="StageToken"/> lists; 0 for none.</summary>
    public int Alternatives { get; init; }

    /// <summary>
    /// What an earlier stage wrote: a stage that can verify it goes on from the part that it agrees with. The answer is
    /// the same with and without a draft. Empty for none.
    /// </summary>
    public IReadOnlyList<StageToken> Draft { get; init; } = [];
}

/// <summary>One token of an answer.</summary>
/// <param name="Id">Its number in the stage's vocabulary; -1 where the stage does not tell.</param>
/// <param name="Text">What it adds to the text.</param>
/// <param name="LogProbability">Natural logarithm of its probability under the stage that wrote it; NaN where unknown.</param>
public readonly record struct StageToken(int Id, string Text, double LogProbability)
{
    /// <summary>For a piece of a tool call, which adds nothing to the text: the piece; null otherwise.</summary>
    public ToolCallPiece? ToolCall { get; init; }

    /// <summary>The likeliest tokens at this place, likeliest first, as many as were asked for.</summary>
    public IReadOnlyList<StageToken> Alternatives { get; init; } = [];
}

/// <summary>An answer as a stage wrote it.</summary>
/// <param name="Text">The answer, without the text that ended it.</param>
/// <param name="Tokens">Its tokens, without the one that ended it.</param>
/// <param name="Features">What the model's own probabilities say of it.</param>
/// <param name="Ended">False where the limit of tokens came before the end.</param>
/// <param name="PromptTokens">Tokens read.</param>
/// <param name="CompletionTokens">Tokens written, the one that ended the answer included.</param>
/// <param name="Cost">What the answer cost, in the cascade's units.</param>
/// <param name="Seconds">Time that the stage took, waiting for its turn not counted.</param>
public sealed record StageReply(
    string Text,
    IReadOnlyList<StageToken> Tokens,
    ConfidenceFeatures Features,
    bool Ended,
    int PromptTokens,
    int CompletionTokens,
    double Cost,
    double Seconds
)
{
    /// <summary>What became of the request's draft; null where there was none or the stage did not look at it.</summary>
    public DraftVerdict? Draft { get; init; }

    /// <summary>
    /// False where something cut the answer short of the end that the model would have given it (the limit of tokens, or a
    /// text that the request names), or where it is not of the form that the request asks for. Such an answer cannot be held to be right.
    /// </summary>
    public bool IsWhole { get; init; } = Ended;

    /// <summary>The tools that the answer calls.</summary>
    public IReadOnlyList<ToolCall> ToolCalls { get; init; } = [];

    /// <summary>What the answer says, by which answers are compared: its text, or the tools that it calls with their arguments.</summary>
    public string Said => AnswerForm.Said(Text, ToolCalls);

    /// <summary>What the server says of itself; null where it says nothing, and for a stage in this process.</summary>
    public ServerIdentity? Server { get; init; }

    /// <summary>Forwards of the model that the answer took, the prompt's among them; 0 where the stage does not tell.</summary>
    public int Forwards { get; init; }
}

/// <summary>How a stage judges a draft.</summary>
/// <param name="LogProbabilities">Of each token of the draft under this stage, given the prompt and the draft before it.</param>
/// <param name="Accepted">How many tokens from the start are the ones that this stage would have written, greedily.</param>
public sealed record DraftVerdict(IReadOnlyList<double> LogProbabilities, int Accepted)
{
    /// <summary>The draft in tokens of this stage, each with its log-probability, and with as many alternatives as were asked for.</summary>
    public IReadOnlyList<StageToken> Tokens { get; init; } = [];

    /// <summary>Length of the draft in tokens of this stage.</summary>
    public int Drafted => LogProbabilities.Count;
}

/// <summary>A stage failed at a request that was in order. The message says what happened, in one line.</summary>
/// <param name="kind">One of <see cref="StageFailures"/>.</param>
public sealed class StageException(string stage, string kind, string message, Exception? inner = null)
    : Exception($"stage '{stage}': {message}", inner)
{
    /// <summary>Name of the stage that failed.</summary>
    public string Stage { get; } = stage;

    /// <summary>The failure's name in metrics.</summary>
    public string Kind { get; } = kind;

    /// <summary>Whether the same request may succeed a moment later.</summary>
    public bool MayPass { get; init; }

    /// <summary>The pause that the server asks for before the next attempt; null for none.</summary>
    public TimeSpan? RetryAfter { get; init; }
}

/// <summary>Names of the ways in which a stage fails, as metrics show them.</summary>
public static class StageFailures
{
    /// <summary>No connection.</summary>
    public const string Unreachable = "unreachable";

    /// <summary>No whole answer in time.</summary>
    public const string Timeout = "timeout";

    /// <summary>The server answers with an error of its own (5xx, 401, 404, 429), or does not know a parameter that the stage is set up with.</summary>
    public const string Refused = "refused";

    /// <summary>The server finds the user's request at fault (400, 413, 422).</summary>
    public const string Rejected = "rejected";

    /// <summary>The server's filter, or the model itself, declines to answer.</summary>
    public const string Filtered = "filtered";

    /// <summary>An answer that is not what the protocol says, or whose log-probabilities cannot be.</summary>
    public const string InvalidResponse = "invalid_response";

    /// <summary>The connection broke inside an answer.</summary>
    public const string ConnectionLost = "connection_lost";

    /// <summary>Not asked, because it failed too often just before.</summary>
    public const string OpenCircuit = "open_circuit";

    /// <summary>Not asked, because no place among its requests was free in time.</summary>
    public const string Overloaded = "overloaded";
}
