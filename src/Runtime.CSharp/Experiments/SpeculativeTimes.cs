using MathNet.Numerics.Statistics;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>The adaptive draft length against fixed ones, as ratios of time: above 1 where adaptive is faster.</summary>
/// <param name="Best">Fastest fixed way on the even rounds, and on the odd ones.</param>
/// <param name="AgainstBest">The fixed way that is fastest on one half of the rounds, timed on the other half as adaptive
/// is; both ways round and averaged. Chosen and timed on the same rounds, the fastest of several equals would owe a part
/// of its lead to luck.</param>
/// <param name="Naive">The same, chosen and timed on all rounds.</param>
/// <param name="Worst">Slowest fixed way, on all rounds.</param>
/// <param name="AgainstWorst">Its time over that of adaptive.</param>
internal sealed record AdaptiveComparison(int[] Best, Interval AgainstBest, double Naive, int Worst, Interval AgainstWorst);

/// <summary>
/// Compares ways to decode by the sum over prompts of each prompt's median time over rounds: a median, because other work
/// on the machine adds to few of them and never takes away. Intervals are BCa bootstrap intervals of level 0.95 over the
/// prompts, and repeat the choice of the best.
/// </summary>
/// <param name="seconds">Per way, prompt and round; at least two prompts. Two rounds at least where ways are chosen.</param>
internal sealed class SpeculativeTimes(double[][][] seconds, int resamples, ulong seed)
{
    private const double Level = 0.95;

    private readonly double[][] _all = Medians(seconds, _ => true), _even = Medians(seconds, r => r % 2 == 0), _odd = Medians(seconds, r => r % 2 == 1);

    /// <summary>Seconds that a way takes for all prompts.</summary>
    public double Seconds(int way) => _all[way].Sum();

    /// <summary>Time of one way over that of another.</summary>
    public Interval Ratio(int way, int other) => Bootstrapped(prompts => Sum(_all[way], prompts) / Sum(_all[other], prompts));

    /// <summary>Compares one way with several others.</summary>
    public AdaptiveComparison Compare(int adaptive, int[] others)
    {
        double[] everything = [.. Enumerable.Range(0, _all[0].Length)];
        int worst = others.MaxBy(way => Seconds(way));
        return new AdaptiveComparison([Fastest(_even, others, everything), Fastest(_odd, others, everything)],
            Bootstrapped(prompts => (Chosen(_even, _odd, prompts) + Chosen(_odd, _even, prompts)) / 2),
            Chosen(_all, _all, everything), worst, Ratio(worst, adaptive));

        double Chosen(double[][] search, double[][] timed, double[] prompts) =>
            Sum(timed[Fastest(search, others, prompts)], prompts) / Sum(timed[adaptive], prompts);
    }

    private static int Fastest(double[][] medians, int[] ways, double[] prompts) => ways.MinBy(way => Sum(medians[way], prompts));

    // The bootstrap draws numbers; here they are the prompts' own.
    private Interval Bootstrapped(Func<double[], double> statistic) =>
        Bootstrap.bca([.. Enumerable.Range(0, _all[0].Length)], statistic, resamples, Level, seed);

    private static double Sum(double[] values, double[] prompts)
    {
        double sum = 0;
        foreach (double prompt in prompts) sum += values[(int)prompt];
        return sum;
    }

    private static double[][] Medians(double[][][] seconds, Func<int, bool> round) =>
        [.. seconds.Select(way => way.Select(times => times.Where((_, r) => round(r)).Median()).ToArray())];
}
