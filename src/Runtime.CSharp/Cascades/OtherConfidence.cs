using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Confidence features of answers whose tokens have no log-probabilities: from samples, from a verdict, from agreement
/// with other stages, from the text. Each gives the features of an answer with the probability that it estimates; what that
/// is worth, calibration learns from graded records of the same stage.
/// </summary>
internal static class OtherConfidence
{
    // Words by which models say that they do not know (in lower case).
    private static readonly string[] Hedges =
    [
        "i'm not sure",
        "i am not sure",
        "not certain",
        "i don't know",
        "i do not know",
        "it depends",
        "cannot determine",
        "can't determine",
        "unclear",
        "might be",
        "may be",
        "possibly",
        "perhaps",
        "i think",
        "approximately",
        "sorry",
    ];

    /// <summary>From the share of sampled answers that say the same, by the rule of succession.</summary>
    public static ConfidenceFeatures FromSamples(string answer, IReadOnlyList<string> samples, int length)
    {
        int same = samples.Count(sample => sample == answer),
            other = samples
                .Where(sample => sample != answer)
                .GroupBy(sample => sample)
                .Select(group => group.Count())
                .DefaultIfEmpty(0)
                .Max();
        double total = samples.Count + 2.0,
            entropy = 0;
        foreach (int count in samples.Append(answer).GroupBy(sample => sample).Select(group => group.Count()))
        {
            double p = count / (samples.Count + 1.0);
            entropy -= p * Math.Log(p);
        }
        return ReportedFeatures.FromProbability((same + 1) / total, (other + 1) / total, entropy, length);
    }

    /// <summary>From how many of the stages that answered before said the same.</summary>
    public static ConfidenceFeatures FromAgreement(int agreeing, int asked, int length)
    {
        double p = (agreeing + 1.0) / (asked + 2.0);
        return ReportedFeatures.FromProbability(p, 1 - p, 0, length);
    }

    /// <summary>From the words of doubt in the text and its length.</summary>
    public static ConfidenceFeatures FromText(string text, int length)
    {
        string lower = text.ToLowerInvariant();
        int doubts = Hedges.Count(hedge => lower.Contains(hedge, StringComparison.Ordinal));
        double p = 0.9 / (1 + doubts);
        return ReportedFeatures.FromProbability(p, 1 - p, Math.Log(1 + text.Length) / 20, length);
    }

    /// <summary>What a stage is asked about its own answer.</summary>
    public static string Verdict(string question, string answer) =>
        $"Question:\n{question}\n\nProposed answer:\n{answer}\n\nIs the proposed answer correct? Answer with one word, Yes or No.";

    /// <summary>The probability of "yes" in a verdict: from its first token's alternatives where the server lists them, else from the word.</summary>
    public static double Yes(string verdict, IReadOnlyList<ReportedToken> tokens)
    {
        const double sure = 0.95;
        double yes = 0,
            no = 0;
        if (tokens.Count > 0)
            foreach (ReportedToken token in tokens[0].Alternatives)
                switch (token.Text.Trim().ToLowerInvariant())
                {
                    case "yes":
                        yes += Math.Exp(token.LogProbability);
                        break;
                    case "no":
                        no += Math.Exp(token.LogProbability);
                        break;
                }
        if (yes + no > 0.01)
            return Math.Clamp(yes / (yes + no), 1e-6, 1 - 1e-6);
        return verdict.TrimStart().StartsWith("yes", StringComparison.OrdinalIgnoreCase) ? sure
            : verdict.TrimStart().StartsWith("no", StringComparison.OrdinalIgnoreCase) ? 1 - sure
            : 0.5;
    }
}
