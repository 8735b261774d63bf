namespace OptimalStopping.Experiments;

/// <summary>What to evaluate, and how.</summary>
/// <param name="Traces">The trace file.</param>
/// <param name="Out">The folder to write to; it is made when it does not exist.</param>
public sealed record EvaluationOptions(string Traces, string Out)
{
    /// <summary>Share of the queries to fit on, strictly between 0 and 1; the rest is the test part.</summary>
    public double TrainFraction { get; init; } = 0.5;

    /// <summary>Fit on at most this many queries of the train part; null for all.</summary>
    public int? TrainQueries { get; init; }

    /// <summary>Seed of the split and of the bootstrap.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Bootstrap resamples of the test part; 0 for no intervals.</summary>
    public int Resamples { get; init; } = 1000;

    /// <summary>
    /// Whether to add the row `recall-ceiling`: the default policy fitted on the test queries themselves. Nobody can have
    /// it; it shows how much more calibration queries could bring at most.
    /// </summary>
    public bool Ceiling { get; init; }

    /// <summary>Whether to take the default policy apart (EvaluationReport.Explained).</summary>
    public bool Explain { get; init; }
}
