namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// One stage of a cascade: a model that answers prompts, wherever it runs. The cascade above it decides when to stop and
/// knows nothing of engines, processes or networks. A backend may answer many requests at once.
/// </summary>
public interface IStageBackend : IAsyncDisposable
{
    /// <summary>The stage's name in the cascade file.</summary>
    string Name { get; }

    /// <summary>Whether <see cref="VerifyAsync"/> works here: a remote server need not return log-probabilities of a prompt.</summary>
    bool CanVerify { get; }

    /// <summary>
    /// Writes an answer, greedily. A backend that computes in this process does so on the caller's thread and returns a
    /// completed task.
    /// </summary>
    /// <param name="onToken">Told each token as it is written; not the one that ends the answer.</param>
    /// <exception cref="ToolkitException">The request is at fault; another stage of the cascade would refuse it too.</exception>
    /// <exception cref="StageException">The stage is at fault: it is down, too slow, or its reply makes no sense.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    ValueTask<StageReply> AnswerAsync(StageRequest request, Action<StageToken>? onToken = null, CancellationToken cancel = default);

    /// <summary>
    /// Reads a text that another stage wrote, in one forward, and says how much of it this stage would have written too.
    /// </summary>
    /// <exception cref="StageException">As above; also where <see cref="CanVerify"/> is false.</exception>
    ValueTask<DraftVerdict> VerifyAsync(StageRequest request, IReadOnlyList<StageToken> draft, CancellationToken cancel = default);
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
}
