namespace OptimalStopping.Runtime.Tasks;

/// <summary>Grades a model's text by exact match of the final answer; the working before it is not graded.</summary>
public static class Grader
{
    /// <summary>Separates the working from the answer.</summary>
    public const char AnswerMark = '#';

    /// <summary>The text after the last <c>#</c>, or null where the text has none (an answer was never given).</summary>
    public static string? ExtractAnswer(string text)
    {
        int mark = text.LastIndexOf(AnswerMark);
        return mark < 0 ? null : text[(mark + 1)..];
    }

    /// <summary>1 where the text's answer equals the reference's, otherwise 0.</summary>
    public static double Grade(Query query, string text) =>
        query.Grader is { } own ? own.Grade(text, query.Solution)
        : ExtractAnswer(text) is { } answer && answer == query.Answer ? 1.0
        : 0.0;
}
