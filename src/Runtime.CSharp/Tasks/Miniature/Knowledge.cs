using System.Globalization;
using System.Text;

namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>A short text about a term.</summary>
/// <param name="Popularity">1 (hardly anyone knows it) to 100 (every child does); how often it is asked about.</param>
/// <param name="Term">As it stands inside a question, with its article: "a compiler", "photosynthesis".</param>
public sealed record Explanation(int Popularity, string Term, string Text);

/// <summary>One line of a relation.</summary>
public sealed record Fact(int Popularity, string Subject, string Answer);

/// <summary>Facts of one kind, with the ways to ask for them and the sentence that tells them.</summary>
/// <param name="Name">The file's name without its ending, such as <c>capitals</c>.</param>
/// <param name="Questions">Wordings; each holds <c>{0}</c>, the subject, once.</param>
/// <param name="Answer">A sentence with <c>{1}</c>, the answer, and in most relations <c>{0}</c>.</param>
public sealed record Relation(string Name, IReadOnlyList<string> Questions, string Answer, IReadOnlyList<Fact> Facts);

/// <summary>
/// What the miniature models are taught: short explanations and facts, each with a popularity. Files are text, one entry
/// a line, fields separated by tabs; models/miniature/knowledge/FORMAT.md describes them.
/// </summary>
public sealed record Knowledge(IReadOnlyList<Explanation> Explanations, IReadOnlyList<Relation> Relations)
{
    private const string QuestionKey = "question: ",
        AnswerKey = "answer: ",
        GradedKey = "key: ";

    /// <summary>Reads <c>explanations/*.tsv</c> and <c>facts/*.tsv</c>, files in the order of their names.</summary>
    /// <exception cref="ToolkitException">A folder is missing or empty, or a line is malformed: file, line, expected, got.</exception>
    public static Knowledge Load(string folder)
    {
        var explanations = new List<Explanation>();
        var terms = new HashSet<string>();
        foreach (string file in Files(folder, "explanations"))
        foreach (var (place, popularity, term, text) in Entries(file))
        {
            if (!terms.Add(term))
                throw new ToolkitException($"{place}: expected a term of its own, got '{term}' again");
            if (!text.EndsWith('.'))
                throw new ToolkitException($"{place}: expected sentences that end with a full stop, got '{text}'");
            explanations.Add(new Explanation(popularity, term, text));
        }
        return new Knowledge(explanations, [.. Files(folder, "facts").Select(ReadRelation)]);
    }

    private static Relation ReadRelation(string file)
    {
        List<string> questions = [],
            answers = [];
        int number = 0;
        foreach (string line in Lines(file))
        {
            number++;
            if (!line.StartsWith("# ", StringComparison.Ordinal))
                continue;
            string header = line[2..];
            if (header.StartsWith(QuestionKey, StringComparison.Ordinal))
                questions.Add(Holding(header[QuestionKey.Length..], "{0}"));
            else if (header.StartsWith(AnswerKey, StringComparison.Ordinal))
                answers.Add(Holding(header[AnswerKey.Length..], "{1}"));
            else if (header.StartsWith(GradedKey, StringComparison.Ordinal) && header != GradedKey + "{1}")
                throw new ToolkitException($"{file}:{number}: expected '# {GradedKey}{{1}}', got '{line}'");
        }
        if (questions.Count == 0 || answers.Count != 1)
            throw new ToolkitException(
                $"{file}: expected lines '# {QuestionKey}' and one '# {AnswerKey}', got {questions.Count} and {answers.Count}"
            );
        var facts = new List<Fact>();
        var subjects = new HashSet<string>();
        foreach (var (place, popularity, subject, answer) in Entries(file))
            facts.Add(
                subjects.Add(subject)
                    ? new Fact(popularity, subject, answer)
                    : throw new ToolkitException($"{place}: expected a subject of its own, got '{subject}' again")
            );
        if (facts.Count == 0)
            throw new ToolkitException($"{file}: expected facts, got none");
        return new Relation(Path.GetFileNameWithoutExtension(file), questions, answers[0], facts);

        string Holding(string template, string slot) =>
            template.Split(slot).Length == 2
                ? template
                : throw new ToolkitException($"{file}:{number}: expected {slot} once, got '{template}'");
    }

    private static IEnumerable<(string Place, int Popularity, string Subject, string Text)> Entries(string file)
    {
        int number = 0;
        foreach (string line in Lines(file))
        {
            number++;
            if (line.Length == 0 || line.StartsWith("# ", StringComparison.Ordinal))
                continue;
            string place = $"{file}:{number}";
            string[] fields = line.Split('\t');
            if (fields.Length != 3 || fields.Any(field => field.Length == 0 || field.Trim() != field))
                throw new ToolkitException($"{place}: expected popularity, TAB, subject, TAB, text, got '{line}'");
            if (!int.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out int popularity) || popularity is < 1 or > 100)
                throw new ToolkitException($"{place}: popularity: expected 1 to 100, got '{fields[0]}'");
            yield return (place, popularity, fields[1], fields[2]);
        }
    }

    private static string[] Files(string folder, string part)
    {
        string path = Path.Combine(folder, part);
        string[] files = Directory.Exists(path) ? [.. Directory.GetFiles(path, "*.tsv").Order(StringComparer.Ordinal)] : [];
        return files.Length > 0 ? files : throw new ToolkitException($"{path}: expected a folder with .tsv files, got none");
    }

    private static string[] Lines(string file)
    {
        try
        {
            return File.ReadAllLines(file, new UTF8Encoding(false, throwOnInvalidBytes: true));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            throw new ToolkitException($"{file}: expected a readable UTF-8 file, got: {error.Message.ReplaceLineEndings(" ")}", error);
        }
    }
}
