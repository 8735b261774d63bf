using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What to evaluate, and how.</summary>
/// <param name="Traces">The trace file.</param>
/// <param name="Out">The folder to write to; it is made when it does not exist.</param>
public sealed record EvaluationOptions(string Traces, string Out)
{
    /// <summary>Share of the queries to fit on, strictly between 0 and 1; the rest is the test part.</summary>
    public double TrainFraction { get; init; } = 0.5;

    /// <summary>Fit on at most this many queries of the train part; null for all.</summary>
    public int? TrainQueries { get; init; }

    /// <summary>What the policies are to save: the traces' costs, the seconds that answers took, or both.</summary>
    public TraceObjective Objective { get; init; }

    /// <summary>Seed of the split and of the bootstrap.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Bootstrap resamples of the test part; 0 for no intervals.</summary>
    public int Resamples { get; init; } = 1000;

    /// <summary>
    /// Whether to add the row `default-ceiling`: the default policy fitted on the test queries themselves. Nobody can have
    /// it; it shows how much more calibration queries could bring at most.
    /// </summary>
    public bool Ceiling { get; init; }

    /// <summary>The comparison whose families compete.</summary>
    internal PolicyUse Use { get; init; } = PolicyUse.Evaluate;

    /// <summary>Whether to take the default policy apart, and to fit it on parts of the queries (EvaluationReport.Explained, Learning).</summary>
    public bool Explain { get; init; }
}

/// <summary>
/// `toolkit evaluate`: fits every policy family on the train part of a trace file, replays it on the test part, and
/// writes the curves and figures.
/// </summary>
public static class Evaluation
{
    /// <summary>Reads the traces, evaluates, and writes the report's files into the folder.</summary>
    /// <param name="options">What to evaluate.</param>
    /// <param name="progress">Told in words what is being done; may be null.</param>
    /// <exception cref="ToolkitException">A fault in the file or the options; nothing has been written then.</exception>
    public static EvaluationReport Run(EvaluationOptions options, IProgress<string>? progress = null)
    {
        progress?.Report($"reading {options.Traces}");
        var table = TraceReader.ReadTable(options.Traces, objective: options.Objective);
        EvaluationReport report = Run(table, options, progress);
        report.Write(options.Out);
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
        var training = new PolicyTraining(data, train, table.Features);
        IReadOnlyList<ExplainedPoint> explained = [];
        EvaluationHeadline? headline = null;
        LearningCurve? learning = null;
        var families = new List<(string Name, double[] Parameter, GroupedOutcome[] Points, string Estimator)>();
        foreach (PolicyFamily family in PolicyRegistry.For(options.Use, data.Stages))
        {
            progress?.Report($"fitting {family.Label} on {train.Length} queries");
            if (family.Fit is not { } fit)
            {
                double[] parameters = family.Parameters!(training);
                families.Add((family.Name, parameters, Map(parameters, x => family.Outcome!(data, test, x)), ""));
                continue;
            }
            if (fit(training) is not { } fitted)
                continue;
            string estimator = Describe(fitted, table.Models);
            if (family.Role == PolicyRole.Default)
                estimator = $"{PolicyRegistry.Label(training.Default.Name)}{(estimator == "" ? "" : $"; {estimator}")}";
            GroupedOutcome[] outcomes = fitted.Replay(data, test, groups);
            families.Add((family.Name, fitted.Family.Parameter, outcomes, estimator));
            if (family.Role == PolicyRole.Default)
                headline = EvaluationHeadline.From(table, train, fitted, outcomes, models, options.Resamples, options.Seed);
            if (family.Role == PolicyRole.Default && options.Explain)
            {
                explained = EvaluationExplanation.Make(fitted, data, test);
                progress?.Report("fitting on parts of them, for the learning curve");
                PolicyFamily own = PolicyRegistry.Find(training.Default.Name)!;
                learning = LearningCurve.From(table, train, test, own, outcomes, models, options.Resamples, options.Seed);
            }
        }
        if (options.Ceiling)
        {
            progress?.Report("fitting on the test part, for the ceiling");
            FittedPolicies ceiling = new PolicyTraining(data, test, table.Features).Default.Policies;
            families.Add(
                (PolicyRegistry.Ceiling, ceiling.Family.Parameter, ceiling.Replay(data, test, groups), Describe(ceiling, table.Models))
            );
        }

        progress?.Report($"resampling {options.Resamples} times");
        var reference = families.FindIndex(f => f.Name == PolicyRegistry.Reference);
        GroupedOutcome[][] points = [.. families.Select(f => f.Points)];
        double[][] point = EvaluationBootstrap.Metrics(points, models, [.. Enumerable.Repeat(1, groups)]);
        double[][][] samples = EvaluationBootstrap.Samples(points, models, options.Resamples, options.Seed);
        var metrics = EvaluationBootstrap.Estimate(CurveMetrics.Names(), point, samples, reference);
        return new(
            table.Models,
            Array.ConvertAll(models, m => m.MeanCost),
            Array.ConvertAll(models, m => m.MeanQuality),
            train.Length,
            test.Length,
            families.Select((f, i) => new PolicyEvaluation(f.Name, Points(f.Parameter, f.Points), metrics[i], f.Estimator)).ToArray()
        )
        {
            RepeatedIds = table.RepeatedIds,
            Explained = explained,
            Headline = headline,
            Learning = learning,
            ModelRows = ModelRow.From(table, test, training.Featured?.Described),
            Candidates = training.Default.Candidates,
            Samples = samples,
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

    private static string Describe(FittedPolicies fitted, IReadOnlyList<string> models)
    {
        if (fitted.Plan?.Settings is not { } s)
            return "";
        string of = fitted.Featured is { } featured ? $"stages {string.Join(" ", featured.Kept.Select(k => models[k]))}; " : "";
        return of
            + FormattableString.Invariant(
                $"knots {s.Shape.Knots}, products {(s.Shape.Products ? "yes" : "no")}, penalty {s.Penalty}, realised {s.Realised}, window {s.Window}"
            );
    }
}

/// <summary>The figures of a policy for one size of the train part and one seed; see CurveMetrics for what they are.</summary>
[EvaluationTable("seeds.csv")]
public sealed record SplitRow(
    string Policy,
    int TrainQueries,
    [Column(Unbounded = true)] int Seed,
    [Column(Unit = true)] double Auc,
    [Column("cost_at_95pct", Unbounded = true)] double CostAt95Percent,
    [Column("cost_at_98pct", Unbounded = true)] double CostAt98Percent,
    [Column("cost_at_100pct", Unbounded = true)] double CostAt100Percent,
    [Column(Unit = true)] double QualityMax,
    [Column(Unit = true)] double Aiq,
    [Column(Unbounded = true)] double Apgr,
    [Column(Unbounded = true)] double Cpt50,
    [Column(Unbounded = true)] double Cpt80,
    double BestModelCost
);

/// <summary>One policy family over all seeds of a study, for one size of the train part.</summary>
/// <param name="Policy">Name of the family.</param>
/// <param name="TrainQueries">Queries that it was fitted on.</param>
/// <param name="Metrics">Per seed, the figures in the order of CurveMetrics.Names.</param>
/// <param name="ModelCost">Per seed, what the best single model costs on the test part.</param>
public sealed record StudyRow(string Policy, int TrainQueries, double[][] Metrics, double[] ModelCost)
{
    /// <summary>One figure of every seed.</summary>
    public double[] Of(string metric)
    {
        int index = Array.IndexOf(OptimalStopping.Theory.Policies.CurveMetrics.Names(), metric);
        return Array.ConvertAll(Metrics, values => values[index]);
    }

    /// <summary>One row for each seed, from the first on.</summary>
    internal IEnumerable<SplitRow> Splits(int firstSeed) =>
        Metrics.Select(
            (m, s) => new SplitRow(Policy, TrainQueries, firstSeed + s, m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8], ModelCost[s])
        );
}

/// <summary>
/// `toolkit evaluate --seeds N`: the same evaluation for N splits and several sizes of the train part. One split says how
/// sure a figure is for the queries at hand; several say how much it depends on which queries were fitted on.
/// </summary>
public static class EvaluationStudy
{
    /// <summary>Evaluates for the seeds options.Seed, options.Seed + 1, ... and writes seeds.csv.</summary>
    /// <param name="seeds">Number of splits, at least 1.</param>
    /// <param name="sizes">Train queries at most, one study each; null for the whole train part.</param>
    /// <exception cref="ToolkitException">A fault in the file or the options; nothing has been written then.</exception>
    public static IReadOnlyList<StudyRow> Run(
        EvaluationOptions options,
        int seeds,
        IReadOnlyList<int?> sizes,
        IProgress<string>? progress = null
    )
    {
        progress?.Report($"reading {options.Traces}");
        IReadOnlyList<StudyRow> rows = Run(
            TraceReader.ReadTable(options.Traces, objective: options.Objective),
            options,
            seeds,
            sizes,
            progress
        );
        Write(rows, options);
        return rows;
    }

