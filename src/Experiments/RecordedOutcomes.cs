using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What the experiments run on: outcomes of a cascade's models on queries that are split in two.</summary>
/// <param name="Models">Names of the stages.</param>
/// <param name="All">All queries.</param>
/// <param name="CalibrationRows">Policies are fitted on these queries, and operating points chosen.</param>
/// <param name="TestRows">Everything reported is measured on these.</param>
public sealed record RecordedOutcomes(IReadOnlyList<string> Models, RecordedCascade All, int[] CalibrationRows, int[] TestRows)
{
    /// <summary>What else was recorded of the queries and answers; null for nothing.</summary>
    public TraceFeatures? Features { get; init; }

    /// <summary>A policy that was made elsewhere and is compared with the others, or null.</summary>
    public GivenPolicy? Given { get; init; }

    /// <summary>From a cascade's own records: confidences calibrated on the calibration split.</summary>
    /// <param name="features">What else the records' file holds.</param>
    public static RecordedOutcomes From(CascadeRecords records, ConfidenceCalibration calibration, TraceFeatures? features)
    {
        int[] Rows(string split) => [.. records.Records.Index().Where(r => r.Item.Split == split).Select(r => r.Index)];
        return new(
            records.Models,
            records.ToRecordedCascade(calibration.Confidence),
            Rows(CascadeRecords.Calibration),
            Rows(CascadeRecords.Test)
        )
        {
            Features = features,
        };
    }

    /// <summary>From a trace file: half of its lines, drawn with the seed, calibrate and the other half test.</summary>
    public static RecordedOutcomes From(TraceTable table, int seed, string source = "traces")
    {
        EvaluationSplit split = EvaluationSplit.Make(table.Cascade.Queries, 0.5, seed, source);
        return new RecordedOutcomes(table.Models, table.Cascade, split.Train, split.Test) { Features = table.Features };
    }

    internal static RecordedCascade Select(RecordedCascade cascade, int[] rows)
    {
        T[] Pick<T>(T[] source, int width) => [.. rows.SelectMany(row => source.AsSpan(row * width, width).ToArray())];
        return RecordedCascade.Create(
            rows.Length,
            cascade.Stages,
            Pick(cascade.Cost, cascade.Stages),
            Pick(cascade.Confidence, cascade.Stages),
            Pick(cascade.Quality, cascade.Stages),
            cascade.HasAnswers ? Pick(cascade.Answer, cascade.Stages) : [],
            cascade.ContextWidth,
            Pick(cascade.Context, cascade.ContextWidth)
        );
    }

    internal static int[] AllRows(RecordedCascade cascade) => [.. Enumerable.Range(0, cascade.Queries)];
}

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

/// <summary>A policy read from a file, with the recorded outcomes under the confidences that it was fitted for.</summary>
/// <param name="View">What it sees of all queries.</param>
public sealed record GivenPolicy(IStoppingPolicy Policy, double Lambda, RecordedCascade View)
{
    /// <summary>On a cascade's own records.</summary>
    /// <param name="traces">The file that the records are from.</param>
    public static GivenPolicy On(CascadeRecords records, PolicyFile policy, string traces) =>
        new(policy.Policy, policy.Lambda, ViewOf(records, policy, traces));

    /// <summary>On a trace file.</summary>
    /// <exception cref="ToolkitException">The traces are of other models, or lack what the policy needs.</exception>
    public static GivenPolicy On(string traces, TraceTable table, PolicyFile policy)
    {
        policy.RequireModels(table.Models, traces);
        if (policy.Calibration is not null && !CascadeRecords.AreIn(traces))
            throw new ToolkitException(
                $"{traces}: expected signals of every stage as 'toolkit collect' writes them, since the policy makes its confidences from signals, got none"
            );
        return policy.Calibration is null
            ? new(policy.Policy, policy.Lambda, policy.View(table.Cascade, table.Features, traces))
            : On(CascadeRecords.Load(traces), policy, traces);
    }

    private static RecordedCascade ViewOf(CascadeRecords records, PolicyFile policy, string traces) =>
        policy.View(
            records.ToRecordedCascade(policy.Confidence),
            policy.Features is null ? null : CascadeRecords.FeaturesOf(traces, records.Models),
            traces
        );
}

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

    /// <summary>Calibration questions, and test questions, of the experiment with looks.</summary>
    public int LookQueries { get; init; } = 1000;

    /// <summary>Calibration questions of the savings experiment, on which prices are measured and the policy is fitted.</summary>
    public int SavingsCalibration { get; init; } = 1000;

    /// <summary>Questions of the savings experiment that are timed.</summary>
    public int SavingsQueries { get; init; } = 400;

    /// <summary>Rounds over them; a question's time is the median.</summary>
    public int SavingsRounds { get; init; } = 5;
}
