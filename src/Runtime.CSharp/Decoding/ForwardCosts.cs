using System.Diagnostics;
using System.Numerics.Tensors;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>What a drafter and the model that verifies it cost when they run in turn: the table that draft lengths are planned with.</summary>
/// <param name="Begin">Seconds of beginning a draft, on top of its tokens: after a draft that was accepted whole, the drafter
/// has its last token and the verifier's own one to read.</param>
/// <param name="Draft">Seconds per drafted token.</param>
/// <param name="Verify">Entry g: seconds of the forward that verifies g drafted tokens; never less than for fewer tokens.</param>
/// <param name="Alone">Seconds of the verifier's forward of one token where it runs by itself, as it does where nothing is
/// drafted: no other model takes its weights out of the caches. At most the first entry of <paramref name="Verify"/>.</param>
public sealed record ForwardCosts(double Begin, double Draft, double[] Verify, double Alone)
{
    /// <summary>The same verifier behind a source that runs no model and costs nothing, such as <see cref="LookupDraft"/>.</summary>
    public ForwardCosts WithoutDrafter => new(0, 0, [.. Verify.Select(cost => cost - Verify[0] + Alone)], Alone);

    /// <summary>
    /// Measures both as they run in one chain: g tokens drafted one by one with the probability of each, where the first
    /// forward takes two tokens; then one forward of g + 1 tokens, behind <paramref name="context"/> others, for
    /// g = 0 .. <paramref name="longest"/> in turn; and between, the verifier by itself. Timed only so, each model would find its weights in a cache that the other
    /// one empties. Lower quartiles over <paramref name="rounds"/>, so that other work on the machine counts little.
    /// </summary>
    public static ForwardCosts Measure(ITokenModel drafter, ITokenModel verifier, int longest, int context = 40, int rounds = 151)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(longest, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 1);
        int vocabulary = verifier.VocabularySize;
        int[] tokens = [.. Enumerable.Range(0, Math.Max(context, longest + 1)).Select(i => (7 * i + 1) % vocabulary)];
        float[] logits = new float[(longest + 1) * vocabulary],
            exponentials = new float[vocabulary];
        using ITokenSequence drafting = drafter.NewSequence(context + longest + 1),
            sequence = verifier.NewSequence(context + longest + 1);
        drafting.Forward(tokens.AsSpan(0, context), logits);
        sequence.Forward(tokens.AsSpan(0, context), logits);
        var begins = new List<double>();
        var drafts = new List<double>();
        var alone = new List<double>();
        var verifications = new double[longest + 1][];
        for (int g = 0; g <= longest; g++)
            verifications[g] = new double[rounds];
        long began = Stopwatch.GetTimestamp(); // until the compiler has replaced its first, quick code
        do Round(-1);
        while (Stopwatch.GetElapsedTime(began).TotalSeconds < 0.5);
        for (int round = 0; round < rounds; round++)
            Round(round);
        double[] verify = [.. verifications.Select(Quartile)];
        for (int g = 1; g <= longest; g++)
            verify[g] = Math.Max(verify[g], verify[g - 1]);
        double draft = drafts.Count > 0 ? Quartile(drafts) : Quartile(begins);
        return new ForwardCosts(Math.Max(0, Quartile(begins) - draft), draft, verify, Math.Min(verify[0], Quartile(alone)));

        void Round(int round)
        {
            for (int g = 0; g <= longest; g++)
            {
                for (int i = 0; i < g; i++)
                {
                    long start = Stopwatch.GetTimestamp();
                    drafting.Forward(tokens.AsSpan(i, i == 0 ? 2 : 1), logits);
                    TensorPrimitives.SoftMax(logits.AsSpan(0, vocabulary), exponentials);
                    if (round >= 0)
                        (i == 0 ? begins : drafts).Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
                }
                double seconds = Verify(g);
                if (round >= 0)
                    verifications[g][round] = seconds;
                drafting.Truncate(context);
            }
            for (int i = 0; i < 8; i++)
            {
                double seconds = Verify(0);
                if (round >= 0 && i >= 4)
                    alone.Add(seconds); // by then the weights are back
            }
        }

        double Verify(int drafted)
        {
            long start = Stopwatch.GetTimestamp();
            sequence.ForwardAll(tokens.AsSpan(0, drafted + 1), logits);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            sequence.Truncate(context);
            return seconds;
        }
    }

    private static double Quartile(IReadOnlyList<double> values) => values.Order().ElementAt(values.Count / 4);
}