    /// <summary>Writes seeds.csv into the options' folder, which is made when it does not exist.</summary>
    /// <exception cref="ToolkitException">The folder cannot be written to.</exception>
    public static void Write(IReadOnlyList<StudyRow> rows, EvaluationOptions options)
    {
        EvaluationReport.MakeFolder(options.Out);
        ResultTable.Write(options.Out, rows.SelectMany(row => row.Splits(options.Seed)));
    }

    /// <summary>The same for traces in memory; writes nothing.</summary>
    public static IReadOnlyList<StudyRow> Run(
        TraceTable table,
        EvaluationOptions options,
        int seeds,
        IReadOnlyList<int?> sizes,
        IProgress<string>? progress = null
    )
    {
        if (seeds < 1)
            throw new ToolkitException($"seeds: expected at least 1, got {seeds}");
        var rows = new List<StudyRow>();
        foreach (int? size in sizes)
        {
            var reports = new EvaluationReport[seeds];
            for (int s = 0; s < seeds; s++)
            {
                progress?.Report($"split {s + 1} of {seeds}{(size is null ? "" : $", {size} train queries")}");
                reports[s] = Evaluation.Run(table, options with { Seed = options.Seed + s, Resamples = 0, TrainQueries = size });
            }
            double[] best = Array.ConvertAll(reports, r => r.ModelCost[Array.IndexOf(r.ModelQuality, r.ModelQuality.Max())]);
            rows.AddRange(
                reports[0]
                    .Policies.Select(p => new StudyRow(
                        p.Policy,
                        reports[0].TrainQueries,
                        Array.ConvertAll(reports, r => r[p.Policy].Metrics.Select(m => m.Value).ToArray()),
                        best
                    ))
            );
        }
        return rows;
    }
}
