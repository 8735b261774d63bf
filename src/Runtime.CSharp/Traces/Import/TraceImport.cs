using System.Globalization;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>What an import read and wrote.</summary>
/// <param name="Format">Name of the format.</param>
/// <param name="Queries">Lines written.</param>
/// <param name="Models">The models in the order of their mean costs, cheapest first: the order of the stages.</param>
/// <param name="Answers">Per model, on how many of the queries it is recorded.</param>
/// <param name="Notes">What was left out, and what looks like a slip.</param>
public sealed record ImportResult(
    string Format,
    int Queries,
    IReadOnlyList<string> Models,
    IReadOnlyList<int> Answers,
    IReadOnlyList<string> Notes
);

/// <summary>
/// `toolkit import`: logs of other tools, one answer of one model at a time and in any order, joined by query into a trace file.
/// The stages stand in the order of the models' mean costs. An answer without a quality is left out and counted; one without a
/// confidence is kept.
/// </summary>
public static class TraceImport
{
    // Sniffed in this order: what has the clearest marks first.
    private static readonly ITraceImporter[] Importers =
    [
        new OwnTraces(),
        new BatchOutput(),
        new LiteLlm(),
        new LmEvaluationHarness(),
        new Langfuse(),
        new InspectLog(),
        new LlmRouterBench(),
        new RouterBench(),
        new CsvAnswers(),
    ];

    /// <summary>Names of the formats.</summary>
    public static IReadOnlyList<string> Formats { get; } = [.. Importers.Select(importer => importer.Name).Order(StringComparer.Ordinal)];

    /// <summary>Name of the toolkit's own format.</summary>
    public const string Own = "traces";

    /// <summary>The format that a file or folder looks like; null for none that is known.</summary>
    /// <exception cref="ToolkitException">There is no such file or folder.</exception>
    public static string? Sniff(string path)
    {
        if (!File.Exists(path) && !Directory.Exists(path))
            throw new ToolkitException($"{path}: expected a file or folder of logs, got none");
        return Importers.FirstOrDefault(importer => importer.Recognizes(path))?.Name;
    }

    /// <summary>Reads logs of one format and writes a trace file, whole or not at all.</summary>
    /// <exception cref="ToolkitException">
    /// No known format, a malformed place, a model without a cost, a quality outside [0,1], or a file that cannot be written.
    /// </exception>
    public static ImportResult Run(IReadOnlyList<string> paths, string file, ImportOptions options, CancellationToken cancel = default)
    {
        string format = options.Format
            ?? Sniff(paths[0])
            ?? throw new ToolkitException(
                $"{paths[0]}: expected logs of a known format ({string.Join(", ", Formats)}), got something else; --format names one"
            );
        ITraceImporter importer = Importers.FirstOrDefault(i => i.Name == format)
            ?? throw new ToolkitException($"format: expected one of {string.Join(", ", Formats)}, got {format}");
        var notes = new ImportNotes();
        ReferenceAnswers? references = options.References is null ? null : new ReferenceAnswers(options.References, notes);
        var joined = new AnswerTable(options);
        foreach (string path in paths)
        {
            Sniff(path); // a clear word about a file that is not there
            foreach (LoggedAnswer answer in importer.Read(path, options, notes))
            {
                cancel.ThrowIfCancellationRequested();
                joined.Add(
                    references is null ? answer : answer with { Quality = answer.Quality ?? references.Grade(answer.Query, answer.Text) },
                    notes
                );
            }
        }
        if (joined.Queries == 0)
            throw new ToolkitException(
                $"{paths[0]}: expected answers with a quality, got none{string.Concat(notes.ToLines().Select(line => "; " + line))}"
            );
        IReadOnlyList<(string Model, int Answers)> stages = joined.Write(file, cancel);
        return new(format, joined.Queries, [.. stages.Select(s => s.Model)], [.. stages.Select(s => s.Answers)], notes.ToLines());
    }
}

/// <summary>Answers by query and model, compactly: four numbers for each pair.</summary>
internal sealed class AnswerTable(ImportOptions options)
{
    private readonly record struct Cell(bool Recorded, double Cost, double Confidence, double Quality);

    private sealed class Column(string model)
    {
        public readonly string Model = model;
        public readonly List<Cell> Cells = [];
        public string? WithoutCost;
        public double TotalCost;
        public int Answers;
    }

