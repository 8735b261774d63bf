using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Turns the confidence features of a stage's answer into the probability that the answer is right: one regularised logistic
/// regression on all of them per stage, fitted on the calibration split.
/// </summary>
public sealed class ConfidenceCalibration
{
    /// <summary>In units of observations; small against the hundreds that a calibration split has.</summary>
    private const double Ridge = 1.0;

    private readonly LogisticCalibrator[] _stages;

    private ConfidenceCalibration(LogisticCalibrator[] stages) => _stages = stages;

    /// <summary>Numbers that a stage's features are turned into before the regression.</summary>
    internal const int Inputs = 7;

    /// <summary>The regression of each stage.</summary>
    internal IReadOnlyList<LogisticCalibrator> Stages => _stages;

    /// <summary>Puts regressions that were read from a file back together.</summary>
    internal static ConfidenceCalibration Of(IEnumerable<LogisticCalibrator> stages) => new([.. stages]);

    /// <summary>Fits on records (their qualities are the labels).</summary>
    public static ConfidenceCalibration Fit(CascadeRecords records)
    {
        var stages = new LogisticCalibrator[records.Models.Count];
        for (int k = 0; k < stages.Length; k++)
            stages[k] = Logistic.Fit(
                [.. records.Records.Select(r => Features(r.Features[k]))],
                [.. records.Records.Select(r => r.Quality[k])],
                Ridge
            );
        return new ConfidenceCalibration(stages);
    }

    /// <summary>Calibrated probability in [0,1] that the stage's answer is right.</summary>
    public double Confidence(int stage, ConfidenceFeatures features) => Math.Clamp(_stages[stage].Apply(Features(features)), 0, 1);

    // Log-odds of the least probable token spread out what crowds near certainty; the log of a margin likewise.
    private static double[] Features(ConfidenceFeatures s)
    {
        double worst = Math.Clamp(Math.Exp(s.MinLogProbability), 1e-9, 1 - 1e-9);
        double whole = Math.Clamp(Math.Exp(s.SumLogProbability), 1e-9, 1 - 1e-9);
        return
        [
            Math.Log(worst / (1 - worst)),
            Math.Log(whole / (1 - whole)),
            Math.Max(s.SumLogProbability, -30),
            Math.Max(s.MeanLogProbability, -5),
            Math.Log(1e-3 + s.MinMargin),
            Math.Log(1e-6 + s.MeanEntropy),
            Math.Log(s.Length),
        ];
    }
}
