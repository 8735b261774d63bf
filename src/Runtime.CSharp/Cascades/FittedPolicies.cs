using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>A fitted family with what it is replayed on: the recorded outcomes as they are, or what a pipeline of features makes of them.</summary>
/// <param name="Family">The operating points; of the kept stages alone where there is a pipeline.</param>
public sealed record FittedPolicies(FittedFamily Family)
{
    /// <summary>The plans on features that the family comes from; null for a family that sees the recorded confidences.</summary>
    public FeaturedPlan? Featured { get; init; }

    /// <summary>Recorded outcomes with what a family sees in place of the recorded confidences and context; null for those.</summary>
    public RecordedCascade? Seen { get; init; }

    /// <summary>The plan behind the operating points, with its estimates on queries that it was not fitted on; null where there is none.</summary>
    public FittedPlan? Plan { get; init; }

    /// <summary>A family that sees the recorded confidences.</summary>
    public static implicit operator FittedPolicies(FittedFamily family) => new(family);

    /// <summary>A planned family that sees the recorded confidences.</summary>
    public static FittedPolicies From(FittedPlan plan) => new(plan.Family) { Plan = plan };

    /// <summary>A family that sees features.</summary>
    public static FittedPolicies From(FeaturedPlan plan) => new(plan.Fit.Family) { Plan = plan.Fit, Featured = plan };

    /// <summary>The operating points as policies of the whole cascade, on the view that a pipeline gives of it.</summary>
    public IStoppingPolicy[] Policies => Featured is null ? Family.Policies : [.. Family.Policies.Select(Featured.Whole)];

    /// <summary>The recorded outcomes that the operating points are replayed on.</summary>
    public RecordedCascade View(RecordedCascade data) => Featured?.View ?? Seen ?? data;

    /// <summary>A stage of the operating points as a stage of the cascade.</summary>
    public int Stage(int stage) => Featured is null || stage < 0 ? stage : Featured.Kept[stage];

    /// <summary>What one operating point does on given queries; stages are those of the cascade.</summary>
    public ReplayOutcome Replay(int point, RecordedCascade data, int[] rows)
    {
        ReplayOutcome outcome = Theory.Policies.Replay.Run(Family.Policies[point], View(data), rows);
        return Featured is null ? outcome : new ReplayOutcome(outcome.Cost, outcome.Quality, Array.ConvertAll(outcome.Stage, Stage));
    }

    /// <summary>What all operating points do on given queries; stages are those of the cascade.</summary>
    public GroupedOutcome[] Replay(RecordedCascade data, int[] rows, int groups)
    {
        GroupedOutcome[] outcomes = FamilyReplay.Run(Family.Policies, View(data), rows, groups);
        if (Featured is null)
            return outcomes;
        return Array.ConvertAll(outcomes, outcome =>
        {
            var stops = new double[Featured.Stages];
            for (int k = 0; k < outcome.Stops.Length; k++)
                stops[Stage(k)] = outcome.Stops[k];
            return new GroupedOutcome(outcome.Cost, outcome.Quality, stops, outcome.Queries);
        });
    }
}
