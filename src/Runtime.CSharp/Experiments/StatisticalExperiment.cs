using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>
/// Table 1: our policy against every baseline at one price of cost, on the same test queries. Each method takes the
/// operating point that is best for this price on the calibration part. The family of tests is Holm-corrected; the
/// oracle is a row of its own, an upper bound and not a competitor.
/// </summary>
public static class StatisticalExperiment
{
    private const string Header =
        "baseline,lambda,pairs,utility_ours,utility_baseline,difference,ci_low,ci_high,p_permutation,p_holm,p_bh,p_wilcoxon,p_t,"
        + "d_z,g_z,cliff_delta,d_z_low,d_z_high,quality_ours,quality_baseline,cost_ours,cost_baseline";

    /// <summary>Writes table1.csv.</summary>
    public static void Run(PolicyBench bench, ExperimentOptions options, string folder)
    {
        double lambda = options.TablePrice / bench[$"fixed-{bench.Outcomes.Models.Count}"].Points[0].TestCost;
        BenchPoint ours = bench[PolicyBench.Ours].BestFor(lambda);
        double[] utility = Utility(ours, lambda);
        BenchFamily[] baselines = [.. bench.Families.Where(family => family.Name != PolicyBench.Ours)];
        BenchPoint[] points = [.. baselines.Select(family => family.BestFor(lambda))];
        var comparisons = new Comparison[baselines.Length];
        var effects = new Interval[baselines.Length];
        Parallel.For(0, baselines.Length, i =>
        {
            double[] other = Utility(points[i], lambda);
            comparisons[i] = ComparisonModule.compute(utility, other, options.Resamples, 0.95, (ulong)options.Seed);
            effects[i] = StandardisedInterval([.. utility.Zip(other, (a, b) => a - b)], options);
        });
        bool[] competes = [.. baselines.Select(family => family.Name != "oracle")];
        FamilyMember[] family = ComparisonModule.family([.. comparisons.Where((_, i) => competes[i])]);
        int member = 0;
        CsvFile.Write(Path.Combine(folder, "table1.csv"), Header, baselines.Select((baseline, i) =>
        {
            Comparison c = comparisons[i];
            FamilyMember? adjusted = competes[i] ? family[member++] : null;
            return new object?[]
            {
                baseline.Name, lambda, c.Pairs, c.MeanMethod, c.MeanBaseline, c.Effect.MeanDifference, c.Interval.Low, c.Interval.High,
                c.Permutation.PValue, adjusted?.Holm, adjusted?.BenjaminiHochberg, c.Wilcoxon.PValue, c.PairedT.PValue,
                Finite(c.Effect.Dz), Finite(c.Effect.HedgesGz), c.Effect.PairedDelta, effects[i].Low, effects[i].High,
                ours.TestQuality, points[i].TestQuality, ours.TestCost, points[i].TestCost,
            };
        }).ToArray());
    }

    private static double[] Utility(BenchPoint point, double lambda) =>
        [.. point.Test.Quality.Zip(point.Test.Cost, (quality, cost) => quality - lambda * cost)];

    // A difference that is the same on every query has no spread to be measured in; the cell stays empty.
    private static double Finite(double effect) => double.IsFinite(effect) ? effect : double.NaN;

    // Percentile interval of d_z from sums over resampled queries; equal policies have d_z = 0 exactly.
    private static Interval StandardisedInterval(double[] differences, ExperimentOptions options)
    {
        int n = differences.Length, resamples = Math.Min(options.Resamples, 2000);
        if (differences.All(d => d == differences[0]))
        {
            double only = differences[0] == 0 ? 0 : double.NaN;
            return new Interval(only, only, only, 0.95);
        }
        var random = new SplitMix64((ulong)options.Seed);
        var values = new double[resamples];
        for (int r = 0; r < resamples; r++)
        {
            double sum = 0, squares = 0;
            for (int i = 0; i < n; i++)
            {
                double d = differences[random.NextIndex(n)];
                sum += d;
                squares += d * d;
            }
            double variance = (squares - sum * sum / n) / (n - 1);
            values[r] = variance > 0 ? sum / n / Math.Sqrt(variance) : 0;
        }
        Array.Sort(values);
        return new Interval(values[resamples / 2], values[(int)(0.025 * (resamples - 1))], values[(int)Math.Ceiling(0.975 * (resamples - 1))], 0.95);
    }
}
