using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What a policy would have been worth on a service's queries.</summary>
/// <param name="Policy">Name of a policy file, or of a model that answers alone; "as logged" for what was done.</param>
/// <param name="Matched">Logged decisions that the policy would have made too.</param>
/// <param name="EffectiveQueries">Queries answered by the policy itself that would tell as much.</param>
/// <param name="InversePropensity">Mean quality by inverse propensity scoring.</param>
/// <param name="SelfNormalised">The same, self-normalised.</param>
/// <param name="DoublyRobust">The same, doubly robust.</param>
/// <param name="Cost">Mean cost of a query, doubly robust.</param>
public sealed record OffPolicyRow(
    string Policy,
    int Matched,
    double EffectiveQueries,
    Interval InversePropensity,
    Interval SelfNormalised,
    Interval DoublyRobust,
    Interval Cost
);

/// <summary>What an off-policy evaluation found out.</summary>
/// <param name="Decisions">Graded decisions in the log.</param>
/// <param name="Ungraded">Lines without a grade, left out.</param>
/// <param name="LeastPropensity">The least propensity in the log.</param>
/// <param name="Floor">The bound below which no propensity lies, which some intervals rest on.</param>
/// <param name="MostCost">The largest cost of a query, which the intervals of the cost rest on.</param>
/// <param name="Rows">What was done first, then the policies.</param>
/// <param name="NeverAlone">Models that never answered alone: the log does not tell what each would be worth alone.</param>
public sealed record OffPolicyReport(
    int Decisions,
    int Ungraded,
    double LeastPropensity,
    double Floor,
    double MostCost,
    IReadOnlyList<OffPolicyRow> Rows,
    IReadOnlyList<string> NeverAlone
);

/// <summary>
/// `toolkit evaluate --off-policy`: what other policies would have been worth, from a log of decisions that were drawn with known
/// probabilities. A decision counts for a policy when it would have asked the same models in the same order and returned the same answer,
/// with the weight of one over the decision's probability (Proposition "off-policy intervals").
/// </summary>
public static class OffPolicyEvaluation
{
    /// <summary>Name of the row of what was done.</summary>
    public const string AsLogged = "as logged";

    private const double Level = 0.05,
        LevelOfCheck = 0.001;
    private const int ConfidenceStrata = 5;

    /// <summary>Evaluates policy files, and every model that answered alone.</summary>
    /// <param name="log">The log.</param>
    /// <param name="policies">Policy files by name.</param>
    /// <param name="floor">The least probability that the log's policies give to what they may do; NaN for the least in the log.</param>
    /// <param name="path">The log's name, for messages.</param>
    /// <exception cref="ToolkitException">
    /// A propensity below the floor; a policy that the log says nothing of, or that needs more than it holds.
    /// </exception>
    public static OffPolicyReport Run(
        DecisionLog log,
        IReadOnlyList<(string Name, PolicyFile Policy)> policies,
        double floor = double.NaN,
        string path = "log"
    )
    {
        IReadOnlyList<LoggedDecision> decisions = log.Decisions;
        LoggedDecision least = decisions.MinBy(decision => decision.Propensity)!;
        if (double.IsNaN(floor))
            floor = least.Propensity;
        if (!(floor > 0 && floor <= 1))
            throw new ToolkitException($"floor: expected a number above 0, at most 1, got {floor}");
        if (least.Propensity < floor)
            throw new ToolkitException(
                $"{path}: query '{least.Id}': propensity: expected at least the floor {floor}, got {least.Propensity}"
            );
        int[] strata = Strata(decisions);
        double mostCost = decisions.Max(decision => decision.Cost);
        var rows = new List<OffPolicyRow> { Row(AsLogged, [.. decisions.Select(_ => 1.0)], 1) };
        foreach (var (name, policy) in policies)
        {
            double[] weights = Weights(Agreement(policy, name, decisions));
            Require(name, weights);
            rows.Add(Row(name, weights, 1 / floor));
        }
        var neverAlone = new List<string>();
        foreach (string model in decisions.SelectMany(decision => decision.Stages.Select(stage => stage.Model)).Distinct().Order())
        {
            double[] weights = Weights(decision => decision.Stages.Count == 1 && decision.Stages[0].Model == model);
            if (Lacks(weights) is null)
                rows.Add(Row(model, weights, 1 / floor));
            else
                neverAlone.Add(model);
        }
        return new OffPolicyReport(decisions.Count, log.Ungraded, least.Propensity, floor, mostCost, rows, neverAlone);

        double[] Weights(Func<LoggedDecision, bool> agrees) =>
            [.. decisions.Select(decision => agrees(decision) ? 1 / decision.Propensity : 0)];

        OffPolicyRow Row(string name, double[] weights, double most)
        {
            double[] quality = [.. decisions.Select(decision => decision.Quality)],
                cost = [.. decisions.Select(decision => mostCost > 0 ? decision.Cost / mostCost : 0)];
            return new OffPolicyRow(
                name,
                weights.Count(weight => weight > 0),
                OffPolicy.EffectiveQueries(weights),
                OffPolicy.InversePropensity(weights, quality, Level),
                OffPolicy.SelfNormalised(weights, quality, most, Level),
                OffPolicy.DoublyRobust(weights, quality, OffPolicy.RunningMeans(weights, quality, strata), most, Level),
                Scaled(OffPolicy.DoublyRobust(weights, cost, OffPolicy.RunningMeans(weights, cost, strata), most, Level), mostCost)
            );
        }

        void Require(string name, double[] weights)
        {
            if (Lacks(weights) is { } why)
                throw new ToolkitException($"{path}: expected decisions as '{name}' would have made them, got {why}");
        }

        // What the log lacks of a policy; null where it has what the policy does. The weights have mean 1 then, and only then.
        string? Lacks(double[] weights)
        {
            if (weights.All(weight => weight == 0))
                return $"none among {weights.Length}";
            ConfidenceSequence mean = ConfidenceSequences.Start(LevelOfCheck);
            foreach (double weight in weights)
                mean = ConfidenceSequences.Observe(mean, weight * floor);
            return mean.Low > floor || mean.High < floor
                ? FormattableString.Invariant(
                    $"weights of {weights.Average():0.###} on average instead of 1: the log lacks part of what it would have done, or the propensities are not those of the decisions"
                )
                : null;
        }
    }