    private readonly Dictionary<(string Dataset, string Id), int> _rows = [];
    private readonly List<(string Dataset, string Id)> _names = [];
    private readonly Dictionary<string, Column> _columns = [];

    public int Queries => _rows.Count;

    public void Add(LoggedAnswer answer, ImportNotes notes)
    {
        if (options.Models is { } wanted && !wanted.Contains(answer.Model))
        {
            notes.Add("answers of models that --models does not name are left out", answer.Place);
            return;
        }
        if (answer.Quality is not { } quality)
        {
            notes.Add("answers without a quality are left out; --references FILE can bring one", answer.Place);
            return;
        }
        if (quality is < 0 or > 1)
            throw new ToolkitException(
                $"{answer.Place}: quality: expected a number in [0,1], got {quality.ToString(CultureInfo.InvariantCulture)}; --metric chooses another"
            );
        double? confidence = answer.Confidence;
        if (confidence is < 0 or > 1)
        {
            notes.Add("confidences outside [0,1] are left out", answer.Place);
            confidence = null;
        }
        if (!_columns.TryGetValue(answer.Model, out Column? column))
            _columns.Add(answer.Model, column = new Column(answer.Model));
        if (Cost(answer) is not { } cost || cost < 0)
        {
            column.WithoutCost ??= answer.Place;
            notes.Add("answers without a cost are left out", answer.Place);
            return;
        }
        if (!_rows.TryGetValue((answer.Dataset, answer.Query), out int row))
        {
            row = _names.Count;
            _rows.Add((answer.Dataset, answer.Query), row);
            _names.Add((answer.Dataset, answer.Query));
        }
        while (column.Cells.Count <= row)
            column.Cells.Add(default);
        if (column.Cells[row].Recorded)
        {
            notes.Add("second answers of a model to the same query are left out", answer.Place);
            return;
        }
        column.Cells[row] = new(true, cost, confidence ?? double.NaN, quality);
        column.TotalCost += cost;
        column.Answers++;
    }

    /// <summary>Writes the trace file and returns the stages with how many queries each is recorded on.</summary>
    public IReadOnlyList<(string Model, int Answers)> Write(string file, CancellationToken cancel)
    {
        foreach (Column column in _columns.Values)
            if (column.Answers == 0 && column.WithoutCost is { } place)
                throw new ToolkitException(
                    $"{place}: expected a cost of {column.Model}, got none; give --cost {column.Model}=NUMBER (an answer) or --price {column.Model}=IN/OUT (a million tokens)"
                );
        Column[] stages =
        [
            .. _columns.Values.Where(c => c.Answers > 0).OrderBy(c => c.TotalCost / c.Answers).ThenBy(c => c.Model, StringComparer.Ordinal),
        ];
        if (stages.Length > RecordedCascade.MaxStages)
            throw new ToolkitException(
                $"expected at most {RecordedCascade.MaxStages} models, got {stages.Length}; choose with --models: {string.Join(", ", stages.Select(s => s.Model))}"
            );
        AtomicFile.Write(file, stream =>
        {
            using var writer = new TraceWriter(stream, leaveOpen: true);
            for (int row = 0; row < _names.Count; row++)
            {
                cancel.ThrowIfCancellationRequested();
                writer.Write(new TraceRecord(_names[row].Id, _names[row].Dataset, "", Stages(stages, row)));
            }
        });
        return [.. stages.Select(s => (s.Model, s.Answers))];
    }

    private static List<TraceStage> Stages(Column[] stages, int row)
    {
        var list = new List<TraceStage>(stages.Length);
        foreach (Column stage in stages)
            if (row < stage.Cells.Count && stage.Cells[row] is { Recorded: true } cell)
                list.Add(new TraceStage(stage.Model, cell.Cost, double.IsNaN(cell.Confidence) ? null : cell.Confidence, cell.Quality));
        return list;
    }

    private double? Cost(LoggedAnswer answer)
    {
        if (options.Costs.TryGetValue(answer.Model, out double given))
            return given;
        if (
            options.Prices.TryGetValue(answer.Model, out var price)
            && answer.PromptTokens is { } prompt
            && answer.AnswerTokens is { } written
        )
            return (prompt * price.Prompt + written * price.Answer) / 1e6;
        return answer.Cost;
    }
}
