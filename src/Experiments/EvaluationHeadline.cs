using System.Globalization;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>A share with its 95 % bootstrap interval; the ends are NaN where nothing was resampled.</summary>
public readonly record struct ShareEstimate(double Value, double Low, double High);

/// <summary>
/// The answer in one sentence: what the default policy keeps of the best model's quality, and at what share of its cost. The
/// model and the operating point are chosen on the train part, the shares are measured on the test part, the intervals are
/// paired by query.
/// </summary>
/// <param name="Reference">The model with the best mean quality on the train part.</param>
/// <param name="Lambda">Parameter of the operating point; NaN where the reference model itself is the answer.</param>
/// <param name="Quality">Share of the reference model's quality.</param>
/// <param name="Cost">Share of the reference model's cost.</param>
/// <param name="MeanCost">Mean cost of a query under the policy, in the file's units.</param>
/// <param name="ReferenceCost">Mean cost of a query under the reference model alone.</param>
public sealed record EvaluationHeadline(
    string Reference,
    double Lambda,
    ShareEstimate Quality,
    ShareEstimate Cost,
    double MeanCost,
    double ReferenceCost
)
{
    /// <summary>The share of the reference model's quality that the operating point was to keep.</summary>
    public const double Target = 0.98;

    private const int Thousand = 1000;

    /// <summary>Whether a cheaper policy was found.</summary>
    public bool Saves => !double.IsNaN(Lambda);

    /// <summary>The sentence.</summary>
    /// <param name="unit">What stands before an amount, "$" for dollars; empty where the file does not tell.</param>
    public string Sentence(string unit = "")
    {
        if (!Saves)
            return $"No policy keeps {Percent(Target)} % of {Reference}'s quality for less than {Reference} alone "
                + $"({unit}{Amount(Thousand * ReferenceCost)} per 1,000 queries).";
        return $"Keeps {Interval(Quality)} of {Reference}'s quality at {Interval(Cost)} of its cost "
            + $"({unit}{Amount(Thousand * MeanCost)} instead of {unit}{Amount(Thousand * ReferenceCost)} per 1,000 queries).";
    }

    /// <summary>Chooses the operating point and measures it.</summary>
    /// <param name="fitted">The default policy.</param>
    /// <param name="outcomes">What its operating points do on the test part, in their order.</param>
    /// <param name="models">The single models on the test part, in the same groups of queries.</param>
    internal static EvaluationHeadline From(
        TraceTable table,
        int[] train,
        FittedPolicies fitted,
        GroupedOutcome[] outcomes,
        GroupedOutcome[] models,
        int resamples,
        int seed
    )
    {
        RecordedCascade data = table.Cascade;
        int reference = Enumerable
            .Range(0, data.Stages)
            .Where(k => !double.IsNaN(data.MeanQuality(train, k)))
            .OrderByDescending(k => data.MeanQuality(train, k))
            .ThenBy(k => data.MeanCost(train, k))
            .First();
        double wanted = Target * data.MeanQuality(train, reference),
            most = data.MeanCost(train, reference);
        var (quality, cost) = OnTrain(fitted, data, train);
        int point = Enumerable
            .Range(0, quality.Length)
            .Where(i => quality[i] >= wanted && cost[i] < most)
            .OrderBy(i => cost[i])
            .FirstOrDefault(-1);
        GroupedOutcome alone = models[reference],
            own = point < 0 ? alone : outcomes[point];
        return new EvaluationHeadline(
            table.Models[reference],
            point < 0 ? double.NaN : fitted.Family.Parameter[point],
            Ratio(own.Quality, alone.Quality, resamples, seed),
            Ratio(own.Cost, alone.Cost, resamples, seed),
            own.MeanCost,
            alone.MeanCost
        );
    }

    // Cross-fitted where there is a plan: the operating point is not chosen by what its own fit remembers.
    private static (double[] Quality, double[] Cost) OnTrain(FittedPolicies fitted, RecordedCascade data, int[] train)
    {
        if (fitted.Plan is { } plan)
            return (plan.HeldOutQuality, plan.HeldOutCost);
        GroupedOutcome[] outcomes = fitted.Replay(data, train, 1);
        return (Array.ConvertAll(outcomes, o => o.MeanQuality), Array.ConvertAll(outcomes, o => o.MeanCost));
    }

    private static ShareEstimate Ratio(double[] own, double[] reference, int resamples, int seed)
    {
        double whole = reference.Sum();
        double value = whole > 0 ? own.Sum() / whole : 1;
        if (resamples == 0 || !(whole > 0))
            return new ShareEstimate(value, double.NaN, double.NaN);
        var random = new Random(seed);
        var sample = new double[resamples];
        for (int b = 0; b < resamples; b++)
        {
            double a = 0,
                r = 0;
            for (int g = 0; g < own.Length; g++)
            {
                int at = random.Next(own.Length);
                a += own[at];
                r += reference[at];
            }
            sample[b] = r > 0 ? a / r : 1;
        }
        Array.Sort(sample);
        int cut = (int)(0.025 * (resamples - 1));
        return new ShareEstimate(value, sample[cut], sample[resamples - 1 - cut]);
    }

    private static string Interval(ShareEstimate share) =>
        double.IsNaN(share.Low) ? $"{Percent(share.Value)} %" : $"{Percent(share.Value)} % [{Percent(share.Low)}, {Percent(share.High)}]";

    private static string Percent(double share) => (100 * share).ToString("0.#", CultureInfo.InvariantCulture);

    // Three significant digits, so that small amounts do not read as nothing.
    private static string Amount(double x)
    {
        if (x == 0 || !double.IsFinite(x))
            return x.ToString("F0", CultureInfo.InvariantCulture);
        int digits = Math.Clamp(2 - (int)Math.Floor(Math.Log10(Math.Abs(x))), 0, 15);
        return x.ToString("N" + digits, CultureInfo.InvariantCulture);
    }
}

