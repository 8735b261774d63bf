using System.Numerics;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>A way through the cascade: the stages that ran, the one that answered, and the share of queries that went it.</summary>
public sealed record PolicyPath(IReadOnlyList<int> Ran, int Answer, double Share);

/// <summary>What the policy does while the answer's predicted quality lies in an interval.</summary>
/// <param name="From">Lower end on the calibrated axis.</param>
/// <param name="To">Upper end.</param>
/// <param name="Next">The stage that runs next; null to stop.</param>
public sealed record PolicyBand(double From, double To, int? Next);

/// <summary>Why the policy stops after a stage, or does not.</summary>
/// <param name="Stage">The stage that ran last.</param>
/// <param name="After">The stages that ran before it, on the way that most queries came.</param>
/// <param name="Share">Share of all queries that came this way.</param>
/// <param name="Bands">
/// What it does by the predicted quality of the stage's answer, from the smallest confidence to the largest, everything
/// else as on a typical query (the one with the median prediction).
/// </param>
/// <param name="ThresholdConfidence">Least recorded confidence from which on it stops; null when it does not stop even at the largest.</param>
/// <param name="ThresholdQuality">The predicted quality there.</param>
public sealed record StageRule(
    int Stage,
    IReadOnlyList<int> After,
    double Share,
    IReadOnlyList<PolicyBand> Bands,
    double? ThresholdConfidence,
    double? ThresholdQuality
);

/// <summary>One operating point of the default policy, taken apart.</summary>
public sealed record ExplainedPoint(
    double Lambda,
    double Cost,
    double Quality,
    IReadOnlyList<PolicyPath> Paths,
    IReadOnlyList<StageRule> Rules
);

/// <summary>Takes a fitted plan apart for people: where queries stop, and from which calibrated confidence on.</summary>
public static class EvaluationExplanation
{
    private const int SampleSize = 4000;
    private const int Steps = 200;

    /// <summary>Explains every operating point, in order of cost on the given queries (at most 4,000 of them are replayed).</summary>
    public static IReadOnlyList<ExplainedPoint> Make(FittedPolicies fitted, RecordedCascade recorded, int[] rows)
    {
        FittedFamily family = fitted.Family;
        RecordedCascade data = fitted.View(recorded);
        int[] sample = rows.Length > SampleSize ? rows[..SampleSize] : rows;
        var points = new ExplainedPoint[family.Policies.Length];
        Parallel.For(0, points.Length, i => points[i] = OfCascade(Explain(family.Parameter[i], family.Policies[i], data, sample), fitted));
        return [.. points.OrderBy(p => p.Cost).ThenBy(p => p.Quality)];
    }

    // Stages of the plans as stages of the whole cascade.
    private static ExplainedPoint OfCascade(ExplainedPoint point, FittedPolicies fitted) =>
        fitted.Featured is null
            ? point
            : point with
            {
                Paths =
                [
                    .. point.Paths.Select(path =>
                        path with
                        {
                            Ran = [.. path.Ran.Select(fitted.Stage)],
                            Answer = fitted.Stage(path.Answer),
                        }
                    ),
                ],
                Rules =
                [
                    .. point.Rules.Select(rule =>
                        rule with
                        {
                            Stage = fitted.Stage(rule.Stage),
                            After = [.. rule.After.Select(fitted.Stage)],
                            Bands = [.. rule.Bands.Select(band => band with { Next = band.Next is { } next ? fitted.Stage(next) : null })],
                        }
                    ),
                ],
            };

