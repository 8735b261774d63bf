using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>A family that competes to be the default, with what cross-validation says of it.</summary>
/// <param name="Name">Its name in the registry.</param>
/// <param name="Score">Held-out area under its curve, over the costs from the cheapest to the best single model.</param>
/// <param name="Error">Standard error of the best family's lead over it.</param>
public sealed record DefaultCandidate(string Name, double Score, double Error);

/// <summary>The family that was taken as the default.</summary>
/// <param name="Name">Its name in the registry.</param>
/// <param name="Candidates">All that competed, from the simplest to the richest.</param>
public sealed record DefaultChoice(string Name, FittedPolicies Policies, IReadOnlyList<DefaultCandidate> Candidates);

/// <summary>
/// The queries that policies are fitted on, with what several families take from them; each is computed once, when first
/// asked for.
/// </summary>
/// <param name="data">Recorded outcomes.</param>
/// <param name="rows">The queries to fit on, in random order; at least 2.</param>
/// <param name="features">What else was recorded of the queries and answers; null for nothing.</param>
public sealed class PolicyTraining(RecordedCascade data, int[] rows, TraceFeatures? features = null)
{
    private const int ChoiceRows = 6000,
        ChoicePrices = 24,
        Groups = 50;

    // Fewer queries than this: five folds, which leave more of them to fit on.
    private const int FewRows = 2000;

    // Standard errors of the difference that a family may lie behind the best one: one (Breiman et al. 1984), and two for plans
    // on features, which are made to vary little: with 100 and 300 queries of other cascades they lost to no simpler family on
    // average, and what cross-validation preferred to them by chance did.
    private const double Slack = 1,
        SlackOfFeatures = 2;

    private readonly Lazy<FittedPlan> _recall = new(() => PlannedFamily.Fit(data, rows, ActionSet.Recall)),
        _jump = new(() => PlannedFamily.Fit(data, rows, ActionSet.Jump)),
        _chain = new(() => PlannedFamily.Fit(data, rows, ActionSet.Chain));
    private readonly Lazy<double[]> _prices = new(() => PlannedFamily.Prices(data, rows, 40));
    private FeaturedPlan? _featured;
    private bool _planned;
    private (FeaturePipeline Pipeline, RecordedCascade View)? _described;
    private DefaultChoice? _choice;

    public RecordedCascade Data => data;

    public int[] Rows => rows;

    /// <summary>Plans that may run any later stage next and answer with any stage that ran.</summary>
    public FittedPlan Recall => _recall.Value;

    /// <summary>Plans that may run any later stage next and answer with the last.</summary>
    public FittedPlan Jump => _jump.Value;

    /// <summary>Plans that run one stage after another and answer with the last.</summary>
    public FittedPlan Chain => _chain.Value;

    /// <summary>
    /// Plans with recall on everything that was recorded of questions and answers; null where nothing was, or one model is
    /// both the cheapest and the best.
    /// </summary>
    public FeaturedPlan? Featured
    {
        get
        {
            if (!_planned && Pipeline is var (pipeline, view))
                _featured = FeaturedPlan.Make(pipeline, view, rows, ActionSet.Recall);
            _planned = true;
            return _featured;
        }
    }

    /// <summary>What else was recorded of the queries and answers; null for nothing.</summary>
    internal TraceFeatures? Features => features;

    /// <summary>The pipeline that was fitted on the queries, with what it shows of all; null where nothing but outcomes was recorded.</summary>
    internal (FeaturePipeline Pipeline, RecordedCascade View)? Pipeline =>
        features is null ? null : _described ??= Described(data, features, rows, Others(data, rows));

    /// <summary>
    /// The default: the richest family whose held-out curve is within a standard error (two for the last) of the best one's. The order is
    /// mixtures of models, the envelope of pairs, chain, jump, recall, and recall with features; where a simpler family is
    /// clearly better, it is the default.
    /// </summary>
    public DefaultChoice Default => _choice ??= Choose();

