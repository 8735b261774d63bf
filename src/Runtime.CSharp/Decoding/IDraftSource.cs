using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>What the sources of a request are told at its start.</summary>
/// <param name="PromptLength">Tokens of the prompt; what comes behind it in a context is answer.</param>
/// <param name="Capacity">The most tokens that prompt and answer can have together.</param>
/// <param name="Answer">A finished answer of an earlier stage, or empty.</param>
/// <param name="Random">The request's one source of random numbers.</param>
public readonly record struct DraftRequest(
    int PromptLength,
    int Capacity,
    ReadOnlyMemory<int> Answer,
    SamplingOptions Sampling,
    SplitMix64 Random
);

/// <summary>
/// Something that guesses how a context goes on: a model, a finished answer, the context's own repetitions. To be used by
/// one request at a time.
/// </summary>
public interface IDraftSource : IDisposable
{
    /// <summary>Begins a request.</summary>
    void Start(in DraftRequest request);

    /// <summary>
    /// Offers tokens that may follow the context, while <see cref="DraftBlock.GoesOn"/>. Contexts of one request only
    /// differ behind the tokens that have been settled: each starts with all settled tokens before it.
    /// </summary>
    void Draft(ReadOnlySpan<int> context, DraftBlock block);
}
