namespace OptimalStopping.Runtime.Tasks;

/// <summary>
/// Draws queries of one split from the nano families with the traffic's mix: family by weight, many easy levels and
/// few hard ones. The sequence is a function of the seed and the split.
/// </summary>
public sealed class QueryGenerator
{
    /// <summary>Every family of the nano tasks, in reading order: text first, arithmetic after.</summary>
    public static IReadOnlyList<TaskFamily> Families { get; } =
    [.. TextTasks.Families, .. SequenceTasks.Families, .. ArithmeticTasks.Families];

    /// <summary>Share of levels 1 to 5 in the mix.</summary>
    public static IReadOnlyList<double> LevelShares { get; } = [0.32, 0.26, 0.20, 0.13, 0.09];

    private readonly Random _random;
    private readonly QuerySplit _split;
    private readonly TaskFamily[] _families;
    private readonly double _totalWeight;
    private int _count;

    /// <param name="seed">Decides the whole sequence.</param>
    /// <param name="split">Only prompts of this split are drawn.</param>
    /// <param name="families">Names of the families to draw from; null for all.</param>
    /// <exception cref="ToolkitException">A name is not a family.</exception>
    public QueryGenerator(int seed, QuerySplit split, IReadOnlyCollection<string>? families = null)
    {
        foreach (string name in families ?? [])
            if (Families.All(family => family.Name != name))
                throw new ToolkitException($"task family: expected one of {string.Join(", ", Families.Select(f => f.Name))}, got '{name}'");
        _random = new Random(HashCode(seed, split));
        _split = split;
        _families = [.. Families.Where(family => families is null || families.Contains(family.Name))];
        _totalWeight = _families.Sum(family => family.Weight);
    }

    /// <summary>The next query of the sequence. Prompts can repeat; <see cref="Distinct"/> draws without repeats.</summary>
    public Query Next()
    {
        while (true)
        {
            TaskFamily family = PickFamily();
            int level = PickLevel();
            var (arguments, solution) = family.Pose(_random, level);
            string prompt = $"{family.Name} {arguments}";
            if (QuerySplits.From(prompt) == _split)
                return new Query(
                    $"{_split.ToString().ToLowerInvariant()}-{_count++}-{family.Name}-{level}",
                    family.Name,
                    level,
                    prompt,
                    solution
                );
        }
    }

    /// <summary>The next queries of the sequence with every prompt at most once.</summary>
    /// <exception cref="ToolkitException">The families do not hold so many prompts.</exception>
    public Query[] Distinct(int count)
    {
        var seen = new HashSet<string>();
        var queries = new Query[count];
        for (int i = 0, repeats = 0; i < count; )
        {
            Query query = Next();
            if (seen.Add(query.Prompt))
                queries[i++] = query;
            else if (++repeats > 100 * count + 10_000)
                throw new ToolkitException($"queries: expected {count} distinct prompts of split {_split}, got only {i}");
        }
        return queries;
    }

    private TaskFamily PickFamily()
    {
        double point = _random.NextDouble() * _totalWeight;
        foreach (TaskFamily family in _families)
            if ((point -= family.Weight) < 0)
                return family;
        return _families[^1];
    }

    private int PickLevel()
    {
        double point = _random.NextDouble();
        for (int level = 1; level < LevelShares.Count; level++)
            if ((point -= LevelShares[level - 1]) < 0)
                return level;
        return LevelShares.Count;
    }

    // System.HashCode is salted per process; this one is not.
    private static int HashCode(int seed, QuerySplit split) => unchecked(seed * 31 + (int)split * 7919 + 17);
}
