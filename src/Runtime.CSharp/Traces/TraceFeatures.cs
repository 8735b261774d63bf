namespace OptimalStopping.Runtime.Traces;

/// <summary>
/// What a trace file holds beside cost, confidence and quality: the question's text and dataset, and numbers that the
/// stages recorded with their answers (their tokens, and every named number beside them).
/// </summary>
public sealed class TraceFeatures
{
    /// <summary>Queries; a file with more keeps no text, which would not fit into memory.</summary>
    public const int MostTexts = 100_000;

    /// <summary>Names of the datasets, in the order in which they first occur; empty where the file names at most one.</summary>
    public required IReadOnlyList<string> Datasets { get; init; }

    /// <summary>Each query's dataset, as a place in Datasets; empty when Datasets is.</summary>
    public required int[] Dataset { get; init; }

    /// <summary>Measures of each question's text (<see cref="QuestionText.Measures"/>), or an empty array without texts.</summary>
    public required double[] Measures { get; init; }

    /// <summary>The n-grams of each question; empty without texts.</summary>
    public required IReadOnlyList<(ushort[] Bin, float[] Weight)> Grams { get; init; }

    /// <summary>Names of the numbers recorded with answers.</summary>
    public required IReadOnlyList<string> Recorded { get; init; }

    /// <summary>Entry (q * stages + k) * Recorded.Count + s: number s of stage k on query q; NaN where it was not recorded.</summary>
    public required float[] Values { get; init; }

    /// <summary>Nothing beside cost, confidence, quality and answers.</summary>
    public static TraceFeatures None { get; } =
        new()
        {
            Datasets = [],
            Dataset = [],
            Measures = [],
            Grams = [],
            Recorded = [],
            Values = [],
        };

    /// <summary>Of questions without a dataset.</summary>
    /// <param name="questions">Their texts.</param>
    /// <param name="recorded">Names of the numbers recorded with answers.</param>
    /// <param name="values">As <see cref="Values"/>.</param>
    public static TraceFeatures From(IReadOnlyList<string> questions, IReadOnlyList<string> recorded, float[] values)
    {
        int width = QuestionText.Measures.Count;
        var measures = new double[questions.Count * width];
        for (int q = 0; q < questions.Count; q++)
            QuestionText.Measure(questions[q], measures.AsSpan(q * width, width));
        return new()
        {
            Datasets = [],
            Dataset = [],
            Measures = measures,
            Grams = [.. questions.Select(QuestionText.Grams)],
            Recorded = recorded,
            Values = values,
        };
    }

    /// <summary>Whether the texts of the questions are known.</summary>
    public bool HasText => Grams.Count > 0;

    /// <summary>The same with the stages in another order.</summary>
    /// <param name="from">Per stage, where it stands now.</param>
    public TraceFeatures Reordered(int[] from)
    {
        int width = Recorded.Count,
            stages = from.Length;
        var values = new float[Values.Length];
        for (int i = 0; width > 0 && i < values.Length / width; i++)
            Values.AsSpan((i - i % stages + from[i % stages]) * width, width).CopyTo(values.AsSpan(i * width));
        return With(Dataset, Measures, Grams, values);
    }

    /// <summary>The given queries, in their order; a query may stand several times.</summary>
    public TraceFeatures Select(int[] rows)
    {
        int queries = Datasets.Count > 0 ? Dataset.Length : Grams.Count;
        int width = Recorded.Count == 0 ? 0 : Values.Length / (queries > 0 ? queries : 1);
        return With(
            Datasets.Count == 0 ? [] : [.. rows.Select(q => Dataset[q])],
            HasText ? Pick(Measures, QuestionText.Measures.Count) : [],
            HasText ? [.. rows.Select(q => Grams[q])] : [],
            Pick(Values, width)
        );

        T[] Pick<T>(T[] source, int each) => [.. rows.SelectMany(q => source.AsSpan(q * each, each).ToArray())];
    }

    private TraceFeatures With(int[] dataset, double[] measures, IReadOnlyList<(ushort[] Bin, float[] Weight)> grams, float[] values) =>
        new()
        {
            Datasets = Datasets,
            Dataset = dataset,
            Measures = measures,
            Grams = grams,
            Recorded = Recorded,
            Values = values,
        };
}
