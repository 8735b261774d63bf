using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// Mean cost (in the run's own unit, see <see cref="RunData.CostUnit"/>) and mean quality of one policy on the test queries,
/// with 95 % intervals. Lambda is NaN for a policy that has none. Pareto: no other listed policy but the oracle is at least as
/// cheap and as good, and one of them more so.
/// </summary>
[RunTable("figure1b.csv")]
public sealed record OperatingPoint(
    string Policy,
    [Column(Optional = true)] double Lambda,
    double Cost,
    [Column(Optional = true)] double CostLow,
    [Column(Optional = true)] double CostHigh,
    [Column(Unit = true)] double Quality,
    [Column(Optional = true)] double QualityLow,
    [Column(Optional = true)] double QualityHigh,
    bool Pareto
);

/// <summary>Share of the test queries that a stage (from 1) answered under the default policy at one price of cost.</summary>
[RunTable("stops.csv")]
public sealed record StopShare(double Lambda, int Stage, [Column(Unit = true)] double Share);

/// <summary>
/// Confidence from which on the default policy stops when only this stage ran, on a query whose context is the mean one; NaN
/// where it never does. For a default on features it is the probability that these give the answer.
/// </summary>
[RunTable("thresholds.csv")]
public sealed record StageThreshold(double Lambda, int Stage, [Column(Optional = true)] double Threshold);

/// <summary>A number of the run by what it is, with its 95 % interval (NaN where there is none).</summary>
[RunTable("headline.csv")]
public sealed record HeadlineNumber(
    string Metric,
    [Column(Optional = true)] double Value,
    [Column(Optional = true)] double Low,
    [Column(Optional = true)] double High
)
{
    /// <summary>Begins the metric of each model's accuracy; its name follows.</summary>
    public const string AccuracyOf = "accuracy ";

    /// <summary>Begins the metric of each policy's area under quality against cost; its name follows.</summary>
    public const string AreaOf = "auc ";
}

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
        var rows = new OperatingPoint[points.Length];
        Parallel.For(0, points.Length, i =>
        {
            var (name, point) = points[i];
            Interval cost = MeanInterval(point.Test.Cost, options),
                quality = MeanInterval(point.Test.Quality, options);
            bool beaten =
                name == PolicyRegistry.Oracle
                || points.Any(other =>
                    other.Name != PolicyRegistry.Oracle
                    && other.Point.TestCost <= point.TestCost
                    && other.Point.TestQuality >= point.TestQuality
                    && (other.Point.TestCost < point.TestCost || other.Point.TestQuality > point.TestQuality)
                );
            rows[i] = new OperatingPoint(
                name,
                point.Parameter,
                cost.Estimate,
                cost.Low,
                cost.High,
                quality.Estimate,
                quality.Low,
                quality.High,
                !beaten
            );
        });
        ResultTable.Write(folder, rows);

        IReadOnlyList<BenchPoint> curve = PolicyBench.Curve(bench[PolicyRegistry.Default]);
        int stages = bench.Outcomes.Models.Count;
        ResultTable.Write(
            folder,
            from point in curve
            from k in Enumerable.Range(0, stages)
            select new StopShare(point.Parameter, k + 1, point.Test.Stage.Count(stage => stage == k) / (double)point.Test.Stage.Length)
        );
        ResultTable.Write(
            folder,
            from point in curve
            from k in Enumerable.Range(0, stages - 1)
            select new StageThreshold(
                point.Parameter,
                k + 1,
                Threshold(point.Policy!, bench[PolicyRegistry.Default].TypicalContext, k, stages)
            )
        );
        Headline.Write(bench, options, folder);
    }

    internal static Interval MeanInterval(double[] values, ExperimentOptions options) =>
        Bootstrap.BcaMean(values, options.Resamples, Level, (ulong)options.Seed);

    /// <summary>
    /// The least confidence on a grid of 1,001 from which on the policy stops on a typical query when only this stage has
    /// run; NaN where it does not stop even at 1.
    /// </summary>
    private static double Threshold(IStoppingPolicy policy, double[] context, int stage, int stages)
    {
        var confidence = new double[stages];
        Array.Fill(confidence, double.NaN);
        double threshold = double.NaN;
        for (int i = 1000; i >= 0; i--)
        {
            confidence[stage] = i / 1000.0;
            if (!policy.Decide(new Observation(1u << stage, confidence, [], context)).Stop)
                break;
            threshold = confidence[stage];
        }
        return threshold;
    }
}

/// <summary>
/// The figures that the README quotes: how much of the largest model's accuracy the default policy keeps, at what share of its
/// cost, at an operating point that the calibration part chose; and how far its front lies above the baselines'.
/// </summary>
public static class Headline
{
    /// <summary>The chosen point must keep this share of the largest model's accuracy on the calibration part.</summary>
    public const double Kept = 0.99;

    /// <summary>
    /// The cheapest point of the default whose calibration quality (cross-fitted, where the default is a plan) keeps <see cref="Kept"/>.
    /// </summary>
    public static BenchPoint Chosen(PolicyBench bench)
    {
        IReadOnlyList<BenchPoint> points = bench[PolicyRegistry.Default].Points;
        double[] cost = bench.Plan?.HeldOutCost ?? [.. points.Select(point => point.Calibration.Cost.Average())],
            quality = bench.Plan?.HeldOutQuality ?? [.. points.Select(point => point.Calibration.Quality.Average())];
        RecordedCascade data = bench.Outcomes.All;
        double target = Kept * data.MeanQuality(bench.Outcomes.CalibrationRows, data.Stages - 1);
        int chosen = Enumerable
            .Range(0, points.Count)
            .Where(i => quality[i] >= target)
            .DefaultIfEmpty(Array.IndexOf(quality, quality.Max()))
            .MinBy(i => cost[i]);
        return points[chosen];
    }

