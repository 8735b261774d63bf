namespace OptimalStopping.Runtime.Models;

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
