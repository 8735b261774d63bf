using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>A figure with its 95 % bootstrap interval; NaN where it is not defined or nothing was resampled.</summary>
public sealed record SuiteFigure(string Name, double Value, double Low, double High);

/// <summary>A policy on one file, or over all files that it could be fitted on.</summary>
/// <param name="Files">Files that the figures are means over.</param>
/// <param name="Figures">In the order of <see cref="EvaluationSuite.Names"/>.</param>
public sealed record SuitePolicy(string Policy, int Files, IReadOnlyList<SuiteFigure> Figures)
{
    /// <summary>A figure by name.</summary>
    public SuiteFigure this[string name] => Figures.First(f => f.Name == name);
}

/// <summary>The default against one other policy, on the files that both could be fitted on.</summary>
/// <param name="Lead">Mean over the files of the default's area less the other's.</param>
/// <param name="Wins">Files on which the default's area is larger, with the interval of their number.</param>
/// <param name="ClearWins">Files on which the interval of the lead lies above 0.</param>
/// <param name="ClearLosses">Files on which it lies below 0.</param>
public sealed record SuiteLead(string Policy, int Files, SuiteFigure Lead, SuiteFigure Wins, int ClearWins, int ClearLosses);

/// <summary>One trace file of a suite.</summary>
/// <param name="Default">The family that is the default on it.</param>
/// <param name="Leads">The default against every other policy on this file alone.</param>
public sealed record SuiteFile(
    string File,
    IReadOnlyList<string> Models,
    int TrainQueries,
    int TestQueries,
    string Default,
    IReadOnlyList<SuitePolicy> Policies,
    IReadOnlyList<SuiteLead> Leads,
    IReadOnlyList<AblationRow> Ablation
);

/// <summary>What a suite found out.</summary>
/// <param name="Policies">Every policy, means over files.</param>
/// <param name="Leads">The default against every other policy over files.</param>
public sealed record SuiteReport(IReadOnlyList<SuiteFile> Files, IReadOnlyList<SuitePolicy> Policies, IReadOnlyList<SuiteLead> Leads);

/// <summary>
/// `toolkit evaluate --suite`: the field's policies on every trace file of a folder. Figures have no unit, so that files can
/// be pooled: qualities, and costs as shares of the best single model's. That model is always there to be asked, so a share
/// is at most 1, also for a policy that never reaches the quality. Every interval resamples the test queries of each file;
/// it says how sure a figure is for these files, not for other ones.
/// </summary>
public static class EvaluationSuite
{
    /// <summary>The figures: CurveMetrics, with costs and CPT as shares of at most 1.</summary>
    public static IReadOnlyList<string> Names { get; } =
    ["auc", "aiq", "apgr", "cpt50", "cpt80", "cost_at_95pct", "cost_at_98pct", "cost_at_100pct"];

    private static readonly int[] Places = [.. Names.Select(name => Array.IndexOf(CurveMetrics.Names(), name))];

