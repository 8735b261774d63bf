using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What fresh logs say of a policy's guarantee.</summary>
public enum GuaranteeVerdict
{
    /// <summary>The mean loss is shown to be at most what the guarantee allows.</summary>
    Shown,

    /// <summary>Nothing contradicts the guarantee; the logs are too few to show it.</summary>
    NotContradicted,

    /// <summary>The guarantee no longer holds.</summary>
    Broken,
}

/// <summary>What a stage did for the policy on the logs.</summary>
/// <param name="Answered">Queries that it answered for the policy.</param>
/// <param name="Confidence">Its mean confidence on them; NaN for none.</param>
/// <param name="Quality">Its mean quality on them.</param>
/// <param name="ReferenceQuality">What the reference model's mean quality is on them.</param>
public sealed record CheckedStage(string Name, int Answered, double Confidence, double Quality, double ReferenceQuality)
{
    /// <summary>Its part of the mean loss over all queries.</summary>
    public double LossShare(int queries) => Answered == 0 ? 0 : (ReferenceQuality - Quality) * Answered / queries;
}

/// <summary>
/// Holds a policy against fresh graded logs. The loss of a query is the reference model's quality minus the policy's, and
/// the guarantee says that its mean is at most <see cref="PolicyGuarantee.MaxLoss"/>. Two tests share delta: an alarm that
/// sees a change at any moment (Theorem 13), and a confidence sequence for the mean (Waudby-Smith and Ramdas 2023). Both
/// are valid at all times at once, so that the same log may be looked at again as it grows.
/// </summary>
public sealed record PolicyCheck(
    int Queries,
    double MeanLoss,
    double LowLoss,
    double HighLoss,
    int? RaisedAt,
    GuaranteeVerdict Verdict,
    IReadOnlyList<CheckedStage> Stages
)
{
    /// <summary>Checks the queries of a trace file in their order.</summary>
    /// <exception cref="ToolkitException">
    /// The log is of other models, has no record of the reference model, lacks what the policy needs, or is the one that the
    /// policy was calibrated on.
    /// </exception>
    public static PolicyCheck Run(PolicyFile policy, string traces)
    {
        if (FileDigest.Sha256(traces).Equals(policy.Origin.Sha256, StringComparison.OrdinalIgnoreCase))
            throw new ToolkitException($"{traces}: expected fresh logs, got the traces that the policy was calibrated on");
        RecordedCascade data = Read(policy, traces);
        int reference = policy.Models.ToList().IndexOf(policy.Guarantee.Reference);
        int[] rows = [.. Enumerable.Range(0, data.Queries).Where(q => data.IsRecorded(q, reference))];
        if (rows.Length == 0)
            throw new ToolkitException(
                $"{traces}: expected queries with a record of {policy.Guarantee.Reference}, which the guarantee is measured against, got none"
            );
        ReplayOutcome outcome = Replay.Run(policy.Policy, data, rows);
        double[] loss = [.. rows.Select((q, i) => data.Quality[q * data.Stages + reference] - outcome.Quality[i])];
        return Test(policy.Guarantee, loss) with
        {
            Stages = [.. policy.Models.Select((name, k) => Stage(name, k, reference, data, rows, outcome))],
        };
    }

    /// <summary>The tests alone, on losses from -1 to 1 in their order.</summary>
    public static PolicyCheck Test(PolicyGuarantee guarantee, IReadOnlyList<double> loss)
    {
        // Both tests take values in [0, 1]: a loss of 1 is 0, a gain of 1 is 1.
        static double Scaled(double l) => (1 - l) / 2;
        QualityAlarm alarm = ConfidenceSequences.StartAlarm(Scaled(guarantee.MaxLoss), guarantee.Delta / 2);
        ConfidenceSequence mean = ConfidenceSequences.Start(guarantee.Delta / 2);
        int? raised = null;
        for (int i = 0; i < loss.Count; i++)
        {
            alarm = ConfidenceSequences.ObserveQuality(alarm, Scaled(loss[i]));
            mean = ConfidenceSequences.Observe(mean, Scaled(loss[i]));
            if (raised is null && (alarm.Raised || 1 - 2 * mean.High > guarantee.MaxLoss))
                raised = i + 1;
        }
        double low = 1 - 2 * mean.High,
            high = 1 - 2 * mean.Low;
        return new PolicyCheck(
            loss.Count,
            loss.Average(),
            low,
            high,
            raised,
            raised is not null ? GuaranteeVerdict.Broken
                : high <= guarantee.MaxLoss ? GuaranteeVerdict.Shown
                : GuaranteeVerdict.NotContradicted,
            []
        );
    }

    /// <summary>Why the guarantee broke, in one sentence: the stage that lost most, and how.</summary>
    public string Reason(PolicyFile policy)
    {
        CheckedStage worst = Stages.MaxBy(stage => stage.LossShare(Queries))!;
        string then = FormattableString.Invariant(
            $"{worst.Name} answered {worst.Answered} of {Queries} with a mean confidence of {worst.Confidence:F3} and a mean quality of {worst.Quality:F3}, where {policy.Guarantee.Reference} has {worst.ReferenceQuality:F3}"
        );
        return worst.Confidence - worst.Quality > policy.Guarantee.MaxLoss
            ? then + ": its confidence is too high for what is asked now; calibrate again"
            : then + ": what is asked, or a model, has changed; calibrate again";
    }

    private static CheckedStage Stage(string name, int stage, int reference, RecordedCascade data, int[] rows, ReplayOutcome outcome)
    {
        int[] own = [.. Enumerable.Range(0, rows.Length).Where(i => outcome.Stage[i] == stage)];
        double Mean(Func<int, double> of) => own.Length == 0 ? double.NaN : own.Average(of);
        return new CheckedStage(
            name,
            own.Length,
            Mean(i => data.Confidence[rows[i] * data.Stages + stage]),
            Mean(i => outcome.Quality[i]),
            Mean(i => data.Quality[rows[i] * data.Stages + reference])
        );
    }

    private static RecordedCascade Read(PolicyFile policy, string traces)
    {
        if (policy.Calibration is not null)
        {
            if (!CascadeRecords.AreIn(traces))
                throw new ToolkitException(
                    $"{traces}: expected confidence features of every stage as 'toolkit collect' writes them, since the policy makes its confidences from them, got none"
                );
            CascadeRecords records = CascadeRecords.Load(traces);
            policy.RequireModels(records.Models, traces);
            return policy.View(records.ToRecordedCascade(policy.Confidence), CascadeRecords.FeaturesOf(traces, records.Models), traces);
        }
        TraceTable table = TraceReader.ReadTable(traces);
        policy.RequireModels(table.Models, traces);
        return policy.View(table.Cascade, table.Features, traces);
    }
}
