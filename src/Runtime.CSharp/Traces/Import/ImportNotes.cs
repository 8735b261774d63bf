using System.Globalization;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>What an import left out or found suspicious: each kind once, with how often it came and where first.</summary>
internal sealed class ImportNotes
{
    private readonly List<string> _order = [];
    private readonly Dictionary<string, (long Count, string First)> _seen = [];

    /// <summary>Counts one case of a kind, such as "answers without a score are left out".</summary>
    public void Add(string kind, string place)
    {
        if (_seen.TryGetValue(kind, out var seen))
            _seen[kind] = seen with { Count = seen.Count + 1 };
        else
        {
            _seen[kind] = (1, place);
            _order.Add(kind);
        }
    }

    /// <summary>One sentence for each kind, in the order in which they came up.</summary>
    public IReadOnlyList<string> ToLines() =>
        [.. _order.Select(kind => string.Create(CultureInfo.InvariantCulture, $"{_seen[kind].Count} {kind} (first: {_seen[kind].First})"))];
}
