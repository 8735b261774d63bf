using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What a family of policies is in a comparison.</summary>
public enum PolicyRole
{
    /// <summary>What the toolkit does unless it is told otherwise.</summary>
    Default,

    /// <summary>The default with a part taken away.</summary>
    Variant,

    /// <summary>What others do.</summary>
    Baseline,

    /// <summary>One model alone.</summary>
    Single,

    /// <summary>What nobody can have: it looks at what is known only afterwards.</summary>
    Limit,
}

/// <summary>The comparisons that show a family.</summary>
[Flags]
public enum PolicyUse
{
    None = 0,

    /// <summary>Figure 1b and table 1 of `toolkit run`.</summary>
    Run = 1,

    /// <summary>`toolkit evaluate`.</summary>
    Evaluate = 2,
    Both = Run | Evaluate,

    /// <summary>`toolkit evaluate --suite`: the field's table.</summary>
    Suite = 4,
}

/// <summary>
/// A family of policies: what it is called in every file and picture, how it is fitted, and how it is replayed. How a
/// fitted policy is saved and served is the business of its <see cref="PolicyForm"/>.
/// </summary>
/// <param name="Name">The name in files: lower case with hyphens.</param>
/// <param name="Label">The name for people.</param>
public sealed record PolicyFamily(string Name, string Label, PolicyRole Role, PolicyUse Use)
{
    /// <summary>
    /// Fits its operating points; null for a family that no live cascade can run. It gives null where the queries do not show
    /// what the family needs.
    /// </summary>
    public Func<PolicyTraining, FittedPolicies?>? Fit { get; init; }

    /// <summary>For a family without <see cref="Fit"/>: the parameters of its operating points.</summary>
    public Func<PolicyTraining, double[]>? Parameters { get; init; }

    /// <summary>For a family without <see cref="Fit"/>: what it does on given queries at a parameter.</summary>
    public Func<RecordedCascade, int[], double, ReplayOutcome>? Outcome { get; init; }

    /// <summary>Whether its policies have a <see cref="PolicyForm"/>, so that they can be calibrated, saved and served.</summary>
    public bool IsSaved { get; init; } = true;

    /// <summary>The most stages that it can be fitted for.</summary>
    public int MaxStages { get; init; } = RecordedCascade.MaxStages;
}

/// <summary>
/// Every family of policies, in the order in which they are listed, and every form in which a policy is saved: what `run`,
/// `evaluate`, `calibrate` and `serve`, the figures and the paper know of policies, they know from here.
/// </summary>
public static class PolicyRegistry
{
    public const string Default = "default";

    /// <summary>Jump with recall, whatever cross-validation says of recalling.</summary>
    public const string Recall = "recall";

    /// <summary>Jump with recall on everything that was recorded of questions and answers.</summary>
    public const string Features = "features";

    /// <summary>The family that `evaluate` compares the others with.</summary>
    public const string Reference = "pair-envelope";

    /// <summary>The default, fitted on the queries that it is tested on.</summary>
    public const string Ceiling = "default-ceiling";

    public const string Oracle = "oracle";

    /// <summary>A policy that was read from a file.</summary>
    public const string Given = "policy-file";

    private const string Fixed = "fixed-";

