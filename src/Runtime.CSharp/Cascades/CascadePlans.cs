using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// The calibration and the stopping policies of a cascade, fitted on the calibration records that `toolkit collect` wrote.
/// Where the records tell the questions, plans see what a <see cref="FeaturePipeline"/>
/// makes of question and answers, as the default of `toolkit evaluate` and `toolkit run` does; else the calibrated confidences
/// alone, or where those do better on held-out queries. Fitted once; a plan for one more price of cost is quick.
/// </summary>
public sealed class CascadePlans
{
    private const int ComparedPrices = 14;

    private readonly Planner _planner;
    private readonly FeaturedPlan? _featured;
    private readonly Lock _lock = new();

    /// <param name="records">At least 100 of the calibration split; records of other splits are not looked at.</param>
    /// <exception cref="ToolkitException">The records are of other models, or too few.</exception>
    public CascadePlans(CascadeFile file, CascadeRecords records)
    {
        string[] names = [.. file.Stages.Select(stage => stage.Name)];
        if (!records.Models.SequenceEqual(names))
            throw new ToolkitException(
                $"calibration records: expected the models {string.Join(", ", names)}, got {string.Join(", ", records.Models)}"
            );
        records = records.Of(CascadeRecords.Calibration);
        if (records.Records.Count < 100)
            throw new ToolkitException(
                $"calibration records: expected at least 100 of split '{CascadeRecords.Calibration}', got {records.Records.Count}"
            );
        Calibration = ConfidenceCalibration.Fit(records);
        Familiarity = records.FitFamiliarity();
        Records = records.ToRecordedCascade(Calibration.Confidence);
        int[] rows = [.. Enumerable.Range(0, Records.Queries)];
        // Without features: the estimator that cross-validation picks for thousands of calibrated confidences.
        ActionSet actions = file.Recall ? ActionSet.Recall : ActionSet.Jump;
        _planner = new Planner(
            Records,
            rows,
            actions,
            PlannedFamily.Candidates(Records.Stages, Records.Queries).Last(s => s.Realised == 0)
        );
        if (records.ToFeatures() is not { } features)
            return;
        var (pipeline, view) = FeaturePipeline.Fit(features, Records, rows, []);
        if (FeaturedPlan.Make(pipeline, view, rows, actions) is not { } featured)
            return;
        var seeing = new Planner(featured.View, rows, actions, featured.Fit.Settings);
        if (HeldOutArea(seeing, rows) >= HeldOutArea(_planner, rows))
            (_planner, _featured) = (seeing, featured);
    }

    /// <summary>From the confidence features of a stage's answer to the probability that it is right.</summary>
    public ConfidenceCalibration Calibration { get; }

    /// <summary>Tells questions that are unlike all calibration queries; null where those have no texts, or are too few.</summary>
    public Familiarity? Familiarity { get; }

    /// <summary>The calibration queries with calibrated confidences.</summary>
    public RecordedCascade Records { get; }

    /// <summary>The calibration queries as the plans see them: what their policies are replayed on.</summary>
    public RecordedCascade View => _featured?.Described ?? Records;

    /// <summary>What turns a question and its answers into what the plans see; null where they see the confidences alone.</summary>
    public FeaturePipeline? Features => _featured?.Pipeline;

    /// <summary>The plan for one price of cost (quality that one unit of cost is worth; at least 0), with its held-out cost and quality.</summary>
    public Plan Plan(double lambda)
    {
        Plan plan;
        lock (_lock)
            plan = _planner.Plan(lambda);
        return _featured is null ? plan : new Plan(plan.Lambda, _featured.Whole(plan.Policy), plan.HeldOutCost, plan.HeldOutQuality);
    }

    private double HeldOutArea(Planner planner, int[] rows)
    {
        Plan[] plans = [.. PlannedFamily.Prices(Records, rows, ComparedPrices).Select(planner.Plan)];
        return CurveMetrics
            .Compute(
                [.. plans.Select(plan => plan.HeldOutCost)],
                [.. plans.Select(plan => plan.HeldOutQuality)],
                [.. Enumerable.Range(0, Records.Stages).Select(k => Records.MeanCost(rows, k))],
                [.. Enumerable.Range(0, Records.Stages).Select(k => Records.MeanQuality(rows, k))]
            )
            .Auc;
    }
}
