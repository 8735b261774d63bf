using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>
/// What a pipeline makes of one question while a cascade answers it: the policy's context before any model runs, and the
/// policy's confidence after each answer. The same numbers, bit for bit, as <see cref="FeaturePipeline.Describe"/> gives for
/// a recorded query. Not for several threads at once.
/// </summary>
public sealed class FeaturedQuestion
{
    private readonly FeaturePipeline _pipeline;
    private readonly float[] _predicted;
    private readonly double[] _column;
    private readonly float[] _recorded;

    internal FeaturedQuestion(FeaturePipeline pipeline, Question question, ReadOnlySpan<double> own)
    {
        (_pipeline, _predicted) = (pipeline, new float[pipeline.Predictions]);
        _column = new double[StageModel.Inputs(pipeline.Recorded.Count)];
        _recorded = new float[pipeline.Recorded.Count];
        pipeline.Question?.Predict(question, _predicted);
        Context = new double[pipeline.ContextWidth];
        pipeline.FillContext(_predicted, own, Context);
    }

    /// <summary>The numbers that the policy sees before any model runs.</summary>
    public double[] Context { get; }

    /// <summary>The calibrated probability that a live stage's answer is right.</summary>
    /// <param name="confidence">As the log that the pipeline was fitted on would record it; NaN for none.</param>
    /// <param name="cost">Of writing the answer, in the cascade's units.</param>
    /// <param name="features">What the stage's own probabilities say of it.</param>
    public double Confidence(int stage, double confidence, double cost, ConfidenceFeatures features)
    {
        for (int s = 0; s < _recorded.Length; s++)
            _recorded[s] = (float)Live(_pipeline.Recorded[s], features);
        return Confidence(stage, new AnswerFeatures(confidence, cost, true, _recorded));
    }

    internal double Confidence(int stage, in AnswerFeatures answer)
    {
        StageModel model = _pipeline.Stages[stage];
        FeaturePipeline.FillAnswer(
            stage,
            _pipeline.Stages.Count,
            answer,
            model.Confidence,
            model.Cost,
            model.Recorded,
            _predicted,
            _column
        );
        return model.Apply(_column);
    }

    /// <summary>Names of the recorded numbers that a live stage tells too.</summary>
    internal static bool IsLive(string name) => name == "tokens" || ConfidenceFeatures.Names.Contains(name);

    private static double Live(string name, ConfidenceFeatures features) =>
        name switch
        {
            "tokens" or "length" => features.Length,
            "sum_log_probability" => features.SumLogProbability,
            "mean_log_probability" => features.MeanLogProbability,
            "min_log_probability" => features.MinLogProbability,
            "min_margin" => features.MinMargin,
            "mean_entropy" => features.MeanEntropy,
            _ => double.NaN,
        };
}
