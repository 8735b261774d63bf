using System.Diagnostics;
using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>What setups for one target did on the same prompts, timed in turn.</summary>
/// <param name="Metrics">Per setup, summed over the prompts of the last round.</param>
/// <param name="Seconds">Per setup and round.</param>
/// <param name="Different">Per setup: tokens that are not the target's own, over all rounds. Has to be 0.</param>
/// <param name="AnswerLengths">Tokens of each answer, end token included.</param>
internal sealed record SpeculativeRuns(SpeculationMetrics[] Metrics, double[][] Seconds, long[] Different, int[] AnswerLengths)
{
    /// <summary>Runs every setup (the first is plain decoding) on every prompt, in turn within each round.</summary>
    /// <param name="rounds">Rounds that are timed; two more come first, in which the runtime compiles and controllers learn.</param>
    public static SpeculativeRuns Measure(IReadOnlyList<SpeculativeSetup> setups, int[][] prompts, int rounds, Action<double> progress, CancellationToken cancel)
    {
        const int warmUp = 2;
        Generation[] own = [.. prompts.Select(prompt => setups[0].Decoder.Decode(prompt).Generation)];
        var metrics = new SpeculationMetrics[setups.Count];
        var seconds = new double[setups.Count][];
        var different = new long[setups.Count];
        for (int s = 0; s < setups.Count; s++) seconds[s] = new double[rounds];
        var answers = new SpeculativeGeneration[prompts.Length];
        for (int round = -warmUp; round < rounds; round++)
            for (int s = 0; s < setups.Count; s++)
            {
                cancel.ThrowIfCancellationRequested();
                progress(((round + warmUp) * setups.Count + s) / (double)((rounds + warmUp) * setups.Count));
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < prompts.Length; i++) answers[i] = setups[s].Decoder.Decode(prompts[i]);
                if (round >= 0) seconds[s][round] = Stopwatch.GetElapsedTime(start).TotalSeconds;
                for (int i = 0; i < prompts.Length; i++) different[s] += Differences(answers[i].Generation.Tokens, own[i].Tokens);
                if (round == rounds - 1) metrics[s] = SpeculationMetrics.Sum(answers.Select(answer => answer.Metrics));
            }
        return new SpeculativeRuns(metrics, seconds, different, [.. own.Select(answer => answer.Signals.Length)]);
    }

    /// <summary>Positions at which two answers differ; those that only one has count.</summary>
    public static int Differences(int[] a, int[] b)
    {
        int differences = Math.Abs(a.Length - b.Length);
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
            if (a[i] != b[i]) differences++;
        return differences;
    }
}