/// <summary>One model of a log: what it costs, how good it is, and what its confidence is worth.</summary>
/// <param name="Recorded">Share of the test queries with a record of it.</param>
/// <param name="Auroc">How well the recorded confidence ranks right answers before wrong ones; 0.5 tells nothing, NaN without one.</param>
/// <param name="Ece">Expected calibration error of the recorded confidence, ten bins of equal mass; NaN without one.</param>
/// <param name="FeaturesAuroc">The AUROC of the probability that all features together give; NaN without features.</param>
/// <param name="FeaturesEce">Its calibration error.</param>
public sealed record ModelRow(
    string Model,
    double Cost,
    double Quality,
    double Recorded,
    double Auroc,
    double Ece,
    double FeaturesAuroc,
    double FeaturesEce
)
{
    private const int Bins = 10;

    /// <summary>The rows of a file's models, in the order of the cascade.</summary>
    /// <param name="described">What a pipeline of features makes of the queries, for all stages; null without one.</param>
    internal static IReadOnlyList<ModelRow> From(TraceTable table, int[] test, RecordedCascade? described)
    {
        RecordedCascade data = table.Cascade;
        var rows = new ModelRow[data.Stages];
        Parallel.For(0, rows.Length, k =>
        {
            int[] own = [.. test.Where(q => data.IsRecorded(q, k))];
            var (auroc, ece) = Judge(data, own, k);
            var (better, closer) = described is null ? (double.NaN, double.NaN) : Judge(described, own, k);
            rows[k] = new ModelRow(
                table.Models[k],
                data.MeanCost(test, k),
                data.MeanQuality(test, k),
                own.Length / (double)test.Length,
                auroc,
                ece,
                better,
                closer
            );
        });
        return rows;
    }

    private static (double Auroc, double Ece) Judge(RecordedCascade data, int[] rows, int stage)
    {
        int[] sure = [.. rows.Where(q => !double.IsNaN(data.Confidence[q * data.Stages + stage]))];
        double[] confidence = [.. sure.Select(q => data.Confidence[q * data.Stages + stage])],
            quality = [.. sure.Select(q => data.Quality[q * data.Stages + stage])];
        return sure.Length == 0
            ? (double.NaN, double.NaN)
            : (CalibrationMetrics.Auroc(confidence, quality), CalibrationMetrics.EceEqualMass(confidence, quality, Bins));
    }
}
