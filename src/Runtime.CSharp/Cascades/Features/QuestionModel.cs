using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>What is known of a question before any model runs.</summary>
/// <param name="Dataset">Place of its dataset among those of the trace; -1 for none, or one that training did not see.</param>
/// <param name="Measures">As <see cref="QuestionText.Measure"/> gives them; empty without a text.</param>
/// <param name="Grams">As <see cref="QuestionText.Grams"/> gives them.</param>
internal readonly record struct Question(int Dataset, ReadOnlyMemory<double> Measures, (ushort[] Bin, float[] Weight) Grams)
{
    /// <summary>A question of a trace.</summary>
    public static Question From(TraceFeatures features, int query)
    {
        int width = QuestionText.Measures.Count;
        return new Question(
            features.Datasets.Count > 0 ? features.Dataset[query] : -1,
            features.HasText ? features.Measures.AsMemory(query * width, width) : default,
            features.HasText ? features.Grams[query] : ([], [])
        );
    }

    /// <summary>A question as it comes in.</summary>
    public static Question From(string text, string? dataset, IReadOnlyList<string> datasets)
    {
        var measures = new double[QuestionText.Measures.Count];
        QuestionText.Measure(text, measures);
        int place = -1;
        for (int d = 0; dataset is not null && d < datasets.Count; d++)
            if (datasets[d] == dataset)
                place = d;
        return new Question(place, measures, QuestionText.Grams(text));
    }
}

/// <summary>
/// Predicts from a question alone what each model's answer will be worth and what it will cost: one penalised regression on
/// the dataset, the measures of the text and its n-grams. A dataset of few queries is shrunk to the mean of all, and so is a
/// rare word.
/// </summary>
/// <param name="Frequency">Per bin, log of the inverse share of training texts with it; 0 for a bin that is left out.</param>
/// <param name="Means">Mean of each measure.</param>
/// <param name="Scales">Standard deviation of each measure; infinite for a constant one.</param>
/// <param name="Stages">Stages: the first predictions are their qualities, the others the logarithms of their costs, standardised.</param>
internal sealed record QuestionModel(float[] Frequency, double[] Means, double[] Scales, int Datasets, int Stages, SparseRidge Regression)
{
    // A measure one standard deviation out counts a third of a whole text, a dataset as much as a text.
    private const float MeasureWeight = 0.35f,
        DatasetWeight = 1f;
    private const int LeastTexts = 3,
        Steps = 20;
    private static readonly double[] Penalties = [4, 16, 64, 256];

    /// <summary>Predictions for each question: the qualities of all stages, then their standardised log costs.</summary>
    public int Width => Regression.Targets;

    /// <summary>Writes the predictions for a question.</summary>
    public void Predict(Question question, Span<float> into) => Regression.Predict(Row(question), into);

    /// <summary>A question as the regression sees it: words and characters of length 1 together, measures, dataset.</summary>
    public SparseRow Row(Question question) => Row(question, Frequency, Means, Scales, Datasets);

    /// <summary>Fits on the given queries. Costs that never change are not predicted.</summary>
    /// <param name="penalty">The penalty; null to choose it by how well a fifth of the queries is predicted from the others.</param>
    public static QuestionModel Fit(TraceFeatures features, RecordedCascade data, int[] rows, ref double? penalty)
    {
        var frequency = new float[features.HasText ? QuestionText.Bins : 0];
        if (features.HasText)
        {
            foreach (int q in rows)
            foreach (ushort bin in features.Grams[q].Bin)
                frequency[bin]++;
            for (int b = 0; b < frequency.Length; b++)
                frequency[b] = frequency[b] < LeastTexts ? 0 : MathF.Log((rows.Length + 1f) / frequency[b]);
        }
        int measures = features.HasText ? QuestionText.Measures.Count : 0;
        double[] means = new double[measures],
            scales = new double[measures];
        for (int m = 0; m < measures; m++)
        {
            double mean = rows.Average(q => features.Measures[q * measures + m]);
            double deviation = Math.Sqrt(rows.Average(q => Math.Pow(features.Measures[q * measures + m] - mean, 2)));
            (means[m], scales[m]) = (mean, deviation > 1e-9 ? deviation : double.PositiveInfinity);
        }
        int datasets = features.Datasets.Count;
        SparseRow[] sparse = [.. rows.Select(q => Row(Question.From(features, q), frequency, means, scales, datasets))];
        double[] target = Targets(data, rows);
        int targets = target.Length / rows.Length,
            width = frequency.Length + measures + datasets;
        penalty ??= Choose(sparse, target, data.Stages, targets, width);
        return new QuestionModel(
            frequency,
            means,
            scales,
            datasets,
            data.Stages,
            SparseRidge.Fit(sparse, target, targets, width, penalty.Value, Steps)
        );
    }

