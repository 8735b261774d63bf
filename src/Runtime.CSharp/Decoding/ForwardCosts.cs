using System.Diagnostics;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>Measures what a forward costs by its number of tokens: the table that draft lengths are planned with.</summary>
public static class ForwardCosts
{
    /// <summary>
    /// Entry g: seconds of one forward of g + 1 tokens behind <paramref name="context"/> others, which is what verifying g
    /// drafted tokens takes. The least of several rounds, so that other work on the machine does not count, and never
    /// less than for fewer tokens.
    /// </summary>
    public static double[] Measure(ITokenModel model, int longest, int context = 40, int rounds = 40)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(longest, 1);
        var seconds = new double[longest + 1];
        Array.Fill(seconds, double.PositiveInfinity);
        var tokens = new int[Math.Max(context, longest + 1)];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = (7 * i + 1) % model.VocabularySize;
        var logits = new float[(longest + 1) * model.VocabularySize];
        using ITokenSequence sequence = model.NewSequence(context + longest + 1);
        sequence.Forward(tokens.AsSpan(0, context), logits);
        for (int round = 0; round < rounds; round++)
            for (int g = 0; g <= longest; g++)
            {
                long start = Stopwatch.GetTimestamp();
                sequence.ForwardAll(tokens.AsSpan(0, g + 1), logits);
                seconds[g] = Math.Min(seconds[g], Stopwatch.GetElapsedTime(start).TotalSeconds);
                sequence.Truncate(context);
            }
        for (int g = 1; g <= longest; g++) seconds[g] = Math.Max(seconds[g], seconds[g - 1]);
        return seconds;
    }
}
