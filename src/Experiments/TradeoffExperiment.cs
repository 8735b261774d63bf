using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// Figure 1b: quality against cost of every policy on the test queries, with 95 % bootstrap intervals, the Pareto
/// front, where queries stop and from which confidence on.
/// </summary>
public static class TradeoffExperiment
{
    private const double Level = 0.95;

    /// <summary>Writes figure1b.csv, stops.csv, thresholds.csv and headline.csv.</summary>
    public static void Run(PolicyBench bench, ExperimentOptions options, string folder)
    {
        var points = bench.Families.SelectMany(family => PolicyBench.Curve(family).Select(point => (family.Name, Point: point))).ToArray();
        var rows = new object?[points.Length][];
        Parallel.For(0, points.Length, i =>
        {
            var (name, point) = points[i];
            Interval cost = MeanInterval(point.Test.Cost, options),
                quality = MeanInterval(point.Test.Quality, options);
            bool beaten =
                name == "oracle"
                || points.Any(other =>
                    other.Name != "oracle"
                    && other.Point.TestCost <= point.TestCost
                    && other.Point.TestQuality >= point.TestQuality
                    && (other.Point.TestCost < point.TestCost || other.Point.TestQuality > point.TestQuality)
                );
            rows[i] =
            [
                name,
                point.Parameter,
                cost.Estimate,
                cost.Low,
                cost.High,
                quality.Estimate,
                quality.Low,
                quality.High,
                beaten ? 0 : 1,
            ];
        });
        CsvFile.Write(
            Path.Combine(folder, "figure1b.csv"),
            "policy,lambda,cost,cost_low,cost_high,quality,quality_low,quality_high,pareto",
            rows
        );

        IReadOnlyList<BenchPoint> ours = PolicyBench.Curve(bench[PolicyBench.Ours]);
        int stages = bench.Outcomes.Models.Count;
        CsvFile.Write(
            Path.Combine(folder, "stops.csv"),
            "lambda,stage,share",
            from point in ours
            from k in Enumerable.Range(0, stages)
            select new object?[] { point.Parameter, k + 1, point.Test.Stage.Count(stage => stage == k) / (double)point.Test.Stage.Length }
        );
        CsvFile.Write(
            Path.Combine(folder, "thresholds.csv"),
            "lambda,stage,threshold",
            from point in ours
            from k in Enumerable.Range(0, stages - 1)
            select new object?[] { point.Parameter, k + 1, Threshold(point.Policy!, k, stages) }
        );
        Headline.Write(bench, options, Path.Combine(folder, "headline.csv"));
    }

    internal static Interval MeanInterval(double[] values, ExperimentOptions options) =>
        Bootstrap.BcaMean(values, options.Resamples, Level, (ulong)options.Seed);

    /// <summary>
    /// The least confidence on a grid of 1,001 from which on the policy stops when only this stage has run; NaN where it
    /// does not stop even at 1.
    /// </summary>
    private static double Threshold(IStoppingPolicy policy, int stage, int stages)
    {
        var confidence = new double[stages];
        Array.Fill(confidence, double.NaN);
        double threshold = double.NaN;
        for (int i = 1000; i >= 0; i--)
        {
            confidence[stage] = i / 1000.0;
            if (!policy.Decide(new Observation(1u << stage, confidence)).Stop)
                break;
            threshold = confidence[stage];
        }
        return threshold;
    }
}
