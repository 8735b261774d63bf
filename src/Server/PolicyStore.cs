using System.Collections.Concurrent;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Server;

/// <summary>A stopping policy as the server uses it.</summary>
/// <param name="Kind"><c>file</c>, <c>lambda</c>, <c>quality_target</c> or <c>learner</c>.</param>
/// <param name="Lambda">Price of cost; NaN for a policy without one.</param>
/// <param name="Confidence">From a stage and its features to the confidence that the policy expects.</param>
/// <param name="ExpectedCost">Mean cost of a query, estimated on queries that did not fit the policy; NaN where unknown.</param>
/// <param name="ExpectedQuality">Mean quality, likewise.</param>
internal sealed record ServedPolicy(
    string Kind,
    double Lambda,
    IStoppingPolicy Policy,
    Func<int, ConfidenceFeatures, double> Confidence,
    double ExpectedCost,
    double ExpectedQuality
)
{
    /// <summary>Whether the last stage's answer is always returned once it is there, so that it may be streamed as it is written.</summary>
    public bool LastIsFinal { get; init; }

    /// <summary>Tells questions that are unlike all calibration queries; null where that is not known.</summary>
    public Familiarity? Familiarity { get; init; }

    /// <summary>Turns a question and its answers into what the policy sees; null for a policy that sees the confidences alone.</summary>
    public FeaturePipeline? Features { get; init; }

    /// <summary>When an answer is withheld; null for a policy that always answers.</summary>
    public Abstention? Abstention { get; init; }

    /// <summary>What tells two policy files apart; empty for other policies.</summary>
    public string Identity { get; init; } = "";

    /// <summary>State of the learner that drew this policy; -1 for a policy that no learner drew.</summary>
    public int Version { get; init; } = -1;
}

/// <summary>The policies that requests may choose among: the default, one for each price of cost, one for each target of quality.</summary>
internal sealed class PolicyStore
{
    private const int MostCached = 512;

    private readonly CascadeFile _cascade;
    private readonly CascadePlans? _plans;
    private readonly bool _recall;
    private readonly ConcurrentDictionary<double, ServedPolicy> _byLambda = new();
    private readonly Lazy<ServedPolicy[]> _front;

    /// <param name="plans">Null for a cascade without calibration records; requests then cannot choose.</param>
    /// <param name="file">The default policy; null for the plan of <paramref name="lambda"/>.</param>
    public PolicyStore(CascadeFile cascade, CascadePlans? plans, PolicyFile? file, double lambda)
    {
        (_cascade, _plans, _recall) = (cascade, plans, cascade.Recall);
        Default = file is null ? ForLambda(lambda) : FromFile(file);
        // From a price that buys the first stage only down to quality at any price.
        double[] lambdas = [.. Enumerable.Range(0, 24).Select(i => Math.Round(Math.Pow(10, -i / 6.0) / cascade.Stages[0].Cost, 6)), 0];
        _front = new Lazy<ServedPolicy[]>(() => plans is null ? [] : [.. lambdas.Select(ForLambda)]);
    }

    /// <summary>What answers requests that choose nothing.</summary>
    public ServedPolicy Default { get; private set; }

    /// <summary>Takes another policy file as the default.</summary>
    /// <exception cref="ToolkitException">It is of another cascade; the default stays.</exception>
    public void Replace(PolicyFile file) => Default = FromFile(file);

    /// <summary>Takes one of the front's plans as the default.</summary>
    public void Use(ServedPolicy plan) => Default = plan;

    /// <summary>Plans from the cheapest behaviour to the dearest; empty without calibration records.</summary>
    public IReadOnlyList<ServedPolicy> Front => _front.Value;

    /// <summary>The policy that a request asks for, or null when it asks for none.</summary>
    public ServedPolicy? Chosen(OpenAiRequest request)
    {
        if (double.IsNaN(request.Lambda) && double.IsNaN(request.QualityTarget))
            return null;
        string key = double.IsNaN(request.Lambda) ? "quality_target" : "lambda";
        if (_plans is null)
            throw ApiError.BadRequest(
                "this server has a policy file and no calibration records, so a request cannot choose",
                key,
                "unsupported_parameter"
            );
        if (key == "lambda")
            return ForLambda(request.Lambda);
        return Front.FirstOrDefault(policy => policy.ExpectedQuality >= request.QualityTarget) is { } cheapest
            ? cheapest with
            {
                Kind = key,
            }
            : throw ApiError.BadRequest(
                FormattableString.Invariant(
                    $"expected at most {Front.Max(policy => policy.ExpectedQuality):0.####} (what calibration expects at any price), got {request.QualityTarget}"
                ),
                key
            );
    }

    private ServedPolicy FromFile(PolicyFile file)
    {
        file.RequireModels([.. _cascade.Stages.Select(stage => stage.Name)], _cascade.File);
        file.RequireLive();
        return new ServedPolicy("file", file.Lambda, file.Policy, file.Confidence, file.Measured.Cost, file.Measured.Quality)
        {
            Familiarity = file.Familiarity,
            Features = file.Features,
            Abstention = file.Abstention,
            Identity =
                $"{file.Origin.Sha256[..Math.Min(12, file.Origin.Sha256.Length)]}:{file.Origin.Seed}:{file.Guarantee.Candidates}:{file.Guarantee.Passed}",
        };
    }

    private ServedPolicy ForLambda(double lambda)
    {
        if (_plans is null)
            throw new ToolkitException("lambda: expected a cascade with calibration records, got one without");
        if (_byLambda.TryGetValue(lambda, out ServedPolicy? known))
            return known;
        Plan plan = _plans.Plan(lambda);
        if (_byLambda.Count >= MostCached)
            _byLambda.Clear(); // the plans of the front are kept in the front
        return _byLambda[lambda] = new ServedPolicy(
            "lambda",
            lambda,
            plan.Policy,
            _plans.Calibration.Confidence,
            plan.HeldOutCost,
            plan.HeldOutQuality
        )
        {
            LastIsFinal = !_recall,
            Familiarity = _plans.Familiarity,
            Features = _plans.Features,
        };
    }

    /// <summary>
    /// Least confidence of the stage that ran last from which on the policy stops, all else as it is; 0 where it always
    /// stops, NaN where it never does. Found on a grid of 1/200.
    /// </summary>
    /// <param name="context">What the policy sees of the question; empty for one without features.</param>
    public static double Threshold(IStoppingPolicy policy, ReadOnlySpan<double> context, IReadOnlyList<StageAnswer> turns)
    {
        const int grid = 200;
        var confidence = new double[policy.Stages];
        var labels = new int[policy.Stages];
        Array.Fill(confidence, double.NaN);
        Array.Fill(labels, -1);
        uint ran = 0;
        foreach (StageAnswer turn in turns)
        {
            ran |= 1u << turn.Stage;
            confidence[turn.Stage] = turn.Confidence;
            labels[turn.Stage] = turn.Label;
        }
        int i = grid;
        for (; i >= 0; i--)
        {
            confidence[turns[^1].Stage] = (double)i / grid;
            if (!policy.Decide(new Observation(ran, confidence, labels, context)).Stop)
                break;
        }
        return i == grid ? double.NaN : (i + 1.0) / grid;
    }
}
