using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Ladder;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>
/// What the models of a ladder did on the test split: accuracy by family and level, and how far each signal and the
/// calibrated confidence can be trusted.
/// </summary>
public static class LadderReport
{
    private const int Bins = 10;

    /// <summary>Writes stages.csv, calibration.csv and reliability.csv into the folder.</summary>
    public static void Write(LadderRecords test, SignalCalibration calibration, string folder)
    {
        CsvFile.Write(Path.Combine(folder, "stages.csv"), "stage,model,family,level,queries,accuracy,mean_tokens", Stages(test));
        CsvFile.Write(Path.Combine(folder, "calibration.csv"), "stage,model,signal,auroc,ece,brier", Signals(test, calibration));
        CsvFile.Write(Path.Combine(folder, "reliability.csv"), "stage,model,bin_low,bin_high,count,confidence,accuracy", Reliability(test, calibration));
    }

    private static IEnumerable<object?[]> Stages(LadderRecords test) =>
        from k in Enumerable.Range(0, test.Models.Count)
        from cell in test.Records.GroupBy(r => (r.Family, r.Level)).OrderBy(g => g.Key.Family, StringComparer.Ordinal).ThenBy(g => g.Key.Level)
        select new object?[]
        {
            k + 1, test.Models[k], cell.Key.Family, cell.Key.Level, cell.Count(),
            cell.Average(r => r.Quality[k]), cell.Average(r => (double)r.Signals[k].Length),
        };

    // ECE and Brier score belong to probabilities; a log-probability, margin, entropy or length is only ranked (AUROC).
    private static IEnumerable<object?[]> Signals(LadderRecords test, SignalCalibration calibration)
    {
        for (int k = 0; k < test.Models.Count; k++)
        {
            double[] labels = [.. test.Records.Select(r => r.Quality[k])];
            for (int j = 0; j < AnswerSignals.Names.Count; j++)
            {
                double sign = AnswerSignals.Names[j] is "mean_entropy" or "length" ? -1 : 1;
                double auroc = CalibrationMetrics.auroc([.. test.Records.Select(r => sign * r.Signals[k].ToFeatures()[j])], labels);
                yield return [k + 1, test.Models[k], AnswerSignals.Names[j], auroc, null, null];
            }
            yield return Row(k, "raw", [.. test.Records.Select(r => Math.Clamp(r.Signals[k].RawConfidence, 0, 1))], labels);
            yield return Row(k, "calibrated", [.. test.Records.Select(r => calibration.Confidence(k, r.Signals[k]))], labels);
        }
        object?[] Row(int k, string name, double[] confidence, double[] labels) =>
        [
            k + 1, test.Models[k], name, CalibrationMetrics.auroc(confidence, labels),
            CalibrationMetrics.eceEqualMass(confidence, labels, 15), CalibrationMetrics.brier(confidence, labels),
        ];
    }

    private static IEnumerable<object?[]> Reliability(LadderRecords test, SignalCalibration calibration)
    {
        for (int k = 0; k < test.Models.Count; k++)
        {
            double[] confidence = [.. test.Records.Select(r => calibration.Confidence(k, r.Signals[k]))];
            double[] labels = [.. test.Records.Select(r => r.Quality[k])];
            foreach (ReliabilityBin bin in CalibrationMetrics.reliabilityEqualWidth(confidence, labels, Bins))
                yield return [k + 1, test.Models[k], bin.Low, bin.High, bin.Count, bin.MeanPrediction, bin.MeanLabel];
        }
    }
}
