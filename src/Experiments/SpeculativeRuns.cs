using System.Diagnostics;
using MathNet.Numerics.Statistics;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;

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
                decoders[w].Decode(prompts[0], cancel: cancel); // takes its memory
            }
            for (int i = 0; i < prompts.Length; i++)
            {
                cancel.ThrowIfCancellationRequested();
                random.Shuffle(order);
                foreach (int w in order)
                {
                    long start = Stopwatch.GetTimestamp();
                    SpeculativeGeneration answer = decoders[w].Decode(prompts[i], cancel: cancel);
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

/// <summary>The adaptive draft length against fixed ones, as ratios of time: above 1 where adaptive is faster.</summary>
/// <param name="Best">Fastest fixed way on the even rounds, and on the odd ones.</param>
/// <param name="AgainstBest">The fixed way that is fastest on one half of the rounds, timed on the other half as adaptive
/// is; both ways round and averaged. Chosen and timed on the same rounds, the fastest of several equals would owe a part
/// of its lead to luck.</param>
/// <param name="Naive">The same, chosen and timed on all rounds.</param>
/// <param name="Total">As <paramref name="AgainstBest"/>, but timed by means in place of medians: what adaptive spends
/// seldom, on planning and on looking again, counts, and so does what else the machine did.</param>
/// <param name="Worst">Slowest fixed way on the even rounds, and on the odd ones.</param>
/// <param name="AgainstWorst">As <paramref name="AgainstBest"/>, for the slowest.</param>
internal sealed record AdaptiveComparison(
    int[] Best,
    Interval AgainstBest,
    double Naive,
    Interval Total,
    int[] Worst,
    Interval AgainstWorst
);

/// <summary>
/// Compares ways to decode by the sum over prompts of each prompt's median time over rounds: a median, because other work
/// on the machine adds to few of them and never takes away. Intervals are BCa bootstrap intervals of level 0.95 over the
/// prompts, and repeat the choice of the best.
/// </summary>
/// <param name="seconds">Per way, prompt and round; at least two prompts. Two rounds at least where ways are chosen.</param>
internal sealed class SpeculativeTimes(double[][][] seconds, int resamples, ulong seed)
{
    private const double Level = 0.95;

    private readonly double[][] _all = Of(seconds, _ => true, Statistics.Median);
    private readonly double[][][] _halves = Halves(seconds, Statistics.Median),
        _means = Halves(seconds, Statistics.Mean);

    /// <summary>Seconds that a way takes for all prompts.</summary>
    public double Seconds(int way) => _all[way].Sum();

    /// <summary>Time of one way over that of another.</summary>
    public Interval Ratio(int way, int other) => Bootstrapped(prompts => Sum(_all[way], prompts) / Sum(_all[other], prompts));

    /// <summary>Compares one way with several others.</summary>
    public AdaptiveComparison Compare(int adaptive, int[] others)
    {
        double[] everything = [.. Enumerable.Range(0, _all[0].Length)];
        return new AdaptiveComparison(
            [.. _halves.Select(half => Fastest(others, half, everything))],
            HeldOut(adaptive, (times, prompts) => Fastest(others, times, prompts), _halves),
            Timed(_all, Fastest(others, _all, everything), adaptive, everything),
            Total(adaptive, others),
            [.. _halves.Select(half => Slowest(half, everything))],
            HeldOut(adaptive, Slowest, _halves)
        );

        int Slowest(double[][] times, double[] prompts) => others.MaxBy(way => Sum(times[way], prompts));
    }

    /// <summary>The <see cref="AdaptiveComparison.Total"/> alone.</summary>
    public Interval Total(int adaptive, int[] others) => HeldOut(adaptive, (times, prompts) => Fastest(others, times, prompts), _means);

    private static int Fastest(int[] ways, double[][] times, double[] prompts) => ways.MinBy(way => Sum(times[way], prompts));

    // The way chosen by medians on one half of the rounds, timed on the other.
    private Interval HeldOut(int adaptive, Func<double[][], double[], int> choice, double[][][] timed) =>
        Bootstrapped(prompts =>
            (
                Timed(timed[1], choice(_halves[0], prompts), adaptive, prompts)
                + Timed(timed[0], choice(_halves[1], prompts), adaptive, prompts)
            ) / 2
        );

    private static double Timed(double[][] times, int way, int adaptive, double[] prompts) =>
        Sum(times[way], prompts) / Sum(times[adaptive], prompts);

    // The bootstrap draws numbers; here they are the prompts' own.
    private Interval Bootstrapped(Func<double[], double> statistic) =>
        Bootstrap.Bca([.. Enumerable.Range(0, _all[0].Length)], statistic, resamples, Level, seed);

    private static double Sum(double[] values, double[] prompts)
    {
        double sum = 0;
        foreach (double prompt in prompts)
            sum += values[(int)prompt];
        return sum;
    }

    // Per way and prompt, one figure of its rounds.
    private static double[][] Of(double[][][] seconds, Func<int, bool> round, Func<IEnumerable<double>, double> figure) =>
        [.. seconds.Select(way => way.Select(times => figure(times.Where((_, r) => round(r)))).ToArray())];

    private static double[][][] Halves(double[][][] seconds, Func<IEnumerable<double>, double> figure) =>
        [Of(seconds, r => r % 2 == 0, figure), Of(seconds, r => r % 2 == 1, figure)];
}
