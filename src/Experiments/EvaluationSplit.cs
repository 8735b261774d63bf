namespace OptimalStopping.Experiments;

/// <summary>The split of a trace file into a train and a test part: a shuffle of the line order with the seed.</summary>
/// <param name="Train">Lines (0-based, blank lines not counted) of the train part, in random order.</param>
/// <param name="Test">Lines of the test part, in random order.</param>
public sealed record EvaluationSplit(int[] Train, int[] Test)
{
    /// <summary>Splits; both parts have at least two queries.</summary>
    /// <param name="source">What holds the queries, for the message.</param>
    /// <exception cref="ToolkitException">Fewer than four queries, or a fraction outside (0, 1).</exception>
    public static EvaluationSplit Make(int queries, double trainFraction, int seed, string source = "traces")
    {
        if (!(trainFraction > 0 && trainFraction < 1))
            throw new ToolkitException($"train fraction: expected a number strictly between 0 and 1, got {trainFraction}");
        if (queries < 4)
            throw new ToolkitException($"{source}: expected at least 4 queries to split, got {queries}");
        var order = Enumerable.Range(0, queries).ToArray();
        new Random(seed).Shuffle(order);
        var train = Math.Clamp((int)Math.Round(trainFraction * queries), 2, queries - 2);
        return new(order[..train], order[train..]);
    }
}
