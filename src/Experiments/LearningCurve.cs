using System.Globalization;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>How good the default is when it is fitted on so many queries.</summary>
/// <param name="Queries">Queries that it was fitted on.</param>
/// <param name="Fits">Fits on that many queries, on pieces of the train part that do not overlap.</param>
/// <param name="Auc">Mean area under their curves, on the same test queries.</param>
[EvaluationTable("learning.csv")]
public sealed record LearningPoint(int Queries, int Fits, [Column(Unit = true)] double Auc);

/// <summary>
/// What more labelled queries to fit on would bring. The default's family is fitted again on four quarters and two halves of the
/// train part (of its first 3,000 queries, where it is larger), and the area under its curve is extrapolated by a - b / sqrt(queries), the rate of Theorems 9 and 10. The interval holds the
/// noise of the test queries (bootstrap, paired) and that of the draw of the train part (the spread between the fits of one
/// size). It is an estimate by a fitted curve, not a guarantee.
/// </summary>
/// <param name="Family">The family, by its name in the registry.</param>
/// <param name="Points">The sizes, increasing; the last is the whole train part.</param>
/// <param name="Gain">Area that <see cref="More"/> further queries are expected to bring.</param>
/// <param name="Low">Lower end of its 95 % interval; NaN where nothing was resampled.</param>
/// <param name="High">Upper end.</param>
public sealed record LearningCurve(string Family, IReadOnlyList<LearningPoint> Points, double Gain, double Low, double High)
{
    /// <summary>The further queries that are asked about.</summary>
    public const int More = 500;

    // Fewer queries than this in a quarter tell nothing; more would take longer than the evaluation itself.
    private const int LeastQuarter = 25,
        MostQuarter = 750,
        MostResamples = 400;

    /// <summary>In one sentence.</summary>
    public string Sentence
    {
        get
        {
            LearningPoint half = Points[^2],
                whole = Points[^1];
            string interval = double.IsNaN(Low) ? "" : $" [{Number(Low)}, {Number(High)}]",
                noise = Low <= 0 && High >= 0 ? ", which is within the noise" : "";
            return $"{More} more queries to fit on would bring about {Number(Gain)} points of quality{interval}, averaged over budgets{noise}; "
                + $"going from {half.Queries.ToString("N0", CultureInfo.InvariantCulture)} to {whole.Queries.ToString("N0", CultureInfo.InvariantCulture)} brought {Number(whole.Auc - half.Auc)}.";
        }
    }

    private static string Number(double quality) => (100 * quality).ToString("F2", CultureInfo.InvariantCulture);

    /// <summary>Fits and extrapolates; null where the train part is too small for quarters.</summary>
    /// <param name="train">The train part, in random order.</param>
    /// <param name="family">The default's family, which is fitted again.</param>
    /// <param name="whole">What the default, fitted on the whole train part, does on the test part.</param>
    /// <param name="models">The single models on the test part, in the same groups of queries.</param>
    internal static LearningCurve? From(
        TraceTable table,
        int[] train,
        int[] test,
        PolicyFamily family,
        GroupedOutcome[] whole,
        GroupedOutcome[] models,
        int resamples,
        int seed
    )
    {
        int quarter = Math.Min(train.Length / 4, MostQuarter);
        if (quarter < LeastQuarter)
            return null;
        var fits = new List<(int Queries, GroupedOutcome[] Points)>();
        foreach (int parts in new[] { 4, 2 })
            for (int p = 0, size = 4 * quarter / parts; p < parts; p++)
            {
                var training = new PolicyTraining(table.Cascade, train[(p * size)..((p + 1) * size)], table.Features);
                // A quarter may not show what the family needs (one model is both the cheapest and the best there, say).
                if (family.Fit!(training) is not { } fitted)
                    return null;
                fits.Add((size, fitted.Replay(table.Cascade, test, models[0].Cost.Length)));
            }
        fits.Add((train.Length, whole));
        return Extrapolate(family.Name, [.. fits.Select(fit => fit.Queries)], [.. fits.Select(fit => fit.Points)], models, resamples, seed);
    }

    private static LearningCurve Extrapolate(
        string family,
        int[] queries,
        GroupedOutcome[][] fits,
        GroupedOutcome[] models,
        int resamples,
        int seed
    )
    {
        int auc = Array.IndexOf(CurveMetrics.Names(), "auc");
        double[] areas = Array.ConvertAll(
            EvaluationBootstrap.Metrics(fits, models, [.. Enumerable.Repeat(1, models[0].Cost.Length)]),
            metrics => metrics[auc]
        );
        LearningPoint[] points =
        [
            .. queries.Zip(areas).GroupBy(fit => fit.First).Select(g => new LearningPoint(g.Key, g.Count(), g.Average(fit => fit.Second))),
        ];
        // The draw of n queries moves the area with a variance of about noise / n; so many fits tell it with so many degrees of freedom.
        int freedom = queries.Length - points.Length;
        double noise =
            queries.Zip(areas, (n, area) => n * Math.Pow(area - points.First(p => p.Queries == n).Auc, 2)).Sum() / Math.Max(1, freedom);
        double[][][] samples = EvaluationBootstrap.Samples(fits, models, Math.Min(resamples, MostResamples), seed);
        var random = new Random(seed);
        double[] gains =
        [
            .. samples.Select(sample =>
            {
                double scale = Math.Sqrt(noise * freedom / Enumerable.Range(0, freedom).Sum(_ => Math.Pow(Normal(random), 2)));
                return GainOf(queries, [.. sample.Select((metrics, i) => metrics[auc] + scale * Normal(random) / Math.Sqrt(queries[i]))]);
            }),
        ];
        var (low, high) = EvaluationBootstrap.Interval(gains);
        return new LearningCurve(family, points, GainOf(queries, areas), low, high);
    }

    /// <summary>
    /// What <see cref="More"/> queries beyond the largest size bring on the line area = a - b x, x = 1 / sqrt(queries), by least
    /// squares.
    /// </summary>
    internal static double GainOf(int[] queries, double[] areas)
    {
        double[] x = Array.ConvertAll(queries, n => 1 / Math.Sqrt(n));
        double meanX = x.Average(),
            meanArea = areas.Average();
        double slope = x.Zip(areas, (u, area) => (u - meanX) * (area - meanArea)).Sum() / x.Sum(u => (u - meanX) * (u - meanX));
        int most = queries.Max();
        return slope * (1 / Math.Sqrt(most + More) - 1 / Math.Sqrt(most));
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