    /// <summary>The families but for the single models, of which there are as many as stages.</summary>
    public static IReadOnlyList<PolicyFamily> Families { get; } =
    [
        new(Default, "default", PolicyRole.Default, PolicyUse.Both | PolicyUse.Suite) { Fit = training => training.Default.Policies },
        new(Features, "recall with features", PolicyRole.Variant, PolicyUse.Evaluate)
        {
            Fit = training => training.Featured is { } plan ? FittedPolicies.From(plan) : null,
        },
        Planned(Recall, "jump with recall", PolicyRole.Variant, PolicyUse.Both, training => training.Recall),
        Planned("jump", "jump, no recall", PolicyRole.Variant, PolicyUse.Both, training => training.Jump),
        Planned("chain", "full chain", PolicyRole.Variant, PolicyUse.Both, training => training.Chain),
        new(Reference, "best pairs of models", PolicyRole.Baseline, PolicyUse.Both | PolicyUse.Suite)
        {
            Fit = training => (FittedPolicies)Baselines.PairEnvelope(training.Data, training.Rows),
        },
        new("cascade-router", "cascade router", PolicyRole.Baseline, PolicyUse.Evaluate | PolicyUse.Suite)
        {
            Fit = training => (FittedPolicies)CascadeRouting.Fit(training.Data, training.Rows, training.Prices),
            IsSaved = false,
            MaxStages = RouterEstimates.MaxStages,
        },
        new("text-router", "router on the question's text", PolicyRole.Baseline, PolicyUse.Suite)
        {
            Fit = training =>
                training.Pipeline is { Pipeline.Question: not null } seen
                    ? TextRouters.Logistic(seen.View, training.Rows, training.Prices)
                    : null,
            IsSaved = false,
        },
        new("knn-router", "router on the nearest questions", PolicyRole.Baseline, PolicyUse.Suite)
        {
            Fit = training =>
                training.Pipeline is { Pipeline.Question: { } question }
                    ? TextRouters.Nearest(question, training.Features!, training.Data, training.Rows, training.Prices)
                    : null,
            IsSaved = false,
        },
        new("frugal-gpt", "scored chains, FrugalGPT-like", PolicyRole.Baseline, PolicyUse.Suite)
        {
            // The scorer sees the question and the answer, where these are recorded.
            Fit = training =>
                training.Pipeline is { } seen
                    ? new FittedPolicies(Baselines.ScoredChains(seen.View, training.Rows)) { Seen = seen.View }
                    : (FittedPolicies)Baselines.ScoredChains(training.Data, training.Rows),
            IsSaved = false,
        },
        new("automix", "one look, AutoMix-like", PolicyRole.Baseline, PolicyUse.Suite)
        {
            Fit = training => (FittedPolicies)Baselines.OneLook(training.Data, training.Rows, training.Prices),
            IsSaved = false,
        },
        new("threshold-per-stage", "threshold per stage", PolicyRole.Baseline, PolicyUse.Both)
        {
            Fit = training => (FittedPolicies)Baselines.ChainThresholds(training.Data, training.Rows, training.Prices),
        },
        new("threshold", "one threshold", PolicyRole.Baseline, PolicyUse.Both)
        {
            Fit = training => (FittedPolicies)Baselines.CommonThreshold(training.Data, training.Rows),
        },
        new("mixture", "mixture of single models", PolicyRole.Baseline, PolicyUse.Evaluate | PolicyUse.Suite)
        {
            Fit = training => (FittedPolicies)Baselines.Mixtures(training.Data, training.Rows),
        },
        new("random", "random mixture", PolicyRole.Baseline, PolicyUse.Both)
        {
            Parameters = _ => [-40, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 40],
            Outcome = Baselines.RandomStop,
        },
        new(Oracle, "oracle (not attainable)", PolicyRole.Limit, PolicyUse.Both | PolicyUse.Suite)
        {
            Parameters = training => training.Prices,
            Outcome = Baselines.Oracle,
        },
        new(Ceiling, "default, fitted on the test part (not attainable)", PolicyRole.Limit, PolicyUse.None),
        new(Given, "the given policy file", PolicyRole.Baseline, PolicyUse.None),
    ];

    /// <summary>The forms in which policies are saved.</summary>
    internal static IReadOnlyList<PolicyForm> Forms { get; } =
    [new ThresholdCascadeForm(), new PlannedPolicyForm(), new SubsetPolicyForm()];

    /// <summary>The families that a comparison of a cascade shows, single models included for `run`, the limits last.</summary>
    public static IReadOnlyList<PolicyFamily> For(PolicyUse use, int stages)
    {
        PolicyFamily[] shown = [.. Families.Where(f => f.Use.HasFlag(use) && stages <= f.MaxStages)];
        PolicyFamily[] singles = use == PolicyUse.Run ? [.. Enumerable.Range(1, stages).Select(k => Single(k, stages))] : [];
        return [.. shown.Where(f => f.Role != PolicyRole.Limit), .. singles, .. shown.Where(f => f.Role == PolicyRole.Limit)];
    }

    /// <summary>Names of the families that can be calibrated, saved and served.</summary>
    public static IReadOnlyList<string> Served { get; } = [.. Families.Where(f => f.Fit is not null && f.IsSaved).Select(f => f.Name)];

    /// <summary>A family by name; null where there is none of that name.</summary>
    public static PolicyFamily? Find(string name) => Families.FirstOrDefault(f => f.Name == name);

    /// <summary>The name of the policy that always runs one stage (from 1).</summary>
    public static string SingleName(int stage) => $"{Fixed}{stage}";

    /// <summary>Whether a policy always runs one model.</summary>
    public static bool IsSingle(string name) => name.StartsWith(Fixed, StringComparison.Ordinal);

    /// <summary>The stage (from 1) that a single-model policy runs; 0 where the name does not say.</summary>
    public static int StageOf(string name) => IsSingle(name) && int.TryParse(name.AsSpan(Fixed.Length), out int stage) ? stage : 0;

    /// <summary>The name for people; the name itself for a policy that is not known here.</summary>
    public static string Label(string name) => IsSingle(name) ? "one model alone" : Find(name)?.Label ?? name;

    /// <summary>Rank in listings: the order of the families, single models before the limits, unknown names last.</summary>
    public static int Rank(string name)
    {
        int limits = Families.Count + RecordedCascade.MaxStages;
        if (IsSingle(name))
            return Families.Count + Math.Clamp(StageOf(name), 0, RecordedCascade.MaxStages - 1);
        for (int i = 0; i < Families.Count; i++)
            if (Families[i].Name == name)
                return Families[i].Role == PolicyRole.Limit ? limits + i : i;
        return limits + Families.Count;
    }

    private static PolicyFamily Planned(string name, string label, PolicyRole role, PolicyUse use, Func<PolicyTraining, FittedPlan> plan) =>
        new(name, label, role, use) { Fit = training => FittedPolicies.From(plan(training)) };

    private static PolicyFamily Single(int stage, int stages) =>
        new(SingleName(stage), Label(SingleName(stage)), PolicyRole.Single, PolicyUse.Run)
        {
            Fit = _ => (FittedPolicies)new FittedFamily(SingleName(stage), [double.NaN], [ThresholdCascade.Fixed(stages, stage - 1)]),
        };
}
