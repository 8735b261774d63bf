using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

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
        CsvFile.Write(Path.Combine(folder, "stages.csv"), "stage,model,family,level,queries,accuracy,mean_tokens", Stages(test));
        CsvFile.Write(Path.Combine(folder, "calibration.csv"), "stage,model,signal,auroc,ece,brier", Features(test, calibration));
        CsvFile.Write(
            Path.Combine(folder, "reliability.csv"),
            "stage,model,bin_low,bin_high,count,confidence,accuracy",
            Reliability(test, calibration)
        );
    }

    private static IEnumerable<object?[]> Stages(CascadeRecords test) =>
        from k in Enumerable.Range(0, test.Models.Count)
        from cell in test
            .Records.GroupBy(r => (r.Family, r.Level))
            .OrderBy(g => g.Key.Family, StringComparer.Ordinal)
            .ThenBy(g => g.Key.Level)
        select new object?[]
        {
            k + 1,
            test.Models[k],
            cell.Key.Family,
            cell.Key.Level,
            cell.Count(),
            cell.Average(r => r.Quality[k]),
            cell.Average(r => (double)r.Features[k].Length),
        };

    // ECE and Brier score belong to probabilities; a log-probability, margin, entropy or length is only ranked (AUROC).
    private static IEnumerable<object?[]> Features(CascadeRecords test, ConfidenceCalibration calibration)
    {
        for (int k = 0; k < test.Models.Count; k++)
        {
            double[] labels = [.. test.Records.Select(r => r.Quality[k])];
            for (int j = 0; j < ConfidenceFeatures.Names.Count; j++)
            {
                double sign = ConfidenceFeatures.Names[j] is "mean_entropy" or "length" ? -1 : 1;
                double auroc = CalibrationMetrics.Auroc([.. test.Records.Select(r => sign * r.Features[k].ToVector()[j])], labels);
                yield return [k + 1, test.Models[k], ConfidenceFeatures.Names[j], auroc, null, null];
            }
            yield return Row(k, "raw", [.. test.Records.Select(r => Math.Clamp(r.Features[k].RawConfidence, 0, 1))], labels);
            yield return Row(k, "calibrated", [.. test.Records.Select(r => calibration.Confidence(k, r.Features[k]))], labels);
        }
        object?[] Row(int k, string name, double[] confidence, double[] labels) =>
            [
                k + 1,
                test.Models[k],
                name,
                CalibrationMetrics.Auroc(confidence, labels),
                CalibrationMetrics.EceEqualMass(confidence, labels, 15),
                CalibrationMetrics.Brier(confidence, labels),
            ];
    }

    private static IEnumerable<object?[]> Reliability(CascadeRecords test, ConfidenceCalibration calibration)
    {
        for (int k = 0; k < test.Models.Count; k++)
        {
            double[] confidence = [.. test.Records.Select(r => calibration.Confidence(k, r.Features[k]))];
            double[] labels = [.. test.Records.Select(r => r.Quality[k])];
            foreach (ReliabilityBin bin in CalibrationMetrics.ReliabilityEqualWidth(confidence, labels, Bins))
                yield return [k + 1, test.Models[k], bin.Low, bin.High, bin.Count, bin.MeanPrediction, bin.MeanLabel];
        }
    }
}
