using System.Diagnostics;
using System.Numerics.Tensors;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>What a drafter and the model that verifies it cost when they run in turn: the table that draft lengths are planned with.</summary>
/// <param name="Draft">Seconds per drafted token.</param>
/// <param name="Verify">Entry g: seconds of the forward that verifies g drafted tokens; never less than for fewer tokens.</param>
public sealed record ForwardCosts(double Draft, double[] Verify)
{
    /// <summary>
    /// Measures both as they run in one chain: g tokens drafted one by one with the probability of each, then one forward
    /// of g + 1 tokens, behind <paramref name="context"/> others, for g = 0 .. <paramref name="longest"/> in turn. Timed
    /// alone, each model would find its weights in a cache that the other one empties. Medians over
    /// <paramref name="rounds"/>, so that other work on the machine counts little.
    /// </summary>
    public static ForwardCosts Measure(ITokenModel drafter, ITokenModel verifier, int longest, int context = 40, int rounds = 31)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(longest, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 1);
        int vocabulary = verifier.VocabularySize;
        int[] tokens = [.. Enumerable.Range(0, Math.Max(context, longest + 1)).Select(i => (7 * i + 1) % vocabulary)];
        float[] logits = new float[(longest + 1) * vocabulary], exponentials = new float[vocabulary];
        using ITokenSequence draft = drafter.NewSequence(context + longest + 1), sequence = verifier.NewSequence(context + longest + 1);
        draft.Forward(tokens.AsSpan(0, context), logits);
        sequence.Forward(tokens.AsSpan(0, context), logits);
        var drafts = new List<double>();
        var verifications = new double[longest + 1][];
        for (int g = 0; g <= longest; g++) verifications[g] = new double[rounds];
        for (int round = 0; round < rounds; round++)
            for (int g = 0; g <= longest; g++)
            {
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < g; i++)
                {
                    draft.Forward(tokens.AsSpan(i, 1), logits);
                    TensorPrimitives.SoftMax(logits.AsSpan(0, vocabulary), exponentials);
                }
                long between = Stopwatch.GetTimestamp();
                sequence.ForwardAll(tokens.AsSpan(0, g + 1), logits);
                verifications[g][round] = Stopwatch.GetElapsedTime(between).TotalSeconds;
                if (g > 0) drafts.Add(Stopwatch.GetElapsedTime(start, between).TotalSeconds / g);
                draft.Truncate(context);
                sequence.Truncate(context);
            }
        double[] verify = [.. verifications.Select(Median)];
        for (int g = 1; g <= longest; g++) verify[g] = Math.Max(verify[g], verify[g - 1]);
        return new ForwardCosts(Median([.. drafts]), verify);
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
