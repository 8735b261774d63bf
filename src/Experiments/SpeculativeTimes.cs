using MathNet.Numerics.Statistics;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

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
