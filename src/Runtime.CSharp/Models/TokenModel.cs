using System.Runtime.Intrinsics;

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

/// <summary>The choice of greedy decoding.</summary>
public static class Greedy
{
    /// <summary>The token with the greatest logit, the lowest of them where several are equal.</summary>
    /// <exception cref="ArgumentException">There is no logit.</exception>
    public static int Choose(ReadOnlySpan<float> logits)
    {
        if (logits.IsEmpty)
            throw new ArgumentException("expected at least one logit", nameof(logits));
        int i = 0;
        float greatest = float.NegativeInfinity;
        if (logits.Length >= Padding.Lanes)
        {
            Vector512<float> most = Vector512.Create(logits);
            for (; i + Padding.Lanes <= logits.Length; i += Padding.Lanes)
                most = Vector512.MaxNative(most, Vector512.Create(logits[i..]));
            greatest = VectorMath.Max(most);
        }
        for (; i < logits.Length; i++)
            greatest = MathF.Max(greatest, logits[i]);
        return Math.Max(0, logits.IndexOf(greatest));
    }
}

/// <summary>What an engine's sequence shows so that <see cref="ForwardArguments"/> can check it.</summary>
public interface IEngineSequence : ITokenSequence
{
    /// <summary>The model that it belongs to.</summary>
    ITokenModel Owner { get; }

    /// <summary>True while a batch is checked that holds this sequence, to find one that occurs twice.</summary>
    bool InBatch { get; set; }

    /// <summary>Throws where it has been disposed.</summary>
    /// <exception cref="ObjectDisposedException">It has been disposed.</exception>
    void ThrowIfDisposed();
}

/// <summary>The checks that every engine makes before a forward pass changes anything.</summary>
public static class ForwardArguments
{
    /// <summary>Room for so many rows of logits.</summary>
    /// <exception cref="ArgumentException">There is less.</exception>
    public static void CheckLogits(this ITokenModel model, ReadOnlySpan<float> logits, int rows)
    {
        if (logits.Length < (long)rows * model.VocabularySize)
            throw new ArgumentException(
                $"expected room for {rows} rows of {model.VocabularySize} logits, got {logits.Length} values",
                nameof(logits)
            );
    }

    /// <summary>At least one token, not more than the sequence has room for, each of the vocabulary.</summary>
    /// <exception cref="ArgumentException">Something else.</exception>
    public static void CheckTokens(this ITokenModel model, IEngineSequence sequence, ReadOnlySpan<int> tokens)
    {
        sequence.ThrowIfDisposed();
        if (tokens.IsEmpty)
            throw new ArgumentException("expected at least one token, got none", nameof(tokens));
        if (tokens.Length > sequence.Capacity - sequence.Length)
            throw new ArgumentException(
                $"expected at most {sequence.Capacity - sequence.Length} more tokens in a sequence of {sequence.Capacity}, got {tokens.Length}",
                nameof(tokens)
            );
        foreach (int token in tokens)
            if ((uint)token >= (uint)model.VocabularySize)
                throw new ArgumentOutOfRangeException(nameof(tokens), token, $"expected tokens below {model.VocabularySize}");
    }

    /// <summary>Different sequences of this model, with tokens that <see cref="CheckTokens"/> lets pass.</summary>
    /// <exception cref="ArgumentException">Something else.</exception>
    public static void CheckBatch(this ITokenModel model, ReadOnlySpan<SequenceStep> steps)
    {
        int marked = 0;
        try
        {
            for (; marked < steps.Length; marked++)
            {
                if (steps[marked].Sequence is not IEngineSequence sequence || sequence.Owner != model)
                    throw new ArgumentException("expected sequences of this model", nameof(steps));
                if (sequence.InBatch)
                    throw new ArgumentException("expected each sequence once, got one twice", nameof(steps));
                model.CheckTokens(sequence, steps[marked].Tokens.Span);
                sequence.InBatch = true;
            }
        }
        finally
        {
            for (int i = 0; i < marked; i++)
                ((IEngineSequence)steps[i].Sequence).InBatch = false;
        }
    }
}
