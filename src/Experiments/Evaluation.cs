using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// `toolkit evaluate`: fits every policy family on the train part of a trace file, replays it on the test part, and
/// writes the curves and figures.
/// </summary>
public static class Evaluation
{
    /// <summary>Name of the family that the others are compared with.</summary>
    public const string Reference = "pair-envelope";

    /// <summary>Name of the family that was fitted on the test part itself.</summary>
    public const string Ceiling = "recall-ceiling";

    /// <summary>Reads the traces, evaluates, and writes the files of EvaluationFiles into the folder.</summary>
    /// <param name="options">What to evaluate.</param>
    /// <param name="progress">Told in words what is being done; may be null.</param>
    /// <exception cref="ToolkitException">A fault in the file or the options; nothing has been written then.</exception>
    public static EvaluationReport Run(EvaluationOptions options, IProgress<string>? progress = null)
    {
        progress?.Report($"reading {options.Traces}");
        var table = TraceReader.ReadTable(options.Traces);
        var report = Run(table, options, progress) with { RepeatedIds = table.RepeatedIds };
        EvaluationFiles.Write(report, options.Out);
        return report;
    }

    /// <summary>Evaluates traces that are already in memory; writes nothing.</summary>
    public static EvaluationReport Run(TraceTable table, EvaluationOptions options, IProgress<string>? progress = null)
    {
        var data = table.Cascade;
        var split = EvaluationSplit.Make(data.Queries, options.TrainFraction, options.Seed, options.Traces);
        var train = split.Train;
        if (options.TrainQueries is { } most)
        {
            if (most < 2)
                throw new ToolkitException($"train queries: expected at least 2, got {most}");
            if (most < train.Length)
                train = train[..most];
        }
        var test = split.Test;
        var groups = Math.Min(EvaluationBootstrap.Groups, test.Length);

        var models = Replay(
            Enumerable.Range(0, data.Stages).Select(k => (IStoppingPolicy)ThresholdCascade.Fixed(data.Stages, k)).ToArray()
        );
        IReadOnlyList<ExplainedPoint> explained = [];
        var families = new List<(string Name, double[] Parameter, GroupedOutcome[] Points, string Estimator)>();
        foreach (var actions in new[] { ActionSet.Recall, ActionSet.Jump, ActionSet.Chain })
        {
            progress?.Report($"fitting {actions.ToString().ToLowerInvariant()} on {train.Length} queries");
            var plan = PlannedFamily.Fit(data, train, actions);
            families.Add((plan.Family.Name, plan.Family.Parameter, Replay(plan.Family.Policies), Describe(plan.Settings)));
            if (actions == ActionSet.Recall && options.Explain)
                explained = EvaluationExplanation.Make(plan.Family, data, test);
        }
        if (options.Ceiling)
        {
            progress?.Report("fitting on the test part, for the ceiling");
            var plan = PlannedFamily.Fit(data, test, ActionSet.Recall);
            families.Add((Ceiling, plan.Family.Parameter, Replay(plan.Family.Policies), Describe(plan.Settings)));
        }
        progress?.Report("fitting the baselines");
        var prices = PlannedFamily.Prices(data, train, 40);
        var baselines = new List<FittedFamily> { Baselines.PairEnvelope(data, train) };
        if (data.Stages <= RouterEstimates.MaxStages)
            baselines.Add(CascadeRouting.Fit(data, train, prices));
        baselines.Add(Baselines.ChainThresholds(data, train, prices));
        baselines.Add(Baselines.CommonThreshold(data, train));
        baselines.Add(Baselines.Mixtures(data, train));
        foreach (var family in baselines)
            families.Add((family.Name, family.Parameter, Replay(family.Policies), ""));
        var tilts = new[] { -40, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 40 };
        families.Add(("random", tilts, Map(tilts, t => Baselines.RandomStop(data, test, t)), ""));
        families.Add(("oracle", prices, Map(prices, l => Baselines.Oracle(data, test, l)), ""));

        progress?.Report($"resampling {options.Resamples} times");
        var reference = families.FindIndex(f => f.Name == Reference);
        var metrics = EvaluationBootstrap.Estimate(
            families.Select(f => f.Points).ToArray(),
            models,
            reference,
            options.Resamples,
            options.Seed
        );
        return new(
            table.Models,
            Array.ConvertAll(models, m => m.MeanCost),
            Array.ConvertAll(models, m => m.MeanQuality),
            train.Length,
            test.Length,
            families.Select((f, i) => new PolicyEvaluation(f.Name, Points(f.Parameter, f.Points), metrics[i], f.Estimator)).ToArray()
        )
        {
            Explained = explained,
        };

        GroupedOutcome[] Replay(IStoppingPolicy[] policies) => FamilyReplay.Run(policies, data, test, groups);

        GroupedOutcome[] Map(double[] parameters, Func<double, ReplayOutcome> run)
        {
            var result = new GroupedOutcome[parameters.Length];
            Parallel.For(0, parameters.Length, i => result[i] = GroupedOutcome.FromOutcome(run(parameters[i]), data.Stages, groups));
            return result;
        }
    }

    private static CurvePoint[] Points(double[] parameter, GroupedOutcome[] outcomes) =>
        outcomes
            .Select((o, i) => new CurvePoint(parameter[i], o.MeanCost, o.MeanQuality, Array.ConvertAll(o.Stops, s => s / o.Queries)))
            .OrderBy(p => p.Cost)
            .ThenBy(p => p.Quality)
            .ToArray();

    private static string Describe(EstimatorSettings s) =>
        FormattableString.Invariant(
            $"knots {s.Shape.Knots}, products {(s.Shape.Products ? "yes" : "no")}, penalty {s.Penalty}, realised {s.Realised}, window {s.Window}"
        );
}
