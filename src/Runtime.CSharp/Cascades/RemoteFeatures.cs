using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Signals of confidence from what the protocol tells of each token: its log-probability and those of the likeliest few.
/// Sum, mean, minimum and length are exact. Margin is the lead over the best other token of the list. Entropy takes
/// what the list leaves of the probability as one more token, which is a lower bound.
/// </summary>
internal static class RemoteFeatures
{
    /// <summary>Signals of an answer.</summary>
    /// <param name="tokens">At least one, each with log-probability and alternatives.</param>
    public static ConfidenceFeatures Of(IReadOnlyList<StageToken> tokens)
    {
        double sum = 0,
            least = 0,
            margin = double.PositiveInfinity,
            entropy = 0;
        foreach (StageToken token in tokens)
        {
            sum += token.LogProbability;
            least = Math.Min(least, token.LogProbability);
            margin = Math.Min(margin, Margin(token));
            entropy += Entropy(token);
        }
        return new ConfidenceFeatures(sum, sum / tokens.Count, least, margin, entropy / tokens.Count, tokens.Count);
    }

    // Two tokens may have the same text (bytes of one character), so only the first match is the token itself.
    private static double Margin(StageToken token)
    {
        bool seen = false;
        double best = double.NegativeInfinity;
        foreach (StageToken other in token.Alternatives)
        {
            if (!seen && other.Text == token.Text)
            {
                seen = true;
                continue;
            }
            best = Math.Max(best, other.LogProbability);
        }
        // Without another token in the list, what is left of the probability bounds it.
        if (double.IsNegativeInfinity(best))
            best = Math.Log(Math.Max(1e-12, 1 - Math.Exp(token.LogProbability)));
        return Math.Max(0, token.LogProbability - best);
    }

    private static double Entropy(StageToken token)
    {
        double total = 0,
            entropy = 0;
        foreach (StageToken other in token.Alternatives)
        {
            double p = Math.Exp(other.LogProbability);
            total += p;
            if (p > 0)
                entropy -= p * other.LogProbability;
        }
        double rest = 1 - total;
        return rest > 1e-12 ? entropy - rest * Math.Log(rest) : entropy;
    }
}
