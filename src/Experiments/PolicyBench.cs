using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>One operating point of a policy: its parameter and what it did on each query of both parts.</summary>
/// <param name="Policy">The executable policy; null where the point is not one (oracle, random).</param>
public sealed record BenchPoint(double Parameter, ReplayOutcome Calibration, ReplayOutcome Test, IStoppingPolicy? Policy)
{
    public double TestCost { get; } = Test.Cost.Average();
    public double TestQuality { get; } = Test.Quality.Average();

    /// <summary>Mean of quality - lambda * cost over the calibration queries: how points are chosen.</summary>
    public double CalibrationUtility(double lambda) => Calibration.Quality.Average() - lambda * Calibration.Cost.Average();
}

/// <summary>A policy family with its operating points, fitted on the calibration part.</summary>
public sealed record BenchFamily(string Name, IReadOnlyList<BenchPoint> Points)
{
    /// <summary>The point that is best for a price of cost on the calibration part.</summary>
    public BenchPoint BestFor(double lambda) => Points.MaxBy(point => point.CalibrationUtility(lambda))!;
}

/// <summary>Every policy of the figures, fitted once and replayed once for all experiments.</summary>
public sealed class PolicyBench
{
    /// <summary>The name of our default policy in the result files.</summary>
    public const string Ours = "jump-recall";

    /// <summary>The name of a policy that was read from a file.</summary>
    public const string Given = "policy-file";

    private const int CurvePoints = 24;

    public required RecordedOutcomes Outcomes { get; init; }
    public required IReadOnlyList<BenchFamily> Families { get; init; }

    /// <summary>Our plan, with its cross-fitted estimates on the calibration part.</summary>
    public required FittedPlan Plan { get; init; }

    /// <summary>Whether cross-validation found that answering with an earlier stage pays.</summary>
    public required bool Recalls { get; init; }

    public BenchFamily this[string name] => Families.First(family => family.Name == name);

    /// <summary>Fits every family on the calibration part and replays it on both parts.</summary>
    public static PolicyBench Fit(RecordedOutcomes outcomes, Action<string, double> progress, CancellationToken cancel)
    {
        RecordedCascade data = outcomes.Calibration;
        int[] rows = RecordedOutcomes.AllRows(data),
            testRows = RecordedOutcomes.AllRows(outcomes.Test);
        var families = new List<BenchFamily>();
        progress("fitting the plans", 0);
        FittedPlan recall = PlannedFamily.Fit(data, rows, ActionSet.Recall);
        cancel.ThrowIfCancellationRequested();
        FittedPlan jump = PlannedFamily.Fit(data, rows, ActionSet.Jump);
        cancel.ThrowIfCancellationRequested();
        FittedPlan chain = PlannedFamily.Fit(data, rows, ActionSet.Chain);
        // A jump plan is a plan with recall that never recalls. Where cross-validation on the calibration part says that
        // answering with an earlier stage does not pay, it costs estimates and is left out.
        FittedPlan ours = recall.CandidateScores.Max() > jump.CandidateScores.Max() ? recall : jump;
        families.Add(Replayed(Ours, ours.Family));
        families.Add(Replayed("jump", jump.Family));
        families.Add(Replayed("chain", chain.Family));
        double[] prices = PlannedFamily.Prices(data, rows, 40);
        progress("fitting the baselines", families.Count / 8.0);
        families.Add(Replayed("threshold", Baselines.CommonThreshold(data, rows)));
        families.Add(Replayed("threshold-per-stage", Baselines.ChainThresholds(data, rows, prices)));
        families.Add(Replayed("pair-envelope", Baselines.PairEnvelope(data, rows)));
        double[] tilts = [-40, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 40];
        families.Add(
            new BenchFamily(
                "random",
                [
                    .. tilts.Select(t => new BenchPoint(
                        t,
                        Baselines.RandomStop(data, rows, t),
                        Baselines.RandomStop(outcomes.Test, testRows, t),
                        null
                    )),
                ]
            )
        );
        for (int k = 0; k < data.Stages; k++)
            families.Add(new BenchFamily($"fixed-{k + 1}", [Point(double.NaN, ThresholdCascade.Fixed(data.Stages, k))]));
        families.Add(
            new BenchFamily(
                "oracle",
                [
                    .. prices.Select(l => new BenchPoint(
                        l,
                        Baselines.Oracle(data, rows, l),
                        Baselines.Oracle(outcomes.Test, testRows, l),
                        null
                    )),
                ]
            )
        );
        if (outcomes.Given is { } given)
        {
            BenchPoint point = new(
                given.Lambda,
                Replay.Run(given.Policy, given.Calibration, rows),
                Replay.Run(given.Policy, given.Test, testRows),
                given.Policy
            );
            families.Add(new BenchFamily(Given, [point]));
        }
        return new PolicyBench
        {
            Outcomes = outcomes,
            Families = families,
            Plan = ours,
            Recalls = ours == recall,
        };

        BenchPoint Point(double parameter, IStoppingPolicy policy) =>
            new(parameter, Replay.Run(policy, data, rows), Replay.Run(policy, outcomes.Test, testRows), policy);

        BenchFamily Replayed(string name, FittedFamily family)
        {
            var points = new BenchPoint[family.Policies.Length];
            Parallel.For(0, points.Length, i => points[i] = Point(family.Parameter[i], family.Policies[i]));
            return new BenchFamily(name, points);
        }
    }

    /// <summary>At most 24 of a family's points, spread evenly over calibration cost, in order of test cost.</summary>
    public static IReadOnlyList<BenchPoint> Curve(BenchFamily family)
    {
        BenchPoint[] ordered = [.. family.Points.OrderBy(point => point.Calibration.Cost.Average())];
        if (ordered.Length <= CurvePoints)
            return [.. ordered.OrderBy(point => point.TestCost)];
        double low = ordered[0].Calibration.Cost.Average(),
            high = ordered[^1].Calibration.Cost.Average();
        return
        [
            .. Enumerable
                .Range(0, CurvePoints)
                .Select(i =>
                    ordered.MinBy(point => Math.Abs(point.Calibration.Cost.Average() - (low + (high - low) * i / (CurvePoints - 1))))
                )
                .Distinct()
                .Select(point => point!)
                .OrderBy(point => point.TestCost),
        ];
    }
}
