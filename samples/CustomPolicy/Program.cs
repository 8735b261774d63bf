using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Samples.CustomPolicy;

/// <summary>
/// A stopping policy of your own: ask the next larger model until two agree or one is sure.
/// </summary>
/// <param name="stages">Stages of the cascade.</param>
/// <param name="sure">The confidence from which one answer is enough.</param>
public sealed class SecondOpinion(int stages, double sure) : IStoppingPolicy
{
    /// <inheritdoc/>
    public int Stages => stages;

    /// <inheritdoc/>
    public Decision Decide(Observation observation)
    {
        int last = observation.Last; // -1 before the first stage
        if (last < 0)
            return Decision.GoTo(0);
        if (last == stages - 1 || observation.Confidence[last] >= sure)
            return Decision.StopWith(last);
        // Equal labels stand for equal answers; a negative one for an answer that is not known.
        for (int earlier = 0; earlier < last; earlier++)
            if (
                (observation.Ran >> earlier & 1) != 0
                && observation.Answer[earlier] >= 0
                && observation.Answer[earlier] == observation.Answer[last]
            )
                return Decision.StopWith(last);
        return Decision.GoTo(last + 1);
    }
}

/// <summary>Run from the root of a clone: <c>dotnet run --project samples/CustomPolicy</c>.</summary>
public static class Program
{
    /// <summary>Compares the policy with the planned one on recorded queries, then answers one query with it.</summary>
    public static async Task Main()
    {
        CascadeFile file = CascadeFile.Load("configs/miniature.yaml");
        CascadeRecords records = CascadeRecords.Load(file.CalibrationTrace!);
        var plans = new CascadePlans(file, records);
        int[] queries = [.. Enumerable.Range(0, plans.Records.Queries)];
        var own = new SecondOpinion(file.Stages.Count, sure: 0.97);
        Show("second opinion", own, plans.Records); // sees calibrated confidences
        Show("planned", plans.Plan(0.02).Policy, plans.View); // sees what question and answers tell

        await using Cascade cascade = Cascade.Load(file);
        AdaptiveAnswer answer = new AdaptiveCascade(cascade, plans.Calibration.Confidence, own).Answer("What is the capital of Spain?");
        Console.WriteLine($"{answer.Chosen.Text} after {answer.Turns.Count} models");

        void Show(string name, IStoppingPolicy policy, RecordedCascade seen)
        {
            ReplayOutcome outcome = Replay.Run(policy, seen, queries);
            Console.WriteLine($"{name}: quality {outcome.Quality.Average():F3}, cost {outcome.Cost.Average():F2}");
        }
    }
}
