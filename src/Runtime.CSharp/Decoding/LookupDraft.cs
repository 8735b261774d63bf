namespace OptimalStopping.Runtime.Decoding;

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
