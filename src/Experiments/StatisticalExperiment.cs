using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>
/// Table 1: our policy against every baseline at one price of cost, on the same test queries. Each method takes the
/// operating point that is best for this price on the calibration part. The family of tests is Holm-corrected; the
/// oracle is a row of its own, an upper bound and not a competitor.
/// </summary>
public static class StatisticalExperiment
{
    // Differences that spread no more than this are equal: 1 - lambda c and 0 - lambda c lose different digits.
    private const double RoundOff = 1e-12;

    private const string Header =
        "baseline,lambda,pairs,utility_ours,utility_baseline,difference,ci_low,ci_high,p_permutation,p_holm,p_bh,p_wilcoxon,p_t,"
        + "d_z,g_z,cliff_delta,d_z_low,d_z_high,quality_ours,quality_baseline,cost_ours,cost_baseline";

    /// <summary>Writes table1.csv.</summary>
    public static void Run(PolicyBench bench, ExperimentOptions options, string folder)
    {
        // The price, like the operating points, comes from the calibration part.
        double lambda = options.TablePrice / bench[$"fixed-{bench.Outcomes.Models.Count}"].Points[0].Calibration.Cost.Average();
        BenchPoint ours = bench[PolicyBench.Ours].BestFor(lambda);
        double[] utility = Utility(ours, lambda);
        BenchFamily[] baselines = [.. bench.Families.Where(family => family.Name != PolicyBench.Ours)];
        BenchPoint[] points = [.. baselines.Select(family => family.BestFor(lambda))];
        var comparisons = new Comparison[baselines.Length];
        var effects = new Interval[baselines.Length];
        var equal = new bool[baselines.Length];
        Parallel.For(0, baselines.Length, i =>
        {
            double[] other = Utility(points[i], lambda);
            comparisons[i] = Comparison.Compute(utility, other, options.Resamples, 0.95, (ulong)options.Seed);
            double[] differences = [.. utility.Zip(other, (a, b) => a - b)];
            equal[i] = differences.Max() - differences.Min() <= RoundOff;
            effects[i] = equal[i] ? WithoutSpread(differences[0]) : StandardisedInterval(differences, options);
        });
        // Without recall ours is the jump policy itself, and nothing is to be tested between them.
        bool[] competes = [.. baselines.Select(family => family.Name != "oracle" && (family.Name != "jump" || bench.Recalls))];
        FamilyMember[] family = Comparison.Family([.. comparisons.Where((_, i) => competes[i])]);
        int member = 0;
        CsvFile.Write(
            Path.Combine(folder, "table1.csv"),
            Header,
            baselines
                .Select(
                    (baseline, i) =>
                    {
                        Comparison c = comparisons[i];
                        FamilyMember? adjusted = competes[i] ? family[member++] : null;
                        return new object?[]
                        {
                            baseline.Name,
                            lambda,
                            c.Pairs,
                            c.MeanMethod,
                            c.MeanBaseline,
                            c.Effect.MeanDifference,
                            c.Interval.Low,
                            c.Interval.High,
                            c.Permutation.PValue,
                            adjusted?.Holm,
                            adjusted?.BenjaminiHochberg,
                            c.Wilcoxon.PValue,
                            c.PairedT.PValue,
                            equal[i] ? effects[i].Estimate : c.Effect.Dz,
                            equal[i] ? effects[i].Estimate : c.Effect.HedgesGz,
                            c.Effect.PairedDelta,
                            effects[i].Low,
                            effects[i].High,
                            ours.TestQuality,
                            points[i].TestQuality,
                            ours.TestCost,
                            points[i].TestCost,
                        };
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

    // Percentile interval of d_z from sums over resampled queries.
    private static Interval StandardisedInterval(double[] differences, ExperimentOptions options)
    {
        int n = differences.Length,
            resamples = Math.Min(options.Resamples, 2000);
        var random = new SplitMix64((ulong)options.Seed);
        var values = new double[resamples];
        for (int r = 0; r < resamples; r++)
        {
            double sum = 0,
                squares = 0;
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
        return new Interval(
            values[resamples / 2],
            values[(int)(0.025 * (resamples - 1))],
            values[(int)Math.Ceiling(0.975 * (resamples - 1))],
            0.95
        );
    }
}