    internal static void Write(PolicyBench bench, ExperimentOptions options, string folder)
    {
        var rows = new List<HeadlineNumber>();
        void Add(string metric, Interval interval) => rows.Add(new(metric, interval.Estimate, interval.Low, interval.High));
        void AddExact(string metric, double value) => rows.Add(new(metric, value, double.NaN, double.NaN));

        for (int k = 0; k < bench.Outcomes.Models.Count; k++)
        {
            BenchPoint single = bench.Single(k + 1);
            Add($"{HeadlineNumber.AccuracyOf}{bench.Outcomes.Models[k]}", TradeoffExperiment.MeanInterval(single.Test.Quality, options));
        }
        BenchPoint largest = bench.Largest,
            chosen = Chosen(bench);
        AddExact("default recalls", bench.Recalls ? 1 : 0);
        AddExact("chosen lambda", chosen.Parameter);
        Add("chosen accuracy", TradeoffExperiment.MeanInterval(chosen.Test.Quality, options));
        Add("chosen cost", TradeoffExperiment.MeanInterval(chosen.Test.Cost, options));
        Add("chosen share of the largest model's accuracy", Ratio(chosen.Test.Quality, largest.Test.Quality, options));
        Add("chosen share of the largest model's cost", Ratio(chosen.Test.Cost, largest.Test.Cost, options));
        for (int k = 0; k < bench.Outcomes.Models.Count; k++)
            AddExact(
                $"chosen share answered by {bench.Outcomes.Models[k]}",
                chosen.Test.Stage.Count(stage => stage == k) / (double)chosen.Test.Stage.Length
            );

        BenchPoint[] singles = [.. Enumerable.Range(1, bench.Outcomes.Models.Count).Select(bench.Single)];
        double low = singles.Min(single => single.TestCost);
        double high = largest.TestCost;
        foreach (BenchFamily family in bench.Families.Where(family => !PolicyRegistry.IsSingle(family.Name)))
            AddExact($"{HeadlineNumber.AreaOf}{family.Name}", Area(family, singles));
        foreach (string baseline in new[] { "random", "threshold", "threshold-per-stage", "pair-envelope", "jump", "chain" })
        {
            var (gap, cost) = LeastGap(bench[PolicyRegistry.Default], bench[baseline], low, high, options);
            Add($"least lead over {baseline}", gap);
            AddExact($"least lead over {baseline} at cost", cost);
        }
        ResultTable.Write(folder, rows);
    }

    private static Interval Ratio(double[] numerator, double[] denominator, ExperimentOptions options)
    {
        // Paired: a resample takes the same queries for both means.
        double[] index = [.. Enumerable.Range(0, numerator.Length).Select(i => (double)i)];
        Func<double[], double> ratio = sample =>
        {
            double above = 0,
                below = 0;
            foreach (double i in sample)
            {
                above += numerator[(int)i];
                below += denominator[(int)i];
            }
            return above / below;
        };
        return Bootstrap.Bca(index, ratio, Math.Min(options.Resamples, 2000), 0.95, (ulong)options.Seed);
    }

    // The same area as `evaluate` gives: over the costs from the cheapest to the best single model.
    private static double Area(BenchFamily family, BenchPoint[] singles) =>
        CurveMetrics
            .Compute(
                [.. family.Points.Select(point => point.TestCost)],
                [.. family.Points.Select(point => point.TestQuality)],
                [.. singles.Select(single => single.TestCost)],
                [.. singles.Select(single => single.TestQuality)]
            )
            .Auc;

    // The upper hull of a family's test points in order of cost: what mixing two operating points can reach.
    private static BenchPoint[] Hull(BenchFamily family) =>
        [
            .. Frontier
                .UpperHull([.. family.Points.Select(point => point.TestCost)], [.. family.Points.Select(point => point.TestQuality)])
                .Select(i => family.Points[i]),
        ];

    // Quality of each test query at a mean cost, by mixing the two neighbouring points of a hull; flat beyond its ends.
    private static double[] QualityAt(BenchPoint[] hull, double cost)
    {
        int right = Array.FindIndex(hull, point => point.TestCost >= cost);
        if (right < 0)
            return hull[^1].Test.Quality;
        if (right == 0)
            return hull[0].Test.Quality;
        BenchPoint below = hull[right - 1],
            above = hull[right];
        double share = (cost - below.TestCost) / (above.TestCost - below.TestCost);
        return [.. below.Test.Quality.Zip(above.Test.Quality, (a, b) => (1 - share) * a + share * b)];
    }

    // Least vertical distance between two test fronts over the costs that both reach (but the cheapest, where every
    // family is the cheapest model), where it is, and its paired interval there. The place is chosen on the same
    // queries, which makes the least distance look smaller than at a place chosen beforehand.
    private static (Interval Gap, double Cost) LeastGap(
        BenchFamily family,
        BenchFamily other,
        double low,
        double high,
        ExperimentOptions options
    )
    {
        BenchPoint[] hull = Hull(family),
            otherHull = Hull(other);
        double from = Math.Max(low, Math.Max(hull[0].TestCost, otherHull[0].TestCost));
        var (_, cost) = Enumerable
            .Range(1, 200)
            .Select(i => from + (high - from) * i / 200)
            .Select(at => (Gap: QualityAt(hull, at).Average() - QualityAt(otherHull, at).Average(), Cost: at))
            .MinBy(pair => pair.Gap);
        double[] differences = [.. QualityAt(hull, cost).Zip(QualityAt(otherHull, cost), (a, b) => a - b)];
        return (TradeoffExperiment.MeanInterval(differences, options), cost);
    }
}
