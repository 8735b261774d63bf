using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// The figures that the README quotes: how much of the largest model's accuracy our policy keeps, at what share of its
/// cost, at an operating point that the calibration part chose; and how far its front lies above the baselines'.
/// </summary>
public static class Headline
{
    /// <summary>The chosen point must keep this share of the largest model's accuracy on the calibration part.</summary>
    public const double Kept = 0.99;

    /// <summary>The cheapest point of ours whose cross-fitted calibration quality keeps <see cref="Kept"/>.</summary>
    public static BenchPoint Chosen(PolicyBench bench)
    {
        FittedPlan plan = bench.Plan;
        RecordedCascade data = bench.Outcomes.Calibration;
        double target = Kept * data.MeanQuality(RecordedOutcomes.AllRows(data), data.Stages - 1);
        int chosen = Enumerable
            .Range(0, plan.HeldOutCost.Length)
            .Where(i => plan.HeldOutQuality[i] >= target)
            .DefaultIfEmpty(Array.IndexOf(plan.HeldOutQuality, plan.HeldOutQuality.Max()))
            .MinBy(i => plan.HeldOutCost[i]);
        return bench[PolicyBench.Ours].Points[chosen];
    }

    internal static void Write(PolicyBench bench, ExperimentOptions options, string path)
    {
        var rows = new List<object?[]>();
        void Add(string metric, Interval interval) => rows.Add([metric, interval.Estimate, interval.Low, interval.High]);
        void AddExact(string metric, double value) => rows.Add([metric, value, null, null]);

        for (int k = 0; k < bench.Outcomes.Models.Count; k++)
        {
            BenchPoint single = bench[$"fixed-{k + 1}"].Points[0];
            Add($"accuracy {bench.Outcomes.Models[k]}", TradeoffExperiment.MeanInterval(single.Test.Quality, options));
        }
        BenchPoint largest = bench[$"fixed-{bench.Outcomes.Models.Count}"].Points[0],
            chosen = Chosen(bench);
        AddExact("ours recalls", bench.Recalls ? 1 : 0);
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

        double low = Enumerable.Range(1, bench.Outcomes.Models.Count).Min(k => bench[$"fixed-{k}"].Points[0].TestCost);
        double high = largest.TestCost;
        foreach (BenchFamily family in bench.Families.Where(family => !family.Name.StartsWith("fixed-")))
            AddExact($"auc {family.Name}", Area(family, low, high));
        foreach (string baseline in new[] { "random", "threshold", "threshold-per-stage", "pair-envelope", "jump", "chain" })
        {
            var (gap, cost) = LeastGap(bench[PolicyBench.Ours], bench[baseline], low, high, options);
            Add($"least lead over {baseline}", gap);
            AddExact($"least lead over {baseline} at cost", cost);
        }
        CsvFile.Write(path, "metric,value,low,high", rows);
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

    private static (double[] Cost, double[] Quality) Sorted(BenchFamily family)
    {
        double[] cost = [.. family.Points.Select(point => point.TestCost)],
            quality = [.. family.Points.Select(point => point.TestQuality)];
        int[] order = Frontier.Order(cost, quality);
        return ([.. order.Select(i => cost[i])], [.. order.Select(i => quality[i])]);
    }

    private static double Area(BenchFamily family, double low, double high)
    {
        var (cost, quality) = Sorted(family);
        return Frontier.Area(cost, quality, low, high);
    }

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
        BenchFamily ours,
        BenchFamily other,
        double low,
        double high,
        ExperimentOptions options
    )
    {
        BenchPoint[] hull = Hull(ours),
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
