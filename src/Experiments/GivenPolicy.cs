using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>A policy read from a file, with the recorded outcomes under the confidences that it was fitted for.</summary>
public sealed record GivenPolicy(IStoppingPolicy Policy, double Lambda, RecordedCascade Calibration, RecordedCascade Test)
{
    /// <summary>On a cascade's own records.</summary>
    public static GivenPolicy On(CascadeRecords records, PolicyFile policy) =>
        new(
            policy.Policy,
            policy.Lambda,
            Confidences(records.Of(CascadeRecords.Calibration), policy),
            Confidences(records.Of(CascadeRecords.Test), policy)
        );

    /// <summary>On a trace file that was split with the seed.</summary>
    /// <exception cref="ToolkitException">The traces are of other models, or lack what the policy needs.</exception>
    public static GivenPolicy On(string traces, IReadOnlyList<string> models, RecordedOutcomes outcomes, PolicyFile policy, int seed)
    {
        policy.RequireModels(models, traces);
        if (policy.QueryFeatures != outcomes.Test.ContextWidth)
            throw new ToolkitException(
                $"{traces}: expected {policy.QueryFeatures} features of each query as the policy wants, got {outcomes.Test.ContextWidth}"
            );
        if (policy.Calibration is null)
            return new GivenPolicy(policy.Policy, policy.Lambda, outcomes.Calibration, outcomes.Test);
        if (!CascadeRecords.AreIn(traces))
            throw new ToolkitException(
                $"{traces}: expected signals of every stage as 'toolkit collect' writes them, since the policy makes its confidences from signals, got none"
            );
        RecordedCascade all = Confidences(CascadeRecords.Load(traces), policy);
        EvaluationSplit split = EvaluationSplit.Make(all.Queries, 0.5, seed, traces);
        return new GivenPolicy(
            policy.Policy,
            policy.Lambda,
            RecordedOutcomes.Select(all, split.Train),
            RecordedOutcomes.Select(all, split.Test)
        );
    }

    private static RecordedCascade Confidences(CascadeRecords records, PolicyFile policy) => records.ToRecordedCascade(policy.Confidence);
}
