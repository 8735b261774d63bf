using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>Accuracy of one stage (from 1) on one task family and level, and the mean number of tokens it wrote.</summary>
[RunTable("stages.csv")]
public sealed record StageAccuracy(
    int Stage,
    string Model,
    string Family,
    [Column(Optional = true)] string Level,
    int Queries,
    [Column(Unit = true, Optional = true)] double Accuracy,
    [Column(Optional = true)] double MeanTokens
);

/// <summary>
/// How good one confidence feature of one stage is: ranking (AUROC), calibration error (ECE) and Brier score, the last two NaN
/// for a feature that is no probability.
/// </summary>
[RunTable("calibration.csv")]
public sealed record FeatureQuality(
    int Stage,
    string Model,
    string Feature,
    [Column(Unit = true, Optional = true)] double Auroc,
    [Column(Unit = true, Optional = true)] double Ece,
    [Column(Unit = true, Optional = true)] double Brier
);

/// <summary>One bin of a stage's reliability diagram; mean confidence and accuracy are NaN where it is empty.</summary>
[RunTable("reliability.csv")]
public sealed record ReliabilityPoint(
    int Stage,
    string Model,
    [Column(Unit = true)] double BinLow,
    [Column(Unit = true)] double BinHigh,
    int Count,
    [Column(Unit = true, Optional = true)] double Confidence,
    [Column(Unit = true, Optional = true)] double Accuracy
)
{
    /// <summary>Whether the bin has queries, and so a place in the diagram.</summary>
    public bool IsFull => Count > 0 && double.IsFinite(Confidence) && double.IsFinite(Accuracy);
}

/// <summary>
/// What the models of a cascade did on the test split: accuracy by family and level, and how far each confidence feature and the
/// calibrated confidence can be trusted.
/// </summary>
public static class CascadeReport
{
    private const int Bins = 10;

    /// <summary>Writes stages.csv, calibration.csv and reliability.csv into the folder.</summary>
    public static void Write(CascadeRecords test, ConfidenceCalibration calibration, string folder)
    {
        ResultTable.Write(folder, Stages(test));
        ResultTable.Write(folder, Features(test, calibration));
        ResultTable.Write(folder, Reliability(test, calibration));
    }

    private static IEnumerable<StageAccuracy> Stages(CascadeRecords test) =>
        from k in Enumerable.Range(0, test.Models.Count)
        from cell in test
            .Records.GroupBy(r => (r.Family, r.Level))
            .OrderBy(g => g.Key.Family, StringComparer.Ordinal)
            .ThenBy(g => g.Key.Level)
        select new StageAccuracy(
            k + 1,
            test.Models[k],
            cell.Key.Family,
            $"{cell.Key.Level}",
            cell.Count(),
            cell.Average(r => r.Quality[k]),
            cell.Average(r => (double)r.Features[k].Length)
        );

    // ECE and Brier score belong to probabilities; a log-probability, margin, entropy or length is only ranked (AUROC).
    private static IEnumerable<FeatureQuality> Features(CascadeRecords test, ConfidenceCalibration calibration)
    {
        for (int k = 0; k < test.Models.Count; k++)
        {
            double[] labels = [.. test.Records.Select(r => r.Quality[k])];
            for (int j = 0; j < ConfidenceFeatures.Names.Count; j++)
            {
                double sign = ConfidenceFeatures.Names[j] is "mean_entropy" or "length" ? -1 : 1;
                double auroc = CalibrationMetrics.Auroc([.. test.Records.Select(r => sign * r.Features[k].ToVector()[j])], labels);
                yield return new(k + 1, test.Models[k], ConfidenceFeatures.Names[j], auroc, double.NaN, double.NaN);
            }
            yield return Row(k, "raw", [.. test.Records.Select(r => Math.Clamp(r.Features[k].RawConfidence, 0, 1))], labels);
            yield return Row(k, "calibrated", [.. test.Records.Select(r => calibration.Confidence(k, r.Features[k]))], labels);
        }
        FeatureQuality Row(int k, string name, double[] confidence, double[] labels) =>
            new(
                k + 1,
                test.Models[k],
                name,
                CalibrationMetrics.Auroc(confidence, labels),
                CalibrationMetrics.EceEqualMass(confidence, labels, 15),
                CalibrationMetrics.Brier(confidence, labels)
            );
    }

    private static IEnumerable<ReliabilityPoint> Reliability(CascadeRecords test, ConfidenceCalibration calibration)
    {
        for (int k = 0; k < test.Models.Count; k++)
        {
            double[] confidence = [.. test.Records.Select(r => calibration.Confidence(k, r.Features[k]))];
            double[] labels = [.. test.Records.Select(r => r.Quality[k])];
            foreach (ReliabilityBin bin in CalibrationMetrics.ReliabilityEqualWidth(confidence, labels, Bins))
                yield return new(k + 1, test.Models[k], bin.Low, bin.High, bin.Count, bin.MeanPrediction, bin.MeanLabel);
        }
    }
}
