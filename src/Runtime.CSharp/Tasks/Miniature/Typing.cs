using System.Text;

namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>How people type a question: in lower case, without its question mark, with a greeting or a "please".</summary>
internal static class Typing
{
    private static readonly string[] Openings =
    [
        "Hi, ",
        "Hello, ",
        "Hey, ",
        "Please tell me: ",
        "Question: ",
        "Quick question: ",
        "I have a question. ",
        "Can you help me? ",
        "So, ",
        "Ok, ",
    ];

    private static readonly string[] Closings = [" Please.", " please", " Thanks!", " Thank you.", " Please answer briefly.", " thx"];

    /// <summary>The question as typed.</summary>
    public static string Typed(this Random random, PosedQuestion question)
    {
        string text = question.Text;
        if (random.Chance(0.08))
            text = random.Pick(Openings) + text;
        if (random.Chance(0.05))
            text += random.Pick(Closings);
        double point = random.NextDouble();
        if (point < 0.3 && !question.KeepCase)
            text = text.ToLowerInvariant();
        if (point is < 0.15 or > 0.9)
            text = text.TrimEnd('?', '.', '!');
        return text;
    }

    /// <summary>
    /// What two spellings of one question share: its words and signs in lower case, without spaces and marks at the end.
    /// Splits are decided by it, so that no question is trained on in one spelling and tested in another.
    /// </summary>
    public static string Normalised(string text)
    {
        var kept = new StringBuilder(text.Length);
        foreach (char c in text.TrimEnd('?', '.', '!', ' ', '='))
            if (!char.IsWhiteSpace(c) && c is not ('"' or ',' or ':' or '?' or '!'))
                kept.Append(char.ToLowerInvariant(c));
        return kept.ToString();
    }
}
