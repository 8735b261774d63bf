using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>
/// From everything that a trace or a live cascade shows to what a policy decides on. Before any model runs, the question's
/// text and dataset predict every model's quality and cost: the policy's context. After an answer, all that is seen of it
/// and these predictions give one calibrated probability that it is right: the policy's confidence. Every training query is
/// described by fits that did not see it, so a policy that is fitted on them does not trust them too much.
/// </summary>
public sealed class FeaturePipeline
{
    private const int Folds = 5;

    internal FeaturePipeline(
        IReadOnlyList<string> datasets,
        IReadOnlyList<string> recorded,
        QuestionModel? question,
        IReadOnlyList<StageModel> stages,
        int recordedContext
    ) => (Datasets, Recorded, Question, Stages, RecordedContext) = (datasets, recorded, question, stages, recordedContext);

    /// <summary>Names of the datasets that training saw.</summary>
    public IReadOnlyList<string> Datasets { get; }

    /// <summary>Names of the numbers that must be known of an answer.</summary>
    public IReadOnlyList<string> Recorded { get; }

    internal QuestionModel? Question { get; }

    internal IReadOnlyList<StageModel> Stages { get; }

    /// <summary>Numbers that come with each query, beside its text: the trace's `features`.</summary>
    public int RecordedContext { get; }

    /// <summary>
    /// Numbers of the context: what is predicted of every stage, the means of these predictions, and the numbers that come
    /// with the query.
    /// </summary>
    public int ContextWidth => Predictions + Means + RecordedContext;

    internal int Predictions => Question?.Width ?? 0;

    private int Means => Question is null ? 0 : Question.Width / Question.Stages;

    /// <summary>The context's columns for a policy that predicts with the given stages: theirs, the means, and the query's own.</summary>
    internal int[] Columns(int[] stages) =>
        [
            .. Enumerable.Range(0, Means).SelectMany(m => stages.Select(k => m * Stages.Count + k)),
            .. Enumerable.Range(Predictions, Means + RecordedContext),
        ];

