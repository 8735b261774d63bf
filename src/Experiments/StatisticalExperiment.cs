using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>
/// The default policy against one baseline at one price of cost, on the same test queries: mean utilities and their
/// difference with its 95 % interval, p-values, effect sizes, and means of quality and cost. Adjusted p-values are NaN where
/// the baseline is not in the family of tests; effect sizes are NaN where a difference does not spread. The paired delta is
/// P(d &gt; 0) - P(d &lt; 0) on the same query, Cliff's delta the same over all pairs of queries. PFloor is the least p-value that the
/// permutation test's resamples can give, 0 where it is exact: a p-value that equals it is an upper bound.
/// </summary>
[RunTable("table1.csv")]
public sealed record PolicyComparison(
    string Baseline,
    [Column(Optional = true)] double Lambda,
    int Pairs,
    double UtilityDefault,
    double UtilityBaseline,
    double Difference,
    [Column(Optional = true)] double CiLow,
    [Column(Optional = true)] double CiHigh,
    [Column(Unit = true)] double PPermutation,
    [Column(Unit = true, Optional = true)] double PHolm,
    [Column(Unit = true, Optional = true)] double PBh,
    [Column(Unit = true, Optional = true)] double PWilcoxon,
    [Column(Unit = true, Optional = true)] double PT,
    [Column("d_z", Optional = true)] double Dz,
    [Column("g_z", Optional = true)] double Gz,
    [Column(Optional = true)] double PFloor,
    double PairedDelta,
    double PairedDeltaLow,
    double PairedDeltaHigh,
    double CliffDelta,
    double CliffDeltaLow,
    double CliffDeltaHigh,
    [Column("d_z_low", Optional = true)] double DzLow,
    [Column("d_z_high", Optional = true)] double DzHigh,
    [Column(Unit = true)] double QualityDefault,
    [Column(Unit = true)] double QualityBaseline,
    double CostDefault,
    double CostBaseline
)
{
    /// <summary>The level below which a Holm-adjusted p-value is called significant.</summary>
    public const double Level = 0.05;

    /// <summary>
    /// Whether the row competes. The oracle is an upper bound, and a jump policy that the default equals (cross-validation
    /// dropped recall) is no rival: neither is in the family of tests.
    /// </summary>
    public bool Tested => !double.IsNaN(PHolm);

    /// <summary>Whether no resample was as extreme as the data, so that the p-values are bounds from above ("at most").</summary>
    public bool PIsBound => PFloor > 0 && PPermutation <= PFloor;

    /// <summary>+1 where the default is significantly better after Holm's correction, -1 where it is significantly worse, 0 otherwise.</summary>
    public int Verdict => PHolm < Level ? Math.Sign(Difference) : 0;
}

/// <summary>
/// Table 1: the default policy against every baseline at one price of cost, on the same test queries. Each method takes the
/// operating point that is best for this price on the calibration part. The family of tests is Holm-corrected; the
/// oracle is a row of its own, an upper bound and not a competitor.
/// </summary>
public static class StatisticalExperiment
{
    // Differences that spread no more than this are equal: 1 - lambda c and 0 - lambda c lose different digits.
    private const double RoundOff = 1e-12;

    /// <summary>Writes table1.csv.</summary>
    public static void Run(PolicyBench bench, ExperimentOptions options, string folder)
    {
        // The price, like the operating points, comes from the calibration part.
        double lambda = options.TablePrice / bench.Largest.Calibration.Cost.Average();
        BenchPoint main = bench[PolicyRegistry.Default].BestFor(lambda);
        double[] utility = Utility(main, lambda);
        BenchFamily[] baselines = [.. bench.Families.Where(family => family.Name != PolicyRegistry.Default)];
        BenchPoint[] points = [.. baselines.Select(family => family.BestFor(lambda))];
        var comparisons = new Comparison[baselines.Length];
        var effects = new Interval[baselines.Length];
        var deltas = new (Interval Paired, Interval Cliff)[baselines.Length];
        var equal = new bool[baselines.Length];
        Parallel.For(0, baselines.Length, i =>
        {
            double[] other = Utility(points[i], lambda);
            comparisons[i] = Comparison.Compute(utility, other, options.Resamples, 0.95, (ulong)options.Seed);
            double[] differences = [.. utility.Zip(other, (a, b) => a - b)];
            equal[i] = differences.Max() - differences.Min() <= RoundOff;
            effects[i] = equal[i] ? WithoutSpread(differences[0]) : Standardised(differences, options);
            deltas[i] = (Dominance.Paired(utility, other, 0.95), Dominance.Cliff(utility, other, 0.95));
        });
        // Without recall the default is the jump policy itself, and nothing is to be tested between them.
        bool[] competes = [.. baselines.Select(family => family.Name != PolicyRegistry.Oracle && family.Name != bench.DefaultFamily)];
        FamilyMember[] family = Comparison.Family([.. comparisons.Where((_, i) => competes[i])]);
        int member = 0;
        ResultTable.Write(
            folder,
            baselines
                .Select(
                    (baseline, i) =>
                    {
                        Comparison c = comparisons[i];
                        FamilyMember? adjusted = competes[i] ? family[member++] : null;
                        return new PolicyComparison(
                            baseline.Name,
                            lambda,
                            c.Pairs,
                            c.MeanMethod,
                            c.MeanBaseline,
                            c.Effect.MeanDifference,
                            c.Interval.Low,
                            c.Interval.High,
                            c.Permutation.PValue,
                            adjusted?.Holm ?? double.NaN,
                            adjusted?.BenjaminiHochberg ?? double.NaN,
                            c.Wilcoxon.PValue,
                            c.PairedT.PValue,
                            equal[i] ? effects[i].Estimate : c.Effect.Dz,
                            equal[i] ? effects[i].Estimate : c.Effect.HedgesGz,
                            c.Permutation.Exact ? 0 : 1.0 / (options.Resamples + 1),
                            deltas[i].Paired.Estimate,
                            deltas[i].Paired.Low,
                            deltas[i].Paired.High,
                            deltas[i].Cliff.Estimate,
                            deltas[i].Cliff.Low,
                            deltas[i].Cliff.High,
                            effects[i].Low,
                            effects[i].High,
                            main.TestQuality,
                            points[i].TestQuality,
                            main.TestCost,
                            points[i].TestCost
                        );
                    }
                )
                .ToArray()
        );
    }

    private static double[] Utility(BenchPoint point, double lambda) =>
        [.. point.Test.Quality.Zip(point.Test.Cost, (quality, cost) => quality - lambda * cost)];

    // A difference that is the same on every query has no spread to be measured in: the effect size is 0 where the
    // difference is, and its cells stay empty elsewhere.
    private static Interval WithoutSpread(double difference)
    {
        double effect = Math.Abs(difference) <= RoundOff ? 0 : double.NaN;
        return new Interval(effect, effect, effect, 0.95);
    }

    private static Interval Standardised(double[] differences, ExperimentOptions options) =>
        Bootstrap.StandardisedMean(differences, Math.Min(options.Resamples, 2000), 0.95, (ulong)options.Seed);
}
