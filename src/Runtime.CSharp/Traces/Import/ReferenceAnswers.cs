using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// What grades the answers of a log without scores: JSON lines or CSV with an id (id, custom_id) and either a quality (quality, score)
/// or an answer (answer, target, reference). A text is right, quality 1, when it is the reference or ends in it as a word of its own,
/// without regard to case, spaces and a final full stop; else 0.
/// </summary>
internal sealed class ReferenceAnswers
{
    private static readonly string[] Ids = ["id", "custom_id"],
        Qualities = ["quality", "score"],
        Answers = ["answer", "target", "reference"];

    private readonly Dictionary<string, (double? Quality, string? Answer)> _all = [];

    public ReferenceAnswers(string path, ImportNotes notes)
    {
        if (CsvRows.Head(path).Length > 0)
            foreach ((string place, CsvHelper.CsvReader row) in CsvRows.Read(path))
                Add(
                    place,
                    First(Ids, name => CsvRows.Optional(row, name)),
                    Qualities.Select(name => CsvRows.Number(row, name, place)).FirstOrDefault(x => x is not null),
                    First(Answers, name => CsvRows.Optional(row, name)),
                    notes
                );
        else
            foreach ((string place, JsonElement line) in LogJson.Lines(path, notes))
                Add(
                    place,
                    First(Ids, name => line.Text(name)),
                    Qualities.Select(name => line.Number(name)).FirstOrDefault(x => x is not null),
                    First(Answers, name => line.Text(name)),
                    notes
                );
    }

    /// <summary>The quality of a text; null where there is no reference or no text.</summary>
    public double? Grade(string query, string? text)
    {
        if (!_all.TryGetValue(query, out var reference))
            return null;
        if (reference.Quality is { } quality)
            return quality;
        if (text is null || reference.Answer is null)
            return null;
        string got = Plain(text),
            wanted = Plain(reference.Answer);
        return got == wanted || got.EndsWith(" " + wanted, StringComparison.Ordinal) ? 1 : 0;
    }

    private void Add(string place, string? id, double? quality, string? answer, ImportNotes notes)
    {
        if (id is null || (quality is null && answer is null))
            throw new ToolkitException(
                $"{place}: expected an id ({string.Join(", ", Ids)}) and a quality ({string.Join(", ", Qualities)}) or an answer ({string.Join(", ", Answers)})"
            );
        if (!_all.TryAdd(id, (quality, answer)))
            notes.Add("second references of a query are left out", place);
    }

    private static string? First(string[] names, Func<string, string?> read) => names.Select(read).FirstOrDefault(text => text is not null);

    private static string Plain(string text) =>
        string.Join(' ', text.ToLowerInvariant().Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).TrimEnd('.', '!');
}
