namespace OptimalStopping.Experiments;

/// <summary>Runs the named experiments on recorded outcomes and writes their result files into a folder.</summary>
public static class ExperimentSuite
{
    /// <summary>Names that `--experiments` takes.</summary>
    public static IReadOnlyList<string> Names { get; } = ["all", "regret", "tradeoff", "statistical", Speculative];

    /// <summary>The experiment that runs models by itself, needs no recorded outcomes and is not part of `all`: what it measures is time.</summary>
    public const string Speculative = "speculative";

    /// <summary>Runs one experiment, or all.</summary>
    /// <param name="progress">Told the step and the share of it that is done.</param>
    public static void Run(
        string which,
        RecordedOutcomes outcomes,
        ExperimentOptions options,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        if (!Names.Contains(which))
            throw new ToolkitException($"experiments: expected {string.Join(", ", Names)}, got '{which}'");
        if (which == Speculative)
            throw new ToolkitException("experiments: speculative: expected models to run, got recorded outcomes");
        if (which is "all" or "tradeoff" or "statistical")
        {
            PolicyBench bench = PolicyBench.Fit(outcomes, progress, cancel);
            progress("intervals and tests", 0);
            if (which != "statistical")
                TradeoffExperiment.Run(bench, options, folder);
            cancel.ThrowIfCancellationRequested();
            if (which != "tradeoff")
                StatisticalExperiment.Run(bench, options, folder);
        }
        if (which is "all" or "regret")
            RegretExperiment.Run(outcomes, options, folder, share => progress("regret", share), cancel);
    }
}
