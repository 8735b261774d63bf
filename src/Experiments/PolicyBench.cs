using OptimalStopping.Runtime.Cascades;
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
    /// <summary>What the policies see of a typical query before any model runs: the mean context of the calibration queries.</summary>
    public double[] TypicalContext { get; init; } = [];

    /// <summary>The point that is best for a price of cost on the calibration part.</summary>
    public BenchPoint BestFor(double lambda) => Points.MaxBy(point => point.CalibrationUtility(lambda))!;
}

/// <summary>Every policy of the figures, fitted once and replayed once for all experiments.</summary>
public sealed class PolicyBench
{
    private const int CurvePoints = 24;

    public required RecordedOutcomes Outcomes { get; init; }

    /// <summary>The families that the registry shows in a run, and the policy that was read from a file where there is one.</summary>
    public required IReadOnlyList<BenchFamily> Families { get; init; }

    /// <summary>The default's plan, with its cross-fitted estimates on the calibration part; null where the default is no plan.</summary>
    public required FittedPlan? Plan { get; init; }

    /// <summary>The family that cross-validation took as the default.</summary>
    public required string DefaultFamily { get; init; }

    /// <summary>Whether cross-validation found that answering with an earlier stage pays.</summary>
    public bool Recalls => DefaultFamily is PolicyRegistry.Recall or PolicyRegistry.Features;

    public BenchFamily this[string name] => Families.First(family => family.Name == name);

    /// <summary>The policy that always runs one stage (from 1).</summary>
    public BenchPoint Single(int stage) => this[PolicyRegistry.SingleName(stage)].Points[0];

    /// <summary>The policy that always runs the last stage.</summary>
    public BenchPoint Largest => Single(Outcomes.Models.Count);

    /// <summary>Fits every family on the calibration part and replays it on both parts.</summary>
    public static PolicyBench Fit(RecordedOutcomes outcomes, Action<string, double> progress, CancellationToken cancel)
    {
        RecordedCascade data = outcomes.All;
        int[] rows = outcomes.CalibrationRows,
            testRows = outcomes.TestRows;
        var training = new PolicyTraining(data, rows, outcomes.Features);
        IReadOnlyList<PolicyFamily> shown = PolicyRegistry.For(PolicyUse.Run, data.Stages);
        var families = new List<BenchFamily>();
        foreach (PolicyFamily family in shown)
        {
            progress("fitting the policies", families.Count / (double)shown.Count);
            cancel.ThrowIfCancellationRequested();
            if (family.Fit is null)
                families.Add(
                    new BenchFamily(
                        family.Name,
                        [
                            .. family
                                .Parameters!(training)
                                .Select(x => new BenchPoint(x, family.Outcome!(data, rows, x), family.Outcome!(data, testRows, x), null)),
                        ]
                    )
                );
            else if (family.Fit(training) is { } fitted)
                families.Add(Replayed(family.Name, fitted));
        }
        if (outcomes.Given is { } given)
        {
            BenchPoint point = new(
                given.Lambda,
                Replay.Run(given.Policy, given.View, rows),
                Replay.Run(given.Policy, given.View, testRows),
                given.Policy
            );
            families.Add(new BenchFamily(PolicyRegistry.Given, [point]));
        }
        return new PolicyBench
        {
            Outcomes = outcomes,
            Families = families,
            Plan = training.Default.Policies.Plan,
            DefaultFamily = training.Default.Name,
        };

        BenchFamily Replayed(string name, FittedPolicies fitted)
        {
            IStoppingPolicy[] policies = fitted.Policies;
            var points = new BenchPoint[policies.Length];
            Parallel.For(0, points.Length, i =>
                points[i] = new BenchPoint(
                    fitted.Family.Parameter[i],
                    fitted.Replay(i, data, rows),
                    fitted.Replay(i, data, testRows),
                    policies[i]
                )
            );
            RecordedCascade seen = fitted.Featured?.Described ?? fitted.Seen ?? data;
            int width = seen.ContextWidth;
            return new BenchFamily(name, points)
            {
                TypicalContext = [.. Enumerable.Range(0, width).Select(j => rows.Average(q => seen.Context[q * width + j]))],
            };
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
