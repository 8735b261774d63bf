using System.Globalization;
using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>How an answer is compared with its reference; see <see cref="AnswerGrader"/>.</summary>
public enum Grading
{
    Exact,
    Numeric,
    Choice,
    Regex,
    Key,
    Agreement,
    Marked,
}

/// <summary>
/// Finds the final answer in a text that a model wrote, and compares it with a reference. What is compared is the text
/// after the last <c>&lt;/think&gt;</c>; a text whose thinking never ended has no answer.
/// </summary>
public sealed partial class AnswerGrader(Grading grading, string? pattern = null)
{
    internal const RegexOptions PatternOptions = RegexOptions.CultureInvariant | RegexOptions.NonBacktracking;
    internal static readonly TimeSpan PatternTimeout = TimeSpan.FromSeconds(1);

    /// <summary>The F1 score over words from which on two explanations agree.</summary>
    public const double LeastAgreement = 0.8;

    /// <summary>Grades the nano families, whose solutions are working, then <c>#</c>, then the answer.</summary>
    public static AnswerGrader Marked { get; } = new(Grading.Marked);

    private const string ThinkStart = "<think>",
        ThinkEnd = "</think>";

    private readonly Regex? _pattern = pattern is null ? null : new Regex(pattern, PatternOptions, PatternTimeout);

    /// <summary>
    /// The answer that a text gives, in a form in which equal answers are equal texts; null where it gives none.
    /// exact: the whole text, trimmed. numeric: the number after the last <c>####</c>, else in the last
    /// <c>\boxed{}</c>, else the last number, without thousands separators and trailing zeros. choice: the letter A to J
    /// in the last <c>\boxed{}</c>, else after the last "answer is" or "answer:", else one that stands alone at the start
    /// or the end. regex: the first group of the pattern's last match. key: the same in normal form, which is lower case,
    /// words and numbers only, no leading article. agreement: the whole text in normal form. marked: all
    /// that stands after the last <c>#</c>.
    /// </summary>
    public string? Extract(string text)
    {
        int end = text.LastIndexOf(ThinkEnd, StringComparison.Ordinal);
        if (end >= 0)
            text = text[(end + ThinkEnd.Length)..];
        else if (text.Contains(ThinkStart, StringComparison.Ordinal))
            return null;
        return grading switch
        {
            Grading.Numeric => Number(text),
            Grading.Choice => Choice(text),
            Grading.Regex => LastMatch(text)?.Trim(),
            Grading.Key => LastMatch(text.Trim()) is { } key ? Normalised(key) : null,
            Grading.Agreement => Normalised(text) is { Length: > 0 } words ? words : null,
            Grading.Marked => text.LastIndexOf('#') is >= 0 and var mark ? text[(mark + 1)..] : null,
            _ => text.Trim() is { Length: > 0 } answer ? answer : null,
        };
    }

    /// <summary>The reference in the form of <see cref="Extract"/>; a reference that holds no answer is compared as it is.</summary>
    public string Reference(string reference) =>
        grading switch
        {
            Grading.Numeric => Number(reference) ?? reference.Trim(),
            Grading.Choice => reference.Trim().ToUpperInvariant(),
            Grading.Marked => Extract(reference) ?? "",
            Grading.Key or Grading.Agreement => Extract(reference) ?? Normalised(reference),
            _ => reference.Trim(),
        };

    /// <summary>
    /// 1 where the text's answer is the reference's, otherwise 0. agreement: 1 where the two share at least
    /// <see cref="LeastAgreement"/> of their words, by the F1 score over words with their counts.
    /// </summary>
    public double Grade(string text, string reference) =>
        Extract(text) is not { } answer ? 0
        : grading == Grading.Agreement
            ? Agreement(answer, Reference(reference)) >= LeastAgreement ? 1
                : 0
        : answer == Reference(reference) ? 1
        : 0;

