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

/// <summary>
/// Prompt lookup (Saxena 2023): finds the latest earlier place where the last tokens of the context stood, and proposes
/// what followed there. Costs no forward.
/// </summary>
/// <param name="longest">Most tokens that are matched; longer matches are tried first.</param>
/// <param name="shortest">Fewest tokens that count as a match.</param>
public sealed class LookupDraft(int longest = 8, int shortest = 2) : IDraftSource
{
    public void Start(in DraftRequest request) { }

    public void Draft(ReadOnlySpan<int> context, DraftBlock block)
    {
        for (int length = Math.Min(longest, context.Length - 1); length >= shortest; length--)
        {
            int place = context[..^1].LastIndexOf(context[^length..]);
            if (place < 0)
                continue;
            int bin = Math.Min(length, DraftBlock.Bins - 1);
            for (int next = place + length; next < context.Length && block.GoesOn; next++)
                if (!block.Offer(context[next], bin))
                    return;
            return;
        }
    }

    public void Dispose() { }
}

/// <summary>
/// Drafts from an answer that an earlier stage has finished, its end token included. As long as the new answer has
/// followed it, the next tokens are proposed; after a difference, the place in the old answer that the last tokens of
/// the new one match, nearest to where the difference was.
/// </summary>
public sealed class AnswerDraft : IDraftSource
{
    private const int Match = 3;

    // Bins below this one are for places found again after a difference, by how long the new run is.
    private const int Aligned = 6;

    private ReadOnlyMemory<int> _answer;
    private int _prompt,
        _shift;

    public void Start(in DraftRequest request)
    {
        (_answer, _prompt, _shift) = (request.Answer, request.PromptLength, 0);
    }

    public void Draft(ReadOnlySpan<int> context, DraftBlock block)
    {
        ReadOnlySpan<int> answer = _answer.Span,
            written = context[_prompt..];
        int run = written.Length == 0 ? 0 : Run(answer, written, written.Length + _shift);
        if (written.Length > 0 && run < Math.Min(Match, written.Length) && (run = Realign(answer, written)) == 0)
            return;
        bool whole = _shift == 0 && run == written.Length;
        for (int next = written.Length + _shift; next < answer.Length && block.GoesOn; next++, run++)
        {
            int bin = whole ? Aligned + Math.Min(run / 4, DraftBlock.Bins - 1 - Aligned) : Math.Min(run / 2, Aligned - 1);
            if (!block.Offer(answer[next], bin))
                return;
        }
    }

    public void Dispose() { }

    /// <summary>How many of the last tokens written stand in the answer just before a place.</summary>
    private static int Run(ReadOnlySpan<int> answer, ReadOnlySpan<int> written, int place)
    {
        int run = 0;
        while (run < written.Length && place - run > 0 && place - run <= answer.Length && answer[place - 1 - run] == written[^(run + 1)])
            run++;
        return run;
    }

    private int Realign(ReadOnlySpan<int> answer, ReadOnlySpan<int> written)
    {
        int expected = written.Length + _shift;
        for (int distance = 0; distance <= answer.Length + written.Length; distance++)
            foreach (int place in (ReadOnlySpan<int>)[expected + distance, expected - distance])
            {
                if (place <= 0 || place >= answer.Length)
                    continue;
                int run = Run(answer, written, place);
                if (run < Math.Min(Match, written.Length))
                    continue;
                _shift = place - written.Length;
                return run;
            }
        return 0;
    }
}
