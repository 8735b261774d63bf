namespace OptimalStopping.Experiments;

/// <summary>One operating point of a policy family on the test part.</summary>
/// <param name="Lambda">The price of cost, or the family's own parameter.</param>
/// <param name="Cost">Mean cost per query.</param>
/// <param name="Quality">Mean quality.</param>
/// <param name="StopShare">Share of the queries that each stage answers; NaN where the policy mixes stages.</param>
public sealed record CurvePoint(double Lambda, double Cost, double Quality, double[] StopShare);

/// <summary>A figure with its 95 % bootstrap intervals; the difference is to the pair envelope, paired by query.</summary>
public sealed record MetricEstimate(
    string Name,
    double Value,
    double Low,
    double High,
    double Difference,
    double DifferenceLow,
    double DifferenceHigh
);

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

    /// <summary>The default policy taken apart, in order of cost.</summary>
    public IReadOnlyList<ExplainedPoint> Explained { get; init; } = [];

    /// <summary>A family by name.</summary>
    public PolicyEvaluation this[string policy] => Policies.First(p => p.Policy == policy);
}
