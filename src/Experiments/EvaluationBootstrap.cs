using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

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

/// <summary>
/// Bootstrap intervals of curve metrics. The metrics are functions of the mean costs and qualities of all operating
/// points, so it is enough to resample groups of queries with their sums: groups of a random order are exchangeable,
/// and a resample touches 500 groups instead of a million queries. Each resample serves all policies, so differences
/// are paired.
/// </summary>
internal static class EvaluationBootstrap
{
    public const int Groups = 500;
    private const double Tail = 0.025;

    /// <summary>Metrics of every family, with intervals of the value and of the difference to a reference family.</summary>
    /// <param name="families">Per family, its operating points.</param>
    /// <param name="models">The single models.</param>
    /// <param name="reference">Number of the reference family.</param>
    /// <param name="resamples">Resamples; 0 for no intervals (NaN).</param>
    /// <param name="seed">Seed of the resamples.</param>
    public static MetricEstimate[][] Estimate(
        IReadOnlyList<GroupedOutcome[]> families,
        GroupedOutcome[] models,
        int reference,
        int resamples,
        int seed
    )
    {
        var ones = Enumerable.Repeat(1, models[0].Cost.Length).ToArray();
        var names = CurveMetrics.Names();
        var point = Metrics(families, models, ones);
        var samples = Samples(families, models, resamples, seed);
        return Estimate(names, point, samples, reference);
    }

    /// <summary>Per resample and family, the metrics in the order of CurveMetrics.Names.</summary>
    public static double[][][] Samples(IReadOnlyList<GroupedOutcome[]> families, GroupedOutcome[] models, int resamples, int seed)
    {
        var groups = models[0].Cost.Length;

        // The draws come first, in one sequence, so that the result does not depend on the number of threads.
        var random = new Random(seed);
        var draws = new int[resamples][];
        for (var b = 0; b < resamples; b++)
        {
            draws[b] = new int[groups];
            for (var g = 0; g < groups; g++)
                draws[b][random.Next(groups)]++;
        }
        var samples = new double[resamples][][];
        Parallel.For(0, resamples, b => samples[b] = Metrics(families, models, draws[b]));
        return samples;
    }

    /// <summary>Estimates from the metrics at the point and of each resample.</summary>
    public static MetricEstimate[][] Estimate(string[] names, double[][] point, double[][][] samples, int reference) =>
        point
            .Select(
                (_, f) =>
                    names
                        .Select(
                            (name, m) =>
                            {
                                var (low, high) = Interval(samples.Select(s => s[f][m]));
                                var (lowDifference, highDifference) = Interval(samples.Select(s => s[f][m] - s[reference][m]));
                                return new MetricEstimate(
                                    name,
                                    point[f][m],
                                    low,
                                    high,
                                    point[f][m] - point[reference][m],
                                    lowDifference,
                                    highDifference
                                );
                            }
                        )
                        .ToArray()
            )
            .ToArray();

    /// <summary>Per family, the metrics when group g counts weight[g] times.</summary>
    internal static double[][] Metrics(IReadOnlyList<GroupedOutcome[]> families, GroupedOutcome[] models, int[] weight)
    {
        var queries = 0.0;
        var total = models[0].Queries;
        for (var g = 0; g < weight.Length; g++)
            queries += (double)weight[g] * ((total - g + weight.Length - 1) / weight.Length);
        var modelCost = Array.ConvertAll(models, m => Dot(m.Cost, weight) / queries);
        var modelQuality = Array.ConvertAll(models, m => Dot(m.Quality, weight) / queries);
        return families
            .Select(points =>
                CurveMetrics
                    .Compute(
                        Array.ConvertAll(points, p => Dot(p.Cost, weight) / queries),
                        Array.ConvertAll(points, p => Dot(p.Quality, weight) / queries),
                        modelCost,
                        modelQuality
                    )
                    .Values()
            )
            .ToArray();
    }

    private static double Dot(double[] sums, int[] weight)
    {
        var s = 0.0;
        for (var g = 0; g < sums.Length; g++)
            s += sums[g] * weight[g];
        return s;
    }

    /// <summary>Percentile interval; NaN when a resample has no value or there are no resamples.</summary>
    internal static (double Low, double High) Interval(IEnumerable<double> values)
    {
        var sorted = values.ToArray();
        if (sorted.Length == 0 || sorted.Any(double.IsNaN))
            return (double.NaN, double.NaN);
        Array.Sort(sorted);
        var k = (int)(Tail * (sorted.Length - 1));
        return (sorted[k], sorted[sorted.Length - 1 - k]);
    }
}
