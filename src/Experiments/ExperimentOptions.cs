namespace OptimalStopping.Experiments;

/// <summary>What decides the experiments' results besides the recorded outcomes.</summary>
public sealed record ExperimentOptions
{
    /// <summary>Of every resample, draw and learner.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Bootstrap resamples and random sign flips.</summary>
    public int Resamples { get; init; } = 10_000;

    /// <summary>Queries that a learner answers in one run of the regret experiment.</summary>
    public int Horizon { get; init; } = 100_000;

    /// <summary>Independent runs of each learner.</summary>
    public int Runs { get; init; } = 10;

    /// <summary>Bins of a confidence in the regret experiment.</summary>
    public int ConfidenceBins { get; init; } = 10;

    /// <summary>What running every stage costs in the regret experiment, in units of quality.</summary>
    public double RegretPrice { get; init; } = 0.3;

    /// <summary>What one answer of the largest model costs in the statistical experiment, in units of quality.</summary>
    public double TablePrice { get; init; } = 0.25;

    /// <summary>Prompts of the speculative experiment for each target.</summary>
    public int SpeculativePrompts { get; init; } = 60;

    /// <summary>Rounds of the speculative experiment that are timed; at least two, since draft lengths are chosen on one
    /// half of them and timed on the other.</summary>
    public int SpeculativeRounds { get; init; } = 10;

    /// <summary>Calibration queries, and test queries, of the cascade with and without draft reuse.</summary>
    public int SpeculativeQueries { get; init; } = 1000;
}
