namespace OptimalStopping.Runtime.Traces;

/// <summary>Which group (dataset, tenant) each query of a trace file is of, by a field of its lines.</summary>
/// <param name="Column">The field.</param>
/// <param name="Names">The groups, in the order in which they first occur.</param>
/// <param name="Of">For each query, in line order, its group's place in Names.</param>
public sealed record TraceGroups(string Column, IReadOnlyList<string> Names, int[] Of)
{
    /// <summary>The most groups; a field with more values is none that groups.</summary>
    public const int Most = 200;

    /// <summary>The given queries, in their order; a query may stand several times.</summary>
    public TraceGroups Select(int[] rows) => this with { Of = [.. rows.Select(q => Of[q])] };
}
