namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A language model as the decoders see it: token numbers in, logits out. Which engine computes them does not matter to
/// the caller. A model may be used from several threads at once, as long as each sequence is used by one thread at a time.
/// </summary>
/// <remarks>
/// Contract of every engine: the logits of a token depend on the tokens before it alone. They are bitwise the same
/// whether the token was fed alone, together with others, or in a batch of sequences. Speculative decoding is lossless
/// only because of this.
/// </remarks>
public interface ITokenModel : IDisposable
{
    /// <summary>A short name for reports.</summary>
    string Name { get; }

    /// <summary>The number of tokens known, which is the length of one row of logits.</summary>
    int VocabularySize { get; }

    /// <summary>The most tokens that one sequence can hold.</summary>
    int MaxPositions { get; }

    /// <summary>An empty sequence with room for <paramref name="capacity"/> tokens (1 to <see cref="MaxPositions"/>).</summary>
    ITokenSequence NewSequence(int capacity);

    /// <summary>
    /// Appends each step's tokens to its sequence. <paramref name="logits"/> receives, for each step in order, the logits
    /// after its last token: <c>steps.Length * VocabularySize</c> values. A sequence may occur once only.
    /// </summary>
    void ForwardBatch(ReadOnlySpan<SequenceStep> steps, Span<float> logits);
}

/// <summary>The tokens (at least one) that one sequence takes in a batch.</summary>
public readonly record struct SequenceStep(ITokenSequence Sequence, ReadOnlyMemory<int> Tokens);

/// <summary>A growing sequence of tokens with its cache of keys and values.</summary>
public interface ITokenSequence : IDisposable
{
    /// <summary>The tokens held now.</summary>
    int Length { get; }

    /// <summary>The most tokens that this sequence can hold.</summary>
    int Capacity { get; }

    /// <summary>Appends tokens (at least one); <paramref name="lastLogits"/> receives the logits after the last of them.</summary>
    void Forward(ReadOnlySpan<int> tokens, Span<float> lastLogits);

    /// <summary>
    /// Appends tokens (at least one) and returns what <see cref="Greedy.Choose"/> chooses of the logits after the last of
    /// them. An engine that needs not compute all of them for it leaves <paramref name="logits"/>, which has room for one
    /// row, in any state.
    /// </summary>
    int ForwardGreedily(ReadOnlySpan<int> tokens, Span<float> logits)
    {
        Forward(tokens, logits);
        return Greedy.Choose(logits);
    }

    /// <summary>Appends tokens; <paramref name="allLogits"/> receives one row of logits after each of them.</summary>
    void ForwardAll(ReadOnlySpan<int> tokens, Span<float> allLogits);

    /// <summary>Forgets every token from position <paramref name="length"/> on (0 to <see cref="Length"/>).</summary>
    void Truncate(int length);

    /// <summary>An independent copy with the same tokens and the same capacity.</summary>
    ITokenSequence Fork();
}
