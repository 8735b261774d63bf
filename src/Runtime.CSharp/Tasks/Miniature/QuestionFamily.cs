namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>A question before it is dressed as people type it.</summary>
/// <param name="Text">In plain spelling: capitals and question mark where they belong.</param>
/// <param name="Answer">One or two sentences.</param>
/// <param name="Level">Difficulty, 1 (easiest) to 5.</param>
/// <param name="Grader">Finds what is graded in an answer.</param>
/// <param name="KeepCase">True: capitals carry meaning ("Au"), so the text is not to be written in lower case.</param>
internal sealed record PosedQuestion(string Text, string Answer, int Level, AnswerGrader Grader, bool KeepCase = false);

/// <summary>Questions of one kind.</summary>
/// <param name="Weight">Share of the mix, relative to the other families.</param>
internal sealed record QuestionFamily(string Name, double Weight, Func<Random, PosedQuestion> Pose);

/// <summary>Draws that every family makes.</summary>
internal static class Draws
{
    /// <summary>One of the texts; the first half is twice as likely, as the usual wordings are written first.</summary>
    public static string Wording(this Random random, params ReadOnlySpan<string> texts)
    {
        int half = (texts.Length + 1) / 2,
            point = random.Next(texts.Length + half);
        return texts[point < texts.Length ? point : point - texts.Length];
    }

    public static T Pick<T>(this Random random, IReadOnlyList<T> items) => items[random.Next(items.Count)];

    public static bool Chance(this Random random, double probability) => random.NextDouble() < probability;

    /// <summary>A number with a digits count drawn by the weights (first for one digit), from <paramref name="least"/> on.</summary>
    public static int Number(this Random random, int least, params ReadOnlySpan<double> digitWeights)
    {
        double total = 0;
        foreach (double weight in digitWeights)
            total += weight;
        double point = random.NextDouble() * total;
        int digits = 1,
            low = 0,
            high = 10;
        foreach (double weight in digitWeights)
        {
            if ((point -= weight) < 0 || digits == digitWeights.Length)
                break;
            digits++;
            (low, high) = (high, high * 10);
        }
        return random.Next(Math.Max(low, least), high);
    }

    public static string Capitalised(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..];
}

/// <summary>Items drawn with probabilities proportional to weights.</summary>
internal sealed class WeightedChoice<T>
{
    private readonly IReadOnlyList<T> _items;
    private readonly double[] _cumulative;

    public WeightedChoice(IReadOnlyList<T> items, Func<T, double> weight)
    {
        _items = items;
        _cumulative = new double[items.Count];
        double total = 0;
        for (int i = 0; i < items.Count; i++)
            _cumulative[i] = total += weight(items[i]);
    }

    public T Draw(Random random)
    {
        int at = Array.BinarySearch(_cumulative, random.NextDouble() * _cumulative[^1]);
        return _items[Math.Min(at < 0 ? ~at : at + 1, _items.Count - 1)];
    }
}
