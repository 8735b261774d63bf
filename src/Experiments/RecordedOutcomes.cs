using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What the experiments run on: outcomes of a cascade's models on two disjoint sets of queries.</summary>
/// <param name="Models">Names of the stages.</param>
/// <param name="Calibration">Policies are fitted on these queries, and operating points chosen.</param>
/// <param name="Test">Everything reported is measured on these.</param>
public sealed record RecordedOutcomes(IReadOnlyList<string> Models, RecordedCascade Calibration, RecordedCascade Test)
{
    /// <summary>A policy that was made elsewhere and is compared with the others, or null.</summary>
    public GivenPolicy? Given { get; init; }

    /// <summary>From a cascade's own records: confidences calibrated on the calibration split.</summary>
    public static RecordedOutcomes Of(CascadeRecords records, ConfidenceCalibration calibration) =>
        new(
            records.Models,
            records.Of(CascadeRecords.Calibration).ToRecordedCascade(calibration.Confidence),
            records.Of(CascadeRecords.Test).ToRecordedCascade(calibration.Confidence)
        );

    /// <summary>From a trace file: half of its lines, drawn with the seed, calibrate and the other half test.</summary>
    public static RecordedOutcomes Of(TraceTable table, int seed, string source = "traces")
    {
        EvaluationSplit split = EvaluationSplit.Make(table.Cascade.Queries, 0.5, seed, source);
        return new RecordedOutcomes(table.Models, Select(table.Cascade, split.Train), Select(table.Cascade, split.Test));
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