    private static double Choose(SparseRow[] rows, double[] target, int stages, int targets, int width)
    {
        int held = Math.Max(1, rows.Length / 5);
        // The mean over the stages is what the penalty is chosen for: one target instead of all.
        var mean = new double[rows.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            var known = Enumerable.Range(0, stages).Select(k => target[i * targets + k]).Where(v => !double.IsNaN(v)).ToArray();
            mean[i] = known.Length == 0 ? double.NaN : known.Average();
        }
        double best = double.PositiveInfinity,
            chosen = Penalties[^1];
        Span<float> predicted = stackalloc float[1];
        foreach (double penalty in Penalties.Reverse())
        {
            SparseRidge fit = SparseRidge.Fit(rows[held..], mean[held..], 1, width, penalty, Steps);
            double error = 0;
            for (int i = 0; i < held; i++)
            {
                fit.Predict(rows[i], predicted);
                if (!double.IsNaN(mean[i]))
                    error += Math.Pow(mean[i] - predicted[0], 2);
            }
            if (error < best)
                (best, chosen) = (error, penalty);
        }
        return chosen;
    }

    // Row i: qualities of all stages, then standardised log costs of all stages, unless no stage's cost changes.
    private static double[] Targets(RecordedCascade data, int[] rows)
    {
        int n = data.Stages;
        var logs = new double[rows.Length * n];
        bool varies = false;
        for (int k = 0; k < n; k++)
        {
            double sum = 0,
                squares = 0;
            int count = 0;
            for (int i = 0; i < rows.Length; i++)
            {
                double cost = data.Cost[rows[i] * n + k];
                double log = logs[i * n + k] = Math.Log(Math.Max(cost, 1e-12));
                if (double.IsNaN(cost))
                    continue;
                sum += log;
                squares += log * log;
                count++;
            }
            double mean = sum / Math.Max(1, count),
                deviation = Math.Sqrt(Math.Max(0, squares / Math.Max(1, count) - mean * mean));
            varies |= deviation > 1e-3;
            for (int i = 0; i < rows.Length; i++)
                logs[i * n + k] = (logs[i * n + k] - mean) / Math.Max(deviation, 1e-3);
        }
        int targets = varies ? 2 * n : n;
        var result = new double[rows.Length * targets];
        for (int i = 0; i < rows.Length; i++)
        for (int k = 0; k < n; k++)
        {
            result[i * targets + k] = data.Quality[rows[i] * n + k];
            if (varies)
                result[i * targets + n + k] = logs[i * n + k];
        }
        return result;
    }

    private static SparseRow Row(Question question, float[] frequency, double[] means, double[] scales, int datasets)
    {
        var index = new List<int>();
        var value = new List<float>();
        var (bins, weights) = question.Grams;
        float square = 0;
        for (int e = 0; e < bins.Length && frequency.Length > 0; e++)
        {
            float w = weights[e] * frequency[bins[e]];
            if (w == 0)
                continue;
            index.Add(bins[e]);
            value.Add(w);
            square += w * w;
        }
        float norm = square > 0 ? 1 / MathF.Sqrt(square) : 0;
        for (int e = 0; e < value.Count; e++)
            value[e] *= norm;
        for (int m = 0; m < means.Length && question.Measures.Length > 0; m++)
        {
            index.Add(frequency.Length + m);
            value.Add(MeasureWeight * (float)Math.Clamp((question.Measures.Span[m] - means[m]) / scales[m], -4, 4));
        }
        if (question.Dataset >= 0 && question.Dataset < datasets)
        {
            index.Add(frequency.Length + means.Length + question.Dataset);
            value.Add(DatasetWeight);
        }
        return new SparseRow([.. index], [.. value]);
    }
}
