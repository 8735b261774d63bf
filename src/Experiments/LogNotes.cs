using System.Globalization;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// What a trace file cannot tell, in sentences: models that are recorded on part of the queries only, and whether those
/// queries are like the others; confidences that are missing.
/// </summary>
public static class LogNotes
{
    /// <summary>Fewer queries than this give no interval that means anything.</summary>
    public const int LeastQueries = 20;

    /// <summary>
    /// The notes on a file, the gravest first; none where every model is recorded on every query with a confidence. That a model is
    /// missing not at random is said when the mean confidence, or quality, of an earlier model differs by more than three standard
    /// errors (Welch) between the queries with and without it. The quality on all queries then lies between what it would be if every
    /// missing answer were wrong and if every one were right.
    /// </summary>
    public static IReadOnlyList<string> Of(TraceTable table)
    {
        RecordedCascade data = table.Cascade;
        var notes = new List<string>();
        if (table.Sorted)
            notes.Add($"the stages are taken in order of their mean cost, not as on the lines: {string.Join(", ", table.Models)}");
        for (int k = 0; k < data.Stages; k++)
        {
            int[] with = [.. Enumerable.Range(0, data.Queries).Where(q => data.IsRecorded(q, k))];
            if (with.Length == data.Queries || with.Length == 0)
                continue;
            double share = with.Length / (double)data.Queries,
                quality = data.MeanQuality(with, k);
            string text =
                $"{table.Models[k]} is recorded on {Percent(share)} of the {data.Queries} queries; its quality there is {Number(quality)}, and on all of them "
                + $"between {Number(share * quality)} and {Number(share * quality + 1 - share)}";
            if (Selection(table, k) is { } how)
                text += $". {how}: its figures, and those of policies that ask it, are about other queries than the rest";
            notes.Add(text);
        }
        if (!Enumerable.Range(0, data.Queries * data.Stages).Any(i => !double.IsNaN(data.Confidence[i])))
            notes.Add(
                "no answer has a confidence: nothing can be decided by it, and every policy is a mixture of single models or a router"
            );
        else
            for (int k = 0; k < data.Stages - 1; k++)
                if (Enumerable.Range(0, data.Queries).All(q => double.IsNaN(data.Confidence[q * data.Stages + k])))
                    notes.Add($"{table.Models[k]} has no confidence on any query: no policy can stop there by it");
        return notes;
    }

    // How the queries with stage k differ from those without it, by the earlier stage that shows it most; null for no sign of it.
    private static string? Selection(TraceTable table, int k)
    {
        RecordedCascade data = table.Cascade;
        (double Z, string Text)? most = null;
        for (int j = 0; j < data.Stages; j++)
        {
            if (j == k)
                continue;
            Compare(data.Confidence, "surer", "less sure");
            Compare(data.Quality, "better", "worse");

            void Compare(double[] values, string more, string less)
            {
                double[] Pick(bool recorded) =>
                    [
                        .. Enumerable
                            .Range(0, data.Queries)
                            .Where(q => data.IsRecorded(q, k) == recorded && !double.IsNaN(values[q * data.Stages + j]))
                            .Select(q => values[q * data.Stages + j]),
                    ];
                double[] with = Pick(true),
                    without = Pick(false);
                if (with.Length < 10 || without.Length < 10)
                    return;
                double a = with.Average(),
                    b = without.Average();
                double error = Math.Sqrt(Variance(with, a) / with.Length + Variance(without, b) / without.Length);
                double z =
                    error > 0 ? (a - b) / error
                    : a == b ? 0
                    : double.PositiveInfinity;
                if (Math.Abs(z) > 3 && Math.Abs(z) > Math.Abs(most?.Z ?? 0))
                    most = (z, $"Where it is, {table.Models[j]} is {(a < b ? less : more)} ({Number(a)}, elsewhere {Number(b)})");
            }
        }
        return most?.Text;
    }

    private static double Variance(double[] values, double mean) => values.Sum(x => (x - mean) * (x - mean)) / (values.Length - 1);

    private static string Percent(double share) => (100 * share).ToString("F1", CultureInfo.InvariantCulture) + " %";

    private static string Number(double x) => x.ToString("F3", CultureInfo.InvariantCulture);
}
