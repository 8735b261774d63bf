using System.Globalization;
using CsvHelper;
using CsvHelper.Configuration;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// RouterBench as CSV, one row a query: sample_id, eval_name, and for each model M its score in column M and its cost in
/// `M|total_cost`.
/// </summary>
internal sealed class RouterBench : ITraceImporter
{
    private const string CostSuffix = "|total_cost";

    public string Name => "routerbench";

    public bool Recognizes(string path) => CsvRows.Head(path).Any(column => column.EndsWith(CostSuffix, StringComparison.Ordinal));

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        string[] models =
        [
            .. CsvRows
                .Head(path)
                .Where(column => column.EndsWith(CostSuffix, StringComparison.Ordinal))
                .Select(column => column[..^CostSuffix.Length]),
        ];
        foreach ((string place, CsvReader row) in CsvRows.Read(path))
        {
            string id = CsvRows.Required(row, "sample_id", place);
            foreach (string model in models)
                yield return new LoggedAnswer(place, id, CsvRows.Optional(row, "eval_name") ?? "", model)
                {
                    Quality = CsvRows.Number(row, model, place),
                    Cost = CsvRows.Number(row, model + CostSuffix, place),
                };
        }
    }
}

/// <summary>A table of one's own as CSV, one row an answer: columns id, model, cost, quality, confidence, dataset and answer, or others that the options name.</summary>
internal sealed class CsvAnswers : ITraceImporter
{
    public string Name => "csv";

    public bool Recognizes(string path) => path.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) && CsvRows.Head(path).Length > 1;

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        string Column(string name) => options.Columns.GetValueOrDefault(name, name);
        string[] head = CsvRows.Head(path);
        foreach (string needed in options.Columns.Values.Prepend(Column("model")).Prepend(Column("id")))
            if (!head.Contains(needed))
                throw new ToolkitException(
                    $"{path}:1: expected a column '{needed}', got {string.Join(", ", head)}; --columns id=NAME,model=NAME,... names them"
                );
        foreach ((string place, CsvReader row) in CsvRows.Read(path))
            yield return new LoggedAnswer(
                place,
                CsvRows.Required(row, Column("id"), place),
                CsvRows.Optional(row, Column("dataset")) ?? "",
                CsvRows.Required(row, Column("model"), place)
            )
            {
                Cost = CsvRows.Number(row, Column("cost"), place),
                Quality = CsvRows.Number(row, Column("quality"), place),
                Confidence = CsvRows.Number(row, Column("confidence"), place),
                Text = CsvRows.Optional(row, Column("answer")),
            };
    }
}

/// <summary>Rows of a CSV file, plain or gzipped, with their places.</summary>
internal static class CsvRows
{
    private static readonly CsvConfiguration Configuration = new(CultureInfo.InvariantCulture) { MissingFieldFound = null };

    /// <summary>The names of the columns; empty for what is no CSV file.</summary>
    public static string[] Head(string path)
    {
        if (
            !File.Exists(path)
            || !(path.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) || path.EndsWith(".csv.gz", StringComparison.OrdinalIgnoreCase))
        )
            return [];
        using var csv = new CsvReader(new StreamReader(LogJson.OpenPlain(path)), Configuration);
        return csv.Read() && csv.ReadHeader() ? csv.HeaderRecord ?? [] : [];
    }

    public static IEnumerable<(string Place, CsvReader Row)> Read(string path)
    {
        using var csv = new CsvReader(new StreamReader(LogJson.OpenPlain(path)), Configuration);
        csv.Read();
        csv.ReadHeader();
        while (Next(csv, path))
            yield return ($"{path}:{csv.Parser.RawRow.ToString(CultureInfo.InvariantCulture)}", csv);
    }

    public static string Required(CsvReader row, string column, string place) =>
        Optional(row, column) ?? throw new ToolkitException($"{place}: {column}: expected a text, got none");

    public static string? Optional(CsvReader row, string column) =>
        row.TryGetField(column, out string? text) && text is { Length: > 0 } ? text : null;

    public static double? Number(CsvReader row, string column, string place)
    {
        string? text = Optional(row, column);
        if (text is null || text.Equals("nan", StringComparison.OrdinalIgnoreCase) || text is "None" or "null" or "NA")
            return null;
        return text switch
        {
            "True" or "true" => 1,
            "False" or "false" => 0,
            _ => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double x) && double.IsFinite(x)
                ? x
                : throw new ToolkitException($"{place}: {column}: expected a number, got {TraceError.Shorten(text)}"),
        };
    }

    private static bool Next(CsvReader csv, string path)
    {
        try
        {
            return csv.Read();
        }
        catch (CsvHelperException fault)
        {
            throw new ToolkitException(
                $"{path}:{csv.Parser.RawRow}: expected a row of CSV, got: {TraceError.Shorten(fault.Message)}",
                fault
            );
        }
    }
}