    /// <summary>
    /// Fits on some queries of a trace and describes all of its queries: training queries by fits that did not see them, the
    /// others by the fit on all training queries.
    /// </summary>
    /// <param name="rows">The queries to fit on, in random order; at least 2.</param>
    /// <param name="described">The queries to describe; those left out keep their recorded confidence and have context 0.</param>
    public static (FeaturePipeline Pipeline, RecordedCascade Described) Fit(
        TraceFeatures features,
        RecordedCascade data,
        int[] rows,
        int[] described
    )
    {
        int n = data.Stages,
            folds = Math.Min(Folds, rows.Length),
            others = features.Recorded.Count;
        bool asks = features.HasText || features.Datasets.Count > 0;
        var fold = new int[data.Queries];
        Array.Fill(fold, -1);
        for (int i = 0; i < rows.Length; i++)
            fold[rows[i]] = i % folds;

        // 1. What the question predicts. Model f has not seen fold f; the last has seen all.
        double? penalty = null;
        QuestionModel[] questions = [];
        if (asks)
        {
            QuestionModel all = QuestionModel.Fit(features, data, rows, ref penalty);
            questions = new QuestionModel[folds + 1];
            questions[folds] = all;
            Parallel.For(0, folds, f =>
            {
                double? same = penalty;
                questions[f] = QuestionModel.Fit(features, data, [.. rows.Where(q => fold[q] != f)], ref same);
            });
        }
        int width = asks ? questions[folds].Width : 0;
        var predicted = new float[data.Queries * width];
        int[] needed = [.. rows.Concat(described).Distinct()];
        if (asks)
            Parallel.ForEach(needed, q =>
                questions[fold[q] < 0 ? folds : fold[q]].Predict(Traces(features, q), predicted.AsSpan(q * width, width))
            );

        // 2. What the answers say, stage by stage.
        var stages = new StageModel[n];
        var confidence = (double[])data.Confidence.Clone();
        int inputs = StageModel.Inputs(others);
        Parallel.For(0, n, k =>
        {
            int[] own = [.. rows.Where(q => data.IsRecorded(q, k))];
            var (ofConfidence, ofCost, ofRecorded) = StageModel.FitScales(
                own.Select(q => data.Confidence[q * n + k]),
                own.Select(q => data.Cost[q * n + k]),
                Enumerable.Range(0, others).Select(s => own.Select(q => (double)features.Values[(q * n + k) * others + s]))
            );
            void Fill(int q, Span<double> into) =>
                FillAnswer(
                    k,
                    n,
                    Answer(data, q, k, features.Values.AsSpan((q * n + k) * others, others)),
                    ofConfidence,
                    ofCost,
                    ofRecorded,
                    predicted.AsSpan(q * width, width),
                    into
                );
            double[][] x =
            [
                .. own.Select(q =>
                {
                    var row = new double[inputs];
                    Fill(q, row);
                    return row;
                }),
            ];
            double[] y = [.. own.Select(q => data.Quality[q * n + k])];
            var held = new double[own.Length];
            if (own.Length < 2 * folds)
            {
                stages[k] = new StageModel(ofConfidence, ofCost, ofRecorded, Constant(inputs, own.Length == 0 ? 0.5 : y.Average()), null);
                foreach (int q in needed.Where(q => data.IsRecorded(q, k)))
                    confidence[q * n + k] = stages[k].Apply(new double[inputs]);
                return;
            }
            for (int f = 0; f < folds; f++)
            {
                int[] others = [.. Enumerable.Range(0, own.Length).Where(i => fold[own[i]] != f)];
                if (others.Length == 0)
                    continue;
                LogisticCalibrator fit = StageModel.FitRegression([.. others.Select(i => x[i])], [.. others.Select(i => y[i])]);
                for (int i = 0; i < own.Length; i++)
                    if (fold[own[i]] == f)
                        held[i] = fit.Apply(x[i]);
            }
            stages[k] = new StageModel(ofConfidence, ofCost, ofRecorded, StageModel.FitRegression(x, y), Isotonic.Fit(held, y));
            // The correction too has not seen the query that it is applied to.
            for (int f = 0; f < folds; f++)
            {
                bool[] isIn = [.. own.Select(q => fold[q] == f)];
                double[] Without(double[] values) => [.. values.Where((_, i) => !isIn[i])];
                IsotonicCalibrator monotone = Isotonic.Fit(Without(held), Without(y));
                for (int i = 0; i < own.Length; i++)
                    if (isIn[i])
                        confidence[own[i] * n + k] = StageModel.Corrected(held[i], monotone);
            }
            var column = new double[inputs];
            foreach (int q in described)
                if (fold[q] < 0 && data.IsRecorded(q, k))
                {
                    Fill(q, column);
                    confidence[q * n + k] = stages[k].Apply(column);
                }
        });

        // 3. The policy's view.
        var pipeline = new FeaturePipeline(features.Datasets, features.Recorded, asks ? questions[folds] : null, stages, data.ContextWidth);
        int total = pipeline.ContextWidth;
        var context = new double[data.Queries * total];
        foreach (int q in needed)
            pipeline.FillContext(
                predicted.AsSpan(q * width, width),
                data.Context.AsSpan(q * data.ContextWidth, data.ContextWidth),
                context.AsSpan(q * total, total)
            );
        RecordedCascade view = RecordedCascade.Create(data.Queries, n, data.Cost, confidence, data.Quality, data.Answer, total, context);
        return (pipeline, view);
    }

