using System.Text.Json;

namespace OptimalStopping.Runtime.Traces;

/// <summary>Which group (dataset, tenant) each query of a trace file is of, by a field of its lines.</summary>
/// <param name="Column">The field.</param>
/// <param name="Names">The groups, in the order in which they first occur.</param>
/// <param name="Of">For each query, in line order, its group's place in Names.</param>
public sealed record TraceGroups(string Column, IReadOnlyList<string> Names, int[] Of)
{
    /// <summary>The most groups; a field with more values is none that groups.</summary>
    public const int Most = 200;

    /// <summary>Reads a field of each line: `dataset`, `split`, or any other that holds a text, a number, true or false.</summary>
    /// <exception cref="ToolkitException">A line lacks the field, or it has more than <see cref="Most"/> values.</exception>
    public static TraceGroups Read(string path, string column)
    {
        var names = new Dictionary<string, int>();
        var of = new List<int>();
        foreach (TraceRecord record in TraceReader.ReadRecords(path))
        {
            string name = column switch
            {
                "dataset" => record.Dataset,
                "split" => record.Split,
                _ => Text(record.Extra.FirstOrDefault(field => field.Key == column).Value),
            };
            if (name.Length == 0)
                throw new ToolkitException($"{path}: query '{record.Id}': key '{column}': expected a text or number to group by, got none");
            if (!names.TryGetValue(name, out int group))
                names.Add(name, group = names.Count);
            if (names.Count > Most)
                throw new ToolkitException(
                    $"{path}: key '{column}': expected at most {Most} groups, got more, the last by query '{record.Id}'"
                );
            of.Add(group);
        }
        return new TraceGroups(column, [.. names.Keys], [.. of]);
    }

    private static string Text(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => value.GetString()!,
            JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
            _ => "",
        };

    /// <summary>The given queries, in their order; a query may stand several times.</summary>
    public TraceGroups Select(int[] rows) => this with { Of = [.. rows.Select(q => Of[q])] };
}
