using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Experiments;

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
        IReadOnlyList<StudyRow> rows = Run(TraceReader.ReadTable(options.Traces), options, seeds, sizes, progress);
        EvaluationFiles.WriteStudy(rows, options.Seed, options.Out);
        return rows;
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
