using OptimalStopping.Runtime.Ladder;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>A policy read from a file, with the recorded outcomes under the confidences that it was fitted for.</summary>
public sealed record GivenPolicy(IStoppingPolicy Policy, double Lambda, RecordedLadder Calibration, RecordedLadder Test)
{
    /// <summary>On a ladder's own records.</summary>
    public static GivenPolicy On(LadderRecords records, PolicyFile policy) => new(
        policy.Policy, policy.Lambda,
        Confidences(records.Of(LadderRecords.Calibration), policy), Confidences(records.Of(LadderRecords.Test), policy));

    /// <summary>On a trace file that was split with the seed.</summary>
    /// <exception cref="ToolkitException">The traces are of other models, or lack what the policy needs.</exception>
    public static GivenPolicy On(string traces, IReadOnlyList<string> models, RecordedOutcomes outcomes, PolicyFile policy, int seed)
    {
        policy.RequireModels(models, traces);
        if (policy.Features != outcomes.Test.ContextWidth)
            throw new ToolkitException($"{traces}: expected {policy.Features} features of each query as the policy wants, got {outcomes.Test.ContextWidth}");
        if (policy.Signals is null) return new GivenPolicy(policy.Policy, policy.Lambda, outcomes.Calibration, outcomes.Test);
        if (!LadderRecords.AreIn(traces))
            throw new ToolkitException($"{traces}: expected signals of every stage as 'toolkit collect' writes them, since the policy makes its confidences from signals, got none");
        RecordedLadder all = Confidences(LadderRecords.Load(traces), policy);
        EvaluationSplit split = EvaluationSplit.Make(all.Queries, 0.5, seed, traces);
        return new GivenPolicy(policy.Policy, policy.Lambda, RecordedOutcomes.Select(all, split.Train), RecordedOutcomes.Select(all, split.Test));
    }

    private static RecordedLadder Confidences(LadderRecords records, PolicyFile policy) =>
        records.ToRecordedLadder(policy.Confidence);
}
