using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>
/// What a model's own probabilities say of the answer it wrote: the raw material of confidence. Natural logarithms;
/// every token counts, the one that ends the answer too.
/// </summary>
/// <param name="SumLogProbability">Log-probability of the whole answer.</param>
/// <param name="MeanLogProbability">The same per token.</param>
/// <param name="MinLogProbability">That of the least probable token: the weakest link.</param>
/// <param name="MinMargin">Least lead of a chosen token over the runner-up, in log-probability.</param>
/// <param name="MeanEntropy">Mean entropy of the next-token distribution, in nats.</param>
/// <param name="Length">Number of tokens written, the end token included.</param>
public readonly record struct ConfidenceFeatures(
    double SumLogProbability,
    double MeanLogProbability,
    double MinLogProbability,
    double MinMargin,
    double MeanEntropy,
    int Length
)
{
    /// <summary>Names of the features, in the order of <see cref="ToVector"/>.</summary>
    public static IReadOnlyList<string> Names { get; } =
    ["sum_log_probability", "mean_log_probability", "min_log_probability", "min_margin", "mean_entropy", "length"];

    /// <summary>The features as a vector for calibration.</summary>
    public double[] ToVector() => [SumLogProbability, MeanLogProbability, MinLogProbability, MinMargin, MeanEntropy, Length];

    /// <summary>The inverse of <see cref="ToVector"/>.</summary>
    public static ConfidenceFeatures FromVector(double[] vector) =>
        new(vector[0], vector[1], vector[2], vector[3], vector[4], (int)vector[5]);

    /// <summary>Probability of the least probable token: the confidence that is recorded before any calibration.</summary>
    public double RawConfidence => Math.Exp(MinLogProbability);
}

/// <summary>Gathers <see cref="ConfidenceFeatures"/> token by token; a mutable struct, so that a batch allocates nothing.</summary>
public struct FeatureAccumulator
{
    private double _sum,
        _min,
        _margin,
        _entropy;
    private int _count;

    /// <summary>Log-probability of the token that was observed last.</summary>
    public double LastLogProbability { get; private set; }

    /// <summary>Takes the logits from which a token was chosen and returns the greedy choice (the lowest id wins ties).</summary>
    /// <param name="logits">One row of logits; overwritten with scratch values.</param>
    public int Observe(Span<float> logits)
    {
        int best = TensorPrimitives.IndexOfMax(logits);
        Observe(logits, best);
        return best;
    }

    /// <summary>Takes the logits from which a token was drawn. Its margin is over the best other token: below 0 if that leads.</summary>
    /// <param name="logits">One row of logits; the chosen token's is overwritten for a moment.</param>
    public void Observe(Span<float> logits, int token)
    {
        float chosen = logits[token];
        logits[token] = float.NegativeInfinity;
        float second = TensorPrimitives.Max(logits);
        logits[token] = chosen;
        float top = Math.Max(chosen, second);
        // In double and in index order, so that the signals do not depend on the vector width of the machine.
        double total = 0,
            weighted = 0;
        foreach (float logit in logits)
        {
            double shifted = (double)logit - top,
                weight = Math.Exp(shifted);
            total += weight;
            if (weight > 0)
                weighted += weight * shifted; // 0 log 0 = 0, also for a logit of -infinity
        }
        double logTotal = Math.Log(total),
            logProbability = (double)chosen - top - logTotal;
        LastLogProbability = logProbability;
        _sum += logProbability;
        _min = _count == 0 ? logProbability : Math.Min(_min, logProbability);
        _margin = _count == 0 ? chosen - second : Math.Min(_margin, chosen - second);
        _entropy += logTotal - weighted / total;
        _count++;
    }

    /// <summary>The features of the tokens observed so far; at least one.</summary>
    public readonly ConfidenceFeatures ToFeatures() => new(_sum, _sum / _count, _min, _margin, _entropy / _count, _count);
}