    // Only plans predict qualities; a cascade of thresholds has ways through it, but no such axis.
    private static ExplainedPoint Explain(double lambda, IStoppingPolicy policy, RecordedCascade data, int[] rows)
    {
        int n = data.Stages;
        var visits = new Dictionary<uint, List<int>>();
        var paths = new Dictionary<(uint Ran, int Answer), int>();
        double cost = 0,
            quality = 0;
        var watched = new Watched(policy);
        foreach (int q in rows)
        {
            watched.States.Clear();
            var (c, answer) = Replay.Query(watched, data, q);
            cost += c;
            quality += data.Quality[q * n + answer];
            // The last state is not asked about when a fail-over ran out of stages.
            uint last = watched.States[^1];
            foreach (uint ran in watched.States)
                if (ran != 0)
                    (visits.TryGetValue(ran, out var list) ? list : visits[ran] = []).Add(q);
            paths[(last, answer)] = paths.GetValueOrDefault((last, answer)) + 1;
        }
        StageRule[] rules = policy is not PlannedPolicy plan
            ? []
            :
            [
                .. visits
                    .GroupBy(pair => LastStage(pair.Key))
                    .Select(group => group.MaxBy(pair => pair.Value.Count))
                    .OrderBy(pair => LastStage(pair.Key))
                    .Select(pair => Rule(plan, data, pair.Key, pair.Value, rows.Length)),
            ];
        return new ExplainedPoint(
            lambda,
            cost / rows.Length,
            quality / rows.Length,
            [
                .. paths
                    .OrderByDescending(p => p.Value)
                    .Select(p => new PolicyPath(Stages(p.Key.Ran), p.Key.Answer, p.Value / (double)rows.Length)),
            ],
            rules
        );
    }

    private static StageRule Rule(PlannedPolicy policy, RecordedCascade data, uint ran, List<int> visitors, int all)
    {
        int n = data.Stages,
            stage = LastStage(ran);
        double Predict(int q) => policy.PredictedQuality(At(data, ran, q, data.Confidence.AsSpan(q * n, n)), stage);
        int typical = visitors.OrderBy(Predict).ElementAt(visitors.Count / 2);
        double[] confidence = data.Confidence.AsSpan(typical * n, n).ToArray();
        ConfidenceScale scale = policy.Inputs.Scales[stage];
        var bands = new List<PolicyBand>();
        double? thresholdConfidence = null,
            thresholdQuality = null;
        if (scale.Knots.Length > 0)
        {
            double before = double.NaN;
            for (int step = 0; step <= Steps; step++)
            {
                confidence[stage] = scale.Confidence(step / (double)Steps);
                Observation seen = At(data, ran, typical, confidence);
                // A prediction need not grow with every confidence; on the axis it is shown as if it did.
                double value = policy.PredictedQuality(seen, stage);
                double at = double.IsNaN(before) ? value : Math.Max(before, value);
                Decision decision = ((IStoppingPolicy)policy).Decide(seen);
                int? next = decision.Stop ? null : decision.Stage;
                if (bands.Count > 0 && bands[^1].Next == next)
                    bands[^1] = bands[^1] with { To = at };
                else
                {
                    bands.Add(new PolicyBand(double.IsNaN(before) ? at : before, at, next));
                    (thresholdConfidence, thresholdQuality) = next is null ? (confidence[stage], at) : ((double?)null, (double?)null);
                }
                before = at;
            }
        }
        return new StageRule(
            stage,
            [.. Stages(ran).Where(k => k != stage)],
            visitors.Count / (double)all,
            bands,
            thresholdConfidence,
            thresholdQuality
        );
    }

    private static Observation At(RecordedCascade data, uint ran, int q, ReadOnlySpan<double> confidence) =>
        new(
            ran,
            confidence,
            data.HasAnswers ? data.Answer.AsSpan(q * data.Stages, data.Stages) : [],
            data.Context.AsSpan(q * data.ContextWidth, data.ContextWidth)
        );

    private static int LastStage(uint ran) => 31 - BitOperations.LeadingZeroCount(ran);

    private static int[] Stages(uint ran) => [.. Enumerable.Range(0, 32).Where(k => (ran >> k & 1) != 0)];

    /// <summary>A policy that remembers the states in which it was asked.</summary>
    private sealed class Watched(IStoppingPolicy policy) : IStoppingPolicy
    {
        public List<uint> States { get; } = [];
        public int Stages => policy.Stages;

        public Decision Decide(Observation observation)
        {
            States.Add(observation.Ran);
            return policy.Decide(observation);
        }
    }
}
