using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Experiments;

/// <summary>A point of a policy's curve: mean cost in the file's units and mean quality over the test queries.</summary>
[EvaluationTable("curve.csv")]
public sealed record CurveRow(string Policy, [Column(Unbounded = true)] double Lambda, double Cost, [Column(Unit = true)] double Quality);

/// <summary>Share of the test queries that a model answers at one operating point of a policy.</summary>
[EvaluationTable("stops.csv")]
public sealed record StopRow(string Policy, [Column(Unbounded = true)] double Lambda, string Model, [Column(Unit = true)] double Share);

/// <summary>The figures of a policy that matter most; inf where 98 % of the best model's quality is never reached.</summary>
[EvaluationTable("summary.csv")]
public sealed record SummaryRow(
    string Policy,
    [Column(Unit = true)] double Auc,
    [Column("cost_at_98pct", Unbounded = true)] double CostAt98Percent,
    [Column(Unit = true)] double QualityMax
);

/// <summary>A figure of a policy with its intervals; NaN where it is not defined or nothing was resampled.</summary>
[EvaluationTable("metrics.csv")]
public sealed record MetricRow(
    string Policy,
    string Metric,
    [Column(Unbounded = true)] double Value,
    [Column(Unbounded = true)] double Low,
    [Column(Unbounded = true)] double High,
    [Column(Unbounded = true)] double Difference,
    [Column(Unbounded = true)] double DifferenceLow,
    [Column(Unbounded = true)] double DifferenceHigh
);

/// <summary>One operating point of a policy family on the test part.</summary>
/// <param name="Lambda">The price of cost, or the family's own parameter.</param>
/// <param name="Cost">Mean cost per query.</param>
/// <param name="Quality">Mean quality.</param>
/// <param name="StopShare">Share of the queries that each stage answers; NaN where the policy mixes stages.</param>
public sealed record CurvePoint(double Lambda, double Cost, double Quality, double[] StopShare);

/// <summary>A policy family on the test part.</summary>
/// <param name="Policy">Name of the family.</param>
/// <param name="Points">Operating points in order of cost, chosen on the train part only.</param>
/// <param name="Metrics">Figures in the order of CurveMetrics.Names.</param>
/// <param name="Estimator">How the estimator that cross-validation chose is set; empty for the baselines.</param>
public sealed record PolicyEvaluation(
    string Policy,
    IReadOnlyList<CurvePoint> Points,
    IReadOnlyList<MetricEstimate> Metrics,
    string Estimator
)
{
    /// <summary>A figure by name; see CurveMetrics.Names.</summary>
    public MetricEstimate this[string metric] => Metrics.First(m => m.Name == metric);
}

/// <summary>Everything that an evaluation found out.</summary>
/// <param name="Models">The stages, in the order of the cascade.</param>
/// <param name="ModelCost">Mean cost of each model alone on the test part.</param>
/// <param name="ModelQuality">Mean quality of each model alone on the test part.</param>
/// <param name="TrainQueries">Queries that the policies were fitted on.</param>
/// <param name="TestQueries">Queries that they were evaluated on.</param>
/// <param name="Policies">The families; the toolkit's default comes first.</param>
public sealed record EvaluationReport(
    IReadOnlyList<string> Models,
    double[] ModelCost,
    double[] ModelQuality,
    int TrainQueries,
    int TestQueries,
    IReadOnlyList<PolicyEvaluation> Policies
)
{
    /// <summary>Lines whose id an earlier line has; see <see cref="OptimalStopping.Runtime.Traces.TraceTable.RepeatedIds"/>.</summary>
    public int RepeatedIds { get; init; }

    /// <summary>The answer in one sentence; null where the models cannot be compared.</summary>
    public EvaluationHeadline? Headline { get; init; }

    /// <summary>What more labelled queries would bring; null where it was not asked for, or cannot be told.</summary>
    public LearningCurve? Learning { get; init; }

    /// <summary>What each model and its confidence are worth, in the order of the cascade.</summary>
    public IReadOnlyList<ModelRow> ModelRows { get; init; } = [];

    /// <summary>The families that competed to be the default, from the simplest to the richest.</summary>
    public IReadOnlyList<DefaultCandidate> Candidates { get; init; } = [];

    /// <summary>Per bootstrap resample and policy, the figures in the order of CurveMetrics.Names; the same queries for all policies.</summary>
    internal double[][][] Samples { get; init; } = [];

    /// <summary>The default policy taken apart, in order of cost.</summary>
    public IReadOnlyList<ExplainedPoint> Explained { get; init; } = [];

    /// <summary>A family by name.</summary>
    public PolicyEvaluation this[string policy] => Policies.First(p => p.Policy == policy);

    /// <summary>
    /// Writes curve.csv, stops.csv, summary.csv, metrics.csv and, where there is a learning curve, learning.csv into a folder, which is made when it does not exist.
    /// </summary>
    /// <exception cref="ToolkitException">The folder cannot be written to.</exception>
    public void Write(string folder)
    {
        MakeFolder(folder);
        ResultTable.Write(
            folder,
            Policies.SelectMany(policy => policy.Points.Select(p => new CurveRow(policy.Policy, p.Lambda, p.Cost, p.Quality)))
        );
        ResultTable.Write(
            folder,
            from policy in Policies
            from p in policy.Points
            from k in Enumerable.Range(0, p.StopShare.Length)
            where !double.IsNaN(p.StopShare[k])
            select new StopRow(policy.Policy, p.Lambda, Models[k], p.StopShare[k])
        );
        ResultTable.Write(
            folder,
            Policies.Select(p => new SummaryRow(p.Policy, p["auc"].Value, p["cost_at_98pct"].Value, p["quality_max"].Value))
        );
        ResultTable.Write(
            folder,
            from policy in Policies
            from m in policy.Metrics
            select new MetricRow(policy.Policy, m.Name, m.Value, m.Low, m.High, m.Difference, m.DifferenceLow, m.DifferenceHigh)
        );
        if (Learning is not null)
            ResultTable.Write(folder, Learning.Points);
    }

    /// <summary>Makes the folder for an evaluation's files.</summary>
    /// <exception cref="ToolkitException">It cannot be made.</exception>
    internal static void MakeFolder(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception fault) when (AtomicFile.IsWriteError(fault))
        {
            throw new ToolkitException($"{folder}: expected a folder that can be written to, got: {fault.Message}", fault);
        }
    }
}