    /// <summary>
    /// Describes queries that the pipeline was not fitted on, of the same models: what a live cascade would see of them.
    /// </summary>
    /// <param name="features">What else was recorded of them; null for nothing. Datasets and numbers are found by name.</param>
    /// <param name="data">Recorded outcomes, with <see cref="RecordedContext"/> numbers of each query's own.</param>
    /// <exception cref="ToolkitException">A number that the pipeline wants of answers, or the questions' texts, are not there.</exception>
    public RecordedCascade Describe(TraceFeatures? features, RecordedCascade data)
    {
        if (Question is { Frequency.Length: > 0 } && features is not { HasText: true })
            throw new ToolkitException("traces: expected the questions' texts ('prompt') as the policy wants, got none");
        int n = data.Stages,
            has = features?.Recorded.Count ?? 0;
        int[] places = [.. Recorded.Select(name => IndexOf(features?.Recorded ?? [], name))];
        if (Array.IndexOf(places, -1) is var missing && missing >= 0)
            throw new ToolkitException($"traces: expected '{Recorded[missing]}' with the answers as the policy wants, got none");
        int[] datasets = [.. (features?.Datasets ?? []).Select(name => IndexOf(Datasets, name))];
        var confidence = (double[])data.Confidence.Clone();
        var context = new double[data.Queries * ContextWidth];
        Parallel.For(0, data.Queries, q =>
        {
            Question known = features is null ? new Question(-1, default, ([], [])) : Traces(features, q);
            if (known.Dataset >= 0)
                known = known with { Dataset = datasets[known.Dataset] };
            var question = new FeaturedQuestion(this, known, data.Context.AsSpan(q * data.ContextWidth, data.ContextWidth));
            question.Context.CopyTo(context, q * ContextWidth);
            var recorded = new float[places.Length];
            for (int k = 0; k < n; k++)
            {
                if (!data.IsRecorded(q, k))
                    continue;
                for (int s = 0; s < places.Length; s++)
                    recorded[s] = features!.Values[(q * n + k) * has + places[s]];
                confidence[q * n + k] = question.Confidence(k, Answer(data, q, k, recorded));
            }
        });
        return RecordedCascade.Create(data.Queries, n, data.Cost, confidence, data.Quality, data.Answer, ContextWidth, context);
    }

    /// <summary>A question as it comes in to a live cascade.</summary>
    /// <param name="dataset">Its dataset; null where that is not known.</param>
    public FeaturedQuestion Ask(string text, string? dataset = null) =>
        new(this, Features.Question.From(text, dataset, Datasets), new double[RecordedContext]);

    private static int IndexOf(IReadOnlyList<string> names, string name)
    {
        for (int i = 0; i < names.Count; i++)
            if (names[i] == name)
                return i;
        return -1;
    }

    private static AnswerFeatures Answer(RecordedCascade data, int query, int stage, ReadOnlySpan<float> recorded)
    {
        int i = query * data.Stages + stage;
        return new AnswerFeatures(data.Confidence[i], data.Cost[i], !data.HasAnswers || data.Answer[i] >= 0, recorded);
    }

    internal static void FillAnswer(
        int stage,
        int stages,
        in AnswerFeatures answer,
        QuantileScale confidence,
        QuantileScale cost,
        IReadOnlyList<QuantileScale> recorded,
        ReadOnlySpan<float> predicted,
        Span<double> into
    ) =>
        StageModel.Fill(
            answer,
            confidence,
            cost,
            recorded,
            predicted.Length == 0 ? 0.5 : predicted[stage],
            predicted.Length == 0 ? 0.5 : Mean(predicted[..stages]),
            predicted.Length > stages ? predicted[stages + stage] : 0,
            into
        );

    private static Question Traces(TraceFeatures features, int query) => Features.Question.From(features, query);

    internal void FillContext(ReadOnlySpan<float> predicted, ReadOnlySpan<double> own, Span<double> into)
    {
        for (int j = 0; j < predicted.Length; j++)
            into[j] = predicted[j];
        for (int m = 0; m < Means; m++)
            into[predicted.Length + m] = Mean(predicted.Slice(m * Stages.Count, Stages.Count));
        own.CopyTo(into[(predicted.Length + Means)..]);
    }

    private static double Mean(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values)
            sum += value;
        return sum / values.Length;
    }

    private static LogisticCalibrator Constant(int inputs, double probability)
    {
        double p = Math.Clamp(probability, 1e-6, 1 - 1e-6);
        double[] ones = [.. Enumerable.Repeat(1.0, inputs)];
        return new LogisticCalibrator(new double[inputs], ones, new double[inputs], Math.Log(p / (1 - p)), 3);
    }
}

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
