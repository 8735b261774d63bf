using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Traces;

/// <summary>A trace file held compactly: flat arrays of cost, confidence and quality instead of an object per line.</summary>
/// <param name="Models">Names of the stages, in the order of the cascade.</param>
/// <param name="Cascade">
/// What each stage did on each query, in line order. A stage that a line does not mention is not recorded (NaN).
/// </param>
public sealed record TraceTable(IReadOnlyList<string> Models, RecordedCascade Cascade)
{
    /// <summary>
    /// Lines whose id an earlier line has. Where the same query stands twice, it can fall into both parts of a split, and
    /// intervals and guarantees that rest on independent queries are too good.
    /// </summary>
    public int RepeatedIds { get; init; }
}
