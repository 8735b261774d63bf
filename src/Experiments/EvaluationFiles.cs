using System.Globalization;
using System.Text;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// The files of an evaluation: curve.csv and summary.csv (fixed headers), metrics.csv (every figure with its intervals)
/// and stops.csv (which model answers how often). Each is written beside its place first and then moved there, so an
/// interrupted run leaves no half-written file.
/// </summary>
public static class EvaluationFiles
{
    /// <summary>Writes all files into a folder, which is made when it does not exist.</summary>
    /// <exception cref="ToolkitException">The folder cannot be written to.</exception>
    public static void Write(EvaluationReport report, string folder)
    {
        var curve = new StringBuilder("policy,lambda,cost,quality\n");
        var stops = new StringBuilder("policy,lambda,model,share\n");
        var summary = new StringBuilder("policy,auc,cost_at_98pct,quality_max\n");
        var metrics = new StringBuilder("policy,metric,value,low,high,difference,difference_low,difference_high\n");
        foreach (var policy in report.Policies)
        {
            foreach (var p in policy.Points)
            {
                Row(curve, policy.Policy, p.Lambda, p.Cost, p.Quality);
                for (var k = 0; k < p.StopShare.Length; k++)
                    if (!double.IsNaN(p.StopShare[k]))
                        Row(stops, policy.Policy, p.Lambda, Quote(report.Models[k]), p.StopShare[k]);
            }
            Row(summary, policy.Policy, policy["auc"].Value, policy["cost_at_98pct"].Value, policy["quality_max"].Value);
            foreach (var m in policy.Metrics)
                Row(metrics, policy.Policy, m.Name, m.Value, m.Low, m.High, m.Difference, m.DifferenceLow, m.DifferenceHigh);
        }

        Write(folder, ("curve.csv", curve), ("summary.csv", summary), ("metrics.csv", metrics), ("stops.csv", stops));
    }

    /// <summary>Writes seeds.csv: the figures of every policy, size of the train part and seed.</summary>
    /// <exception cref="ToolkitException">The folder cannot be written to.</exception>
    public static void WriteStudy(IReadOnlyList<StudyRow> rows, int firstSeed, string folder)
    {
        var seeds = new StringBuilder($"policy,train_queries,seed,{string.Join(',', CurveMetrics.Names())},best_model_cost\n");
        foreach (StudyRow row in rows)
            for (var s = 0; s < row.Metrics.Length; s++)
                Row(seeds, [row.Policy, row.TrainQueries, firstSeed + s, .. row.Metrics[s].Cast<object>(), row.ModelCost[s]]);
        Write(folder, ("seeds.csv", seeds));
    }

    private static void Write(string folder, params (string Name, StringBuilder Text)[] files)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{folder}: expected a folder that can be written to, got: {e.Message}", e);
        }
        foreach (var (name, text) in files)
            AtomicFile.Write(Path.Combine(folder, name), text.ToString());
    }

    /// <summary>Numbers in the shortest form that reads back exactly; infinities as inf, so that other languages read them.</summary>
    private static void Row(StringBuilder to, params object[] cells) =>
        to.AppendJoin(
                ',',
                cells.Select(cell =>
                    cell switch
                    {
                        double.PositiveInfinity => "inf",
                        double.NegativeInfinity => "-inf",
                        double x => x.ToString("R", CultureInfo.InvariantCulture),
                        _ => cell.ToString(),
                    }
                )
            )
            .Append('\n');

    private static string Quote(string text) => text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"")}\"";
}