    // Twice the words in common, over the words of both (the F1 score of SQuAD; Rajpurkar et al. 2016).
    private static double Agreement(string answer, string reference)
    {
        string[] given = answer.Split(' '),
            expected = reference.Split(' ');
        var left = expected.CountBy(word => word).ToDictionary();
        int common = 0;
        foreach (string word in given)
            if (left.TryGetValue(word, out int count) && count > 0)
            {
                left[word] = count - 1;
                common++;
            }
        return 2.0 * common / (given.Length + expected.Length);
    }

    private string? LastMatch(string text) => _pattern!.Matches(text) is { Count: > 0 } found ? Group(found[^1]) : null;

    private static string Normalised(string text)
    {
        string words = OtherPattern().Replace(text.ToLowerInvariant(), " ").Trim();
        return ArticlePattern().Replace(words, "");
    }

    private static string? Number(string text)
    {
        int mark = text.LastIndexOf("####", StringComparison.Ordinal);
        string? boxed = Boxed(text);
        if (mark >= 0)
            text = text[(mark + 4)..];
        else if (boxed is not null)
            text = boxed;
        MatchCollection numbers = NumberPattern().Matches(text);
        if (numbers.Count == 0)
            return null;
        // After a mark the first number is the answer; in running text it is the last.
        string digits = numbers[mark >= 0 ? 0 : ^1].Value.Replace(",", "");
        if (
            !decimal.TryParse(
                digits,
                NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint,
                CultureInfo.InvariantCulture,
                out decimal value
            )
        )
            return digits.TrimStart('+'); // more digits than a decimal holds: compared as text
        string plain = value.ToString("0.############################", CultureInfo.InvariantCulture);
        return plain == "-0" ? "0" : plain;
    }

    private static string? Choice(string text)
    {
        if (Boxed(text) is { } boxed && LonePattern().Match(boxed) is { Success: true } inside)
            return inside.Groups[1].Value;
        if (SaidPattern().Matches(text) is { Count: > 0 } said)
            return said[^1].Groups[1].Value;
        string trimmed = text.Trim();
        if (StartPattern().Match(trimmed) is { Success: true } first)
            return first.Groups[1].Value;
        return EndPattern().Match(trimmed) is { Success: true } last ? last.Groups[1].Value : null;
    }

    // The inside of the last \boxed{...}, with braces counted.
    private static string? Boxed(string text)
    {
        const string mark = @"\boxed{";
        int start = text.LastIndexOf(mark, StringComparison.Ordinal);
        if (start < 0)
            return null;
        start += mark.Length;
        int depth = 1;
        for (int i = start; i < text.Length; i++)
        {
            if (text[i] == '{')
                depth++;
            else if (text[i] == '}' && --depth == 0)
                return text[start..i];
        }
        return null;
    }

    private static string Group(Match match) => match.Groups.Count > 1 ? match.Groups[1].Value : match.Value;

    [GeneratedRegex(@"[-+]?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]+)?|[-+]?\.[0-9]+", RegexOptions.CultureInvariant)]
    private static partial Regex NumberPattern();

    [GeneratedRegex(@"(?i:answer(?:\s+is)?\s*:?)\s*[\*\s\(\[""'{\\text]*?\b([A-J])\b", RegexOptions.CultureInvariant)]
    private static partial Regex SaidPattern();

    [GeneratedRegex(@"[^\p{L}\p{N}+#]+", RegexOptions.CultureInvariant)]
    private static partial Regex OtherPattern();

    [GeneratedRegex(@"^(the|an|a) (?=.)", RegexOptions.CultureInvariant)]
    private static partial Regex ArticlePattern();

    [GeneratedRegex(@"\b([A-J])\b", RegexOptions.CultureInvariant)]
    private static partial Regex LonePattern();

    [GeneratedRegex(@"^[\(\*""]*([A-J])(?:[\)\*""\.:,\n]|$)", RegexOptions.CultureInvariant)]
    private static partial Regex StartPattern();

    [GeneratedRegex(@"(?:^|[\s\(\*])([A-J])[\)\*\.""]*$", RegexOptions.CultureInvariant)]
    private static partial Regex EndPattern();
}