    private static Interval Scaled(Interval x, double scale) => new(x.Estimate * scale, x.Low * scale, x.High * scale, x.Level);

    // Whether a policy would have done what was done: the same models in the same order, and the same answer.
    private static Func<LoggedDecision, bool> Agreement(PolicyFile file, string name, IReadOnlyList<LoggedDecision> decisions)
    {
        if (file.Features is not null || file.QueryFeatures > 0)
            throw new ToolkitException(
                $"{name}: expected a policy that sees confidences alone, got one that wants features of the question, which a log of decisions does not hold; calibrate with --policy {PolicyRegistry.Recall}"
            );
        string[] models = [.. file.Models];
        if (decisions.SelectMany(decision => decision.Stages).FirstOrDefault(stage => !models.Contains(stage.Model)) is { } foreign)
            throw new ToolkitException(
                $"{name}: expected a policy of the log's models, got {string.Join(", ", models)} and in the log {foreign.Model}"
            );
        return decision =>
        {
            var confidence = new double[models.Length];
            var labels = new int[models.Length];
            Array.Fill(confidence, double.NaN);
            Array.Fill(labels, -1);
            int[] ran = [.. decision.Stages.Select(stage => Array.IndexOf(models, stage.Model))];
            uint set = 0;
            for (int i = 0; i < ran.Length; i++)
            {
                Decision next = file.Policy.Decide(new Observation(set, confidence, labels, []));
                if (next.Stop || next.Stage != ran[i])
                    return false;
                LoggedStage stage = decision.Stages[i];
                confidence[ran[i]] = Confidence(ran[i], stage);
                labels[ran[i]] = stage.Same >= 0 && stage.Same < ran.Length ? ran[stage.Same] : -1;
                set |= 1u << ran[i];
            }
            Decision last = file.Policy.Decide(new Observation(set, confidence, labels, []));
            return last.Stop && last.Stage == ran[decision.Answered];
        };

        double Confidence(int stage, LoggedStage logged)
        {
            if (file.Calibration is null)
                return logged.Confidence ?? double.NaN;
            if (logged.Features is not { } features || features.Length != ConfidenceFeatures.Names.Count)
                throw new ToolkitException(
                    $"{name}: expected {ConfidenceFeatures.Names.Count} confidence features of every answer in the log, from which the policy makes its confidences, got none for {logged.Model}; 'toolkit serve --decisions' logs them"
                );
            return file.Confidence(stage, ConfidenceFeatures.FromVector(features));
        }
    }

    // What is known before a decision: the dataset, and how sure the first model is where it is always the same one.
    private static int[] Strata(IReadOnlyList<LoggedDecision> decisions)
    {
        bool sameFirst = decisions.All(decision => decision.Stages[0].Model == decisions[0].Stages[0].Model);
        double[] first = [.. decisions.Select(decision => sameFirst ? decision.Stages[0].Confidence ?? -1 : -1)];
        var numbers = new Dictionary<(string, int), int>();
        return
        [
            .. decisions.Select(
                (decision, t) =>
                {
                    // Fifths of [0,1], not of the log: a stratum must not depend on later queries.
                    int fifth = first[t] < 0 ? -1 : Math.Min(ConfidenceStrata - 1, (int)(first[t] * ConfidenceStrata));
                    if (!numbers.TryGetValue((decision.Dataset, fifth), out int number))
                        numbers.Add((decision.Dataset, fifth), number = numbers.Count);
                    return number;
                }
            ),
        ];
    }
}
