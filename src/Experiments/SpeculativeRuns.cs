using System.Diagnostics;
using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Experiments;

/// <summary>What the ways to decode with one chain did on the same prompts, timed in turn.</summary>
/// <param name="Ways">Plain decoding, the fixed lengths, the adaptive one, one that starts each round from nothing, a fixed
/// length once more (<see cref="SpeculativeSetup.Twin"/>).</param>
/// <param name="Metrics">Per way, summed over the prompts of the last round.</param>
/// <param name="Seconds">Per way, prompt and round.</param>
/// <param name="Different">Per way: tokens that are not the target's own, over all rounds. Has to be 0.</param>
/// <param name="AnswerLengths">Tokens of each answer, end token included.</param>
internal sealed record SpeculativeRuns(
    IReadOnlyList<SpeculativeSetup> Ways,
    SpeculationMetrics[] Metrics,
    double[][][] Seconds,
    long[] Different,
    int[] AnswerLengths
)
{
    /// <summary>Index of the adaptive way.</summary>
    public int Adaptive => Ways.Count - 3;

    /// <summary>Index of the adaptive way whose controllers are new in each round.</summary>
    public int Fresh => Ways.Count - 2;

    /// <summary>Index of the second decoder of a fixed length.</summary>
    public int Twin => Ways.Count - 1;

    /// <summary>
    /// Decodes every prompt in all ways of a chain directly one after another, chain by chain and round by round. So a
    /// prompt's times are milliseconds apart and the machine's slow moods strike all ways alike. The order of the ways is
    /// drawn anew for each prompt and round: what a way finds in the caches is left by any other way equally often. Each
    /// round has new decoders, because where their memory comes to lie makes a percent, and all rounds would owe it to the
    /// same way. Controllers learn on throughout, as in a server.
    /// </summary>
    /// <param name="rounds">Rounds that are timed; two more come first, in which the runtime compiles and controllers learn.</param>
    public static SpeculativeRuns[] Measure(
        IReadOnlyList<SpeculativeSetup[]> chains,
        int[][] prompts,
        int rounds,
        int seed,
        Action<double> progress,
        CancellationToken cancel
    )
    {
        const int warmUp = 2;
        using SpeculativeDecoder plain = chains[0][0].NewDecoder();
        Generation[] own = [.. prompts.Select(prompt => plain.Decode(prompt).Generation)];
        int[] lengths = [.. own.Select(answer => answer.Features.Length)];
        SpeculativeRuns[] runs =
        [
            .. chains.Select(ways => new SpeculativeRuns(
                ways,
                new SpeculationMetrics[ways.Length],
                [.. ways.Select(_ => prompts.Select(_ => new double[rounds]).ToArray())],
                new long[ways.Length],
                lengths
            )),
        ];
        var random = new Random(seed);
        int steps = 0;
        for (int round = -warmUp; round < rounds; round++)
            foreach (SpeculativeRuns chain in runs)
            {
                progress(steps++ / (double)((rounds + warmUp) * runs.Length));
                chain.Round(round, prompts, own, random, last: round == rounds - 1, cancel);
            }
        return runs;
    }

    private void Round(int round, int[][] prompts, Generation[] own, Random random, bool last, CancellationToken cancel)
    {
        int[] order = [.. Enumerable.Range(0, Ways.Count)];
        random.Shuffle(order);
        var decoders = new SpeculativeDecoder[Ways.Count];
        var metrics = new SpeculationMetrics[Ways.Count][];
        try
        {
            foreach (int w in order)
            {
                (decoders[w], metrics[w]) = (Ways[w].NewDecoder(), new SpeculationMetrics[prompts.Length]);
                decoders[w].Decode(prompts[0]); // takes its memory
            }
            for (int i = 0; i < prompts.Length; i++)
            {
                cancel.ThrowIfCancellationRequested();
                random.Shuffle(order);
                foreach (int w in order)
                {
                    long start = Stopwatch.GetTimestamp();
                    SpeculativeGeneration answer = decoders[w].Decode(prompts[i]);
                    if (round >= 0)
                        Seconds[w][i][round] = Stopwatch.GetElapsedTime(start).TotalSeconds;
                    Different[w] += Differences(answer.Generation.Tokens, own[i].Tokens);
                    metrics[w][i] = answer.Metrics;
                }
            }
        }
        finally
        {
            foreach (SpeculativeDecoder? decoder in decoders)
                decoder?.Dispose();
        }
        if (!last)
            return;
        for (int w = 0; w < Ways.Count; w++)
            Metrics[w] = SpeculationMetrics.Sum(metrics[w]);
    }

    /// <summary>Positions at which two answers differ; those that only one has count.</summary>
    public static int Differences(int[] a, int[] b)
    {
        int differences = Math.Abs(a.Length - b.Length);
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
            if (a[i] != b[i])
                differences++;
        return differences;
    }
}
