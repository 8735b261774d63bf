using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// The calibration and the stopping policies of a cascade, fitted on the calibration records that `toolkit collect` wrote.
/// Fitted once; a plan for one more price of cost is quick.
/// </summary>
public sealed class CascadePlans
{
    private readonly Planner _planner;
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
        // The estimator that cross-validation picks for thousands of calibrated confidences; fitting one plan takes a moment.
        EstimatorSettings settings = PlannedFamily.Candidates(Records.Stages, Records.Queries).Last(s => s.Realised == 0);
        _planner = new Planner(
            Records,
            [.. Enumerable.Range(0, Records.Queries)],
            file.Recall ? ActionSet.Recall : ActionSet.Jump,
            settings
        );
    }

    /// <summary>From the confidence features of a stage's answer to the probability that it is right.</summary>
    public ConfidenceCalibration Calibration { get; }

    /// <summary>Tells questions that are unlike all calibration queries; null where those have no texts, or are too few.</summary>
    public Familiarity? Familiarity { get; }

    /// <summary>The calibration queries with calibrated confidences.</summary>
    public RecordedCascade Records { get; }

    /// <summary>The plan for one price of cost (quality that one unit of cost is worth; at least 0), with its held-out cost and quality.</summary>
    public Plan Plan(double lambda)
    {
        lock (_lock)
            return _planner.Plan(lambda);
    }
}
