using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>What is seen of a stage's answer, beside what is predicted from the question.</summary>
/// <param name="confidence">As recorded; NaN for none.</param>
/// <param name="cost">What the answer cost.</param>
/// <param name="hasAnswer">False where no answer could be made out.</param>
/// <param name="recorded">The numbers recorded with answers, in the order of their names; NaN for one that is missing.</param>
internal readonly ref struct AnswerFeatures(double confidence, double cost, bool hasAnswer, ReadOnlySpan<float> recorded)
{
    public readonly double Confidence = confidence;
    public readonly double Cost = cost;
    public readonly bool HasAnswer = hasAnswer;
    public readonly ReadOnlySpan<float> Recorded = recorded;
}

/// <summary>
/// The probability that a stage's answer is right, from everything that is seen of the answer and what was predicted from the
/// question: a penalised logistic regression on ranks with bends, and a monotone correction of it.
/// </summary>
/// <param name="Confidence">Scale of the recorded confidence.</param>
/// <param name="Cost">Scale of the cost.</param>
/// <param name="Recorded">Scales of the numbers recorded with answers.</param>
/// <param name="Monotone">From the regression's probability to the share that was right; null before it is fitted.</param>
internal sealed record StageModel(
    QuantileScale Confidence,
    QuantileScale Cost,
    IReadOnlyList<QuantileScale> Recorded,
    LogisticCalibrator Regression,
    IsotonicCalibrator? Monotone
)
{
    private const double Ridge = 3;

    // The monotone correction has flat pieces; a share of the regression keeps apart what it lumps together.
    private const double MonotoneShare = 0.75;

    /// <summary>Inputs of the regression for so many recorded numbers.</summary>
    public static int Inputs(int recorded) => 5 + 2 + 3 * recorded + 1 + 3 + 1;

    /// <summary>The scales of a stage's numbers, on the training queries.</summary>
    public static (QuantileScale Confidence, QuantileScale Cost, QuantileScale[] Recorded) FitScales(
        IEnumerable<double> confidence,
        IEnumerable<double> cost,
        IEnumerable<IEnumerable<double>> recorded
    ) => (QuantileScale.Fit(confidence), QuantileScale.Fit(cost), [.. recorded.Select(QuantileScale.Fit)]);

    /// <summary>Fits the regression on inputs that <see cref="Fill"/> wrote.</summary>
    public static LogisticCalibrator FitRegression(double[][] inputs, double[] labels) => Logistic.Fit(inputs, labels, Ridge);

    /// <summary>The calibrated probability for given inputs.</summary>
    public double Apply(ReadOnlySpan<double> inputs) => Corrected(Regression.Apply(inputs), Monotone);

    /// <summary>A probability of the regression with the monotone correction.</summary>
    public static double Corrected(double probability, IsotonicCalibrator? monotone) =>
        monotone is null
            ? Math.Clamp(probability, 0, 1)
            : Math.Clamp(MonotoneShare * monotone.Apply(probability) + (1 - MonotoneShare) * probability, 0, 1);

    /// <summary>Writes the inputs of the regression.</summary>
    /// <param name="quality">Predicted quality of this stage from the question alone.</param>
    /// <param name="ease">Mean of that over all stages.</param>
    /// <param name="length">Predicted standardised log cost of this stage; 0 where it is not predicted.</param>
    public static void Fill(
        in AnswerFeatures answer,
        QuantileScale confidence,
        QuantileScale cost,
        IReadOnlyList<QuantileScale> recorded,
        double quality,
        double ease,
        double length,
        Span<double> into
    )
    {
        double rank = confidence.Rank(answer.Confidence);
        into[0] = rank - 0.5;
        into[1] = Math.Max(0, rank - 0.25);
        into[2] = Math.Max(0, rank - 0.5);
        into[3] = Math.Max(0, rank - 0.75);
        into[4] = double.IsNaN(answer.Confidence) ? 1 : 0;
        double dear = cost.Rank(answer.Cost);
        into[5] = dear - 0.5;
        into[6] = Math.Max(0, dear - 0.5);
        int at = 7;
        for (int s = 0; s < recorded.Count; s++)
        {
            double own = recorded[s].Rank(answer.Recorded[s]);
            into[at] = own - 0.5;
            into[at + 1] = Math.Max(0, own - 0.5);
            into[at + 2] = float.IsNaN(answer.Recorded[s]) ? 1 : 0;
            at += 3;
        }
        into[at] = answer.HasAnswer ? 0 : 1;
        into[at + 1] = quality;
        into[at + 2] = ease;
        into[at + 3] = length;
        into[at + 4] = (rank - 0.5) * (quality - 0.5);
    }
}