    /// <summary>Prices of cost for families that want a grid of them, decreasing.</summary>
    public double[] Prices => _prices.Value;

    private DefaultChoice Choose()
    {
        List<(string Name, Func<FittedPolicies> Fitted, Func<int[], int[], FittedPolicies> Refit)> candidates =
        [
            ("mixture", () => Baselines.Mixtures(data, rows), (own, _) => Baselines.Mixtures(data, own)),
            (PolicyRegistry.Reference, () => Baselines.PairEnvelope(data, rows), (own, _) => Baselines.PairEnvelope(data, own)),
            ("chain", () => FittedPolicies.From(Chain), (own, _) => Replan(ActionSet.Chain, Chain, own)),
            ("jump", () => FittedPolicies.From(Jump), (own, _) => Replan(ActionSet.Jump, Jump, own)),
            (PolicyRegistry.Recall, () => FittedPolicies.From(Recall), (own, _) => Replan(ActionSet.Recall, Recall, own)),
        ];
        if (Featured is { } featured)
            candidates.Add(
                (
                    PolicyRegistry.Features,
                    () => FittedPolicies.From(featured),
                    (own, held) =>
                    {
                        var (pipeline, view) = Described(data, features!, own, held);
                        return FittedPolicies.From(featured.Refit(pipeline, view, own, ChoicePrices));
                    }
                )
            );
        int[] sample = rows.Length > ChoiceRows ? rows[..ChoiceRows] : rows;
        int folds = Math.Min(sample.Length / 2, sample.Length < FewRows ? 5 : 3);
        if (folds < 2)
            return new DefaultChoice(candidates[0].Name, candidates[0].Fitted(), []);
        var outcomes = new GroupedOutcome[folds][][];
        var models = new GroupedOutcome[folds][];
        IStoppingPolicy[] singles = [.. Enumerable.Range(0, data.Stages).Select(k => ThresholdCascade.Fixed(data.Stages, k))];
        for (int f = 0; f < folds; f++)
        {
            int[] held = [.. sample.Where((_, i) => i % folds == f)],
                own = [.. sample.Where((_, i) => i % folds != f)];
            int groups = Math.Min(Groups, held.Length);
            models[f] = FamilyReplay.Run(singles, data, held, groups);
            outcomes[f] = [.. candidates.Select(c => c.Refit(own, held).Replay(data, held, groups))];
        }
        FamilySelection choice = FamilyChoice.Choose(
            outcomes,
            models,
            [.. candidates.Select(c => c.Name == PolicyRegistry.Features ? SlackOfFeatures : Slack)]
        );
        return new DefaultChoice(
            candidates[choice.Chosen].Name,
            candidates[choice.Chosen].Fitted(),
            [.. candidates.Select((c, i) => new DefaultCandidate(c.Name, choice.Score[i], choice.Error[i]))]
        );
    }

    // The estimator stays the one that was chosen on all rows.
    private FittedPolicies Replan(ActionSet actions, FittedPlan plan, int[] own)
    {
        var planner = new Planner(data, own, actions, plan.Settings);
        double[] prices = PlannedFamily.Prices(data, own, ChoicePrices);
        var plans = new Plan[prices.Length];
        Parallel.For(0, plans.Length, i => plans[i] = planner.Plan(prices[i]));
        return new FittedFamily(plan.Family.Name, prices, [.. plans.Select(p => p.Policy)]);
    }

    private static (FeaturePipeline Pipeline, RecordedCascade View) Described(
        RecordedCascade data,
        TraceFeatures features,
        int[] rows,
        int[] others
    ) => FeaturePipeline.Fit(features, data, rows, others);

    private static int[] Others(RecordedCascade data, int[] rows)
    {
        var own = new bool[data.Queries];
        foreach (int q in rows)
            own[q] = true;
        return [.. Enumerable.Range(0, data.Queries).Where(q => !own[q])];
    }
}