    /// <summary>The trace files of a folder, by name.</summary>
    /// <exception cref="ToolkitException">There is no such folder, or no trace file in it.</exception>
    public static string[] FilesOf(string folder)
    {
        if (!Directory.Exists(folder))
            throw new ToolkitException($"{folder}: expected a folder of trace files, got none");
        string[] files =
        [
            .. Directory
                .EnumerateFiles(folder)
                .Where(file => file.EndsWith(".jsonl", StringComparison.Ordinal) || file.EndsWith(".jsonl.gz", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];
        return files.Length > 0 ? files : throw new ToolkitException($"{folder}: expected trace files (*.jsonl, *.jsonl.gz), got none");
    }

    /// <summary>Evaluates every file of a folder with the same options; writes nothing.</summary>
    /// <param name="options">As for one file; its Traces is the folder.</param>
    /// <param name="ablation">Whether to tell what each group of features brings.</param>
    /// <exception cref="ToolkitException">A fault in a file or the options.</exception>
    public static SuiteReport Run(
        EvaluationOptions options,
        bool ablation,
        IProgress<string>? progress = null,
        CancellationToken cancel = default
    )
    {
        var runs = new List<(SuiteFile File, double[][] Point, double[][][] Samples)>();
        foreach (string file in FilesOf(options.Traces))
        {
            cancel.ThrowIfCancellationRequested();
            progress?.Report($"reading {file}");
            TraceTable table = TraceReader.ReadTable(file, objective: options.Objective);
            EvaluationOptions own = options with { Traces = file, Use = PolicyUse.Suite };
            EvaluationReport report = Evaluation.Run(table, own, progress);
            IReadOnlyList<AblationRow> rows = ablation ? EvaluationAblation.Run(table, own, progress) : [];
            runs.Add(One(Path.GetFileName(file), report, rows));
        }
        string[] policies = [.. PolicyRegistry.For(PolicyUse.Suite, 1).Select(p => p.Name)];
        policies = [.. policies.Where(policy => runs.Any(run => Index(run.File, policy) >= 0))];
        return new SuiteReport(
            [.. runs.Select(run => run.File)],
            [.. policies.Select(policy => Pooled(policy, runs))],
            [.. policies.Where(policy => policy != PolicyRegistry.Default).Select(policy => Lead(policy, runs))]
        );
    }

    private static (SuiteFile, double[][], double[][][]) One(string name, EvaluationReport report, IReadOnlyList<AblationRow> ablation)
    {
        double best = report.ModelCost[Array.IndexOf(report.ModelQuality, report.ModelQuality.Max())];
        double[] Figures(double[] metrics) => [.. Places.Select((place, i) => Share(Names[i], metrics[place], best))];
        double[][] point = [.. report.Policies.Select(p => Figures([.. p.Metrics.Select(m => m.Value)]))];
        double[][][] samples = [.. report.Samples.Select(sample => Array.ConvertAll(sample, Figures))];
        SuitePolicy[] policies =
        [
            .. report.Policies.Select((p, f) => new SuitePolicy(p.Policy, 1, Intervals(point[f], samples.Select(s => s[f])))),
        ];
        var file = new SuiteFile(
            name,
            report.Models,
            report.TrainQueries,
            report.TestQueries,
            report.Policies[0].Estimator.Split(';')[0],
            policies,
            [],
            ablation
        );
        (SuiteFile, double[][], double[][][]) run = (file, point, samples);
        return (
            file with
            {
                Leads = [.. policies.Where(p => p.Policy != PolicyRegistry.Default).Select(p => Lead(p.Policy, [run]))],
            },
            point,
            samples
        );
    }

    private static double Share(string name, double value, double best) =>
        name.StartsWith("cost", StringComparison.Ordinal) ? Math.Min(1, value / best)
        : name.StartsWith("cpt", StringComparison.Ordinal) ? Math.Min(1, value)
        : value;

    private static int Index(SuiteFile file, string policy) => file.Policies.ToList().FindIndex(p => p.Policy == policy);

    private static SuitePolicy Pooled(string policy, List<(SuiteFile File, double[][] Point, double[][][] Samples)> runs)
    {
        var own = runs.Select(run => (run, At: Index(run.File, policy))).Where(x => x.At >= 0).ToArray();
        int resamples = own.Min(x => x.run.Samples.Length);
        // A figure that is not defined on a file (the best model is the cheapest) says nothing there.
        static double Mean(IEnumerable<double> values) => values.Where(v => !double.IsNaN(v)).DefaultIfEmpty(double.NaN).Average();
        double[] Means(Func<((SuiteFile File, double[][] Point, double[][][] Samples) Run, int At), double[]> of) =>
            [.. Enumerable.Range(0, Names.Count).Select(m => Mean(own.Select(x => of((x.run, x.At))[m])))];
        return new SuitePolicy(
            policy,
            own.Length,
            Intervals(Means(x => x.Run.Point[x.At]), Enumerable.Range(0, resamples).Select(b => Means(x => x.Run.Samples[b][x.At])))
        );
    }

    private static SuiteLead Lead(string policy, IReadOnlyList<(SuiteFile File, double[][] Point, double[][][] Samples)> runs)
    {
        var both = runs.Select(run => (run, At: Index(run.File, policy), Own: Index(run.File, PolicyRegistry.Default)))
            .Where(x => x.At >= 0 && x.Own >= 0)
            .ToArray();
        int resamples = both.Min(x => x.run.Samples.Length);
        double[] leads = [.. both.Select(x => x.run.Point[x.Own][0] - x.run.Point[x.At][0])];
        double[][] sampled =
        [
            .. Enumerable
                .Range(0, resamples)
                .Select(b => both.Select(x => x.run.Samples[b][x.Own][0] - x.run.Samples[b][x.At][0]).ToArray()),
        ];
        static double Wins(double[] leads) => leads.Count(lead => lead > 0);
        (double Low, double High)[] ends =
        [
            .. Enumerable.Range(0, both.Length).Select(i => EvaluationBootstrap.Interval(sampled.Select(s => s[i]))),
        ];
        return new SuiteLead(
            policy,
            both.Length,
            Figure("lead", leads.Average(), sampled.Select(s => s.Average())),
            Figure("wins", Wins(leads), sampled.Select(Wins)),
            ends.Count(end => end.Low > 0),
            ends.Count(end => end.High < 0)
        );
    }

    private static SuiteFigure[] Intervals(double[] point, IEnumerable<double[]> samples)
    {
        double[][] all = [.. samples];
        return [.. point.Select((value, m) => Figure(Names[m], value, all.Select(s => s[m])))];
    }

    private static SuiteFigure Figure(string name, double value, IEnumerable<double> samples)
    {
        var (low, high) = EvaluationBootstrap.Interval(samples);
        return new SuiteFigure(name, value, low, high);
    }
}
