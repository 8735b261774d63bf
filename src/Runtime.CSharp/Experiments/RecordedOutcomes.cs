using OptimalStopping.Runtime.Ladder;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>What the experiments run on: outcomes of a ladder's models on two disjoint sets of queries.</summary>
/// <param name="Models">Names of the stages.</param>
/// <param name="Calibration">Policies are fitted on these queries, and operating points chosen.</param>
/// <param name="Test">Everything reported is measured on these.</param>
public sealed record RecordedOutcomes(IReadOnlyList<string> Models, RecordedLadder Calibration, RecordedLadder Test)
{
    /// <summary>A policy that was made elsewhere and is compared with the others, or null.</summary>
    public GivenPolicy? Given { get; init; }

    /// <summary>From a ladder's own records: confidences calibrated on the calibration split.</summary>
    public static RecordedOutcomes Of(LadderRecords records, SignalCalibration calibration) => new(
        records.Models,
        records.Of(LadderRecords.Calibration).ToRecordedLadder(calibration),
        records.Of(LadderRecords.Test).ToRecordedLadder(calibration));

    /// <summary>From a trace file: half of its lines, drawn with the seed, calibrate and the other half test.</summary>
    public static RecordedOutcomes Of(TraceTable table, int seed, string source = "traces")
    {
        EvaluationSplit split = EvaluationSplit.Make(table.Ladder.Queries, 0.5, seed, source);
        return new RecordedOutcomes(table.Models, Select(table.Ladder, split.Train), Select(table.Ladder, split.Test));
    }

    internal static RecordedLadder Select(RecordedLadder ladder, int[] rows)
    {
        T[] Pick<T>(T[] source, int width) => [.. rows.SelectMany(row => source.AsSpan(row * width, width).ToArray())];
        return RecordedLadder.Create(rows.Length, ladder.Stages, Pick(ladder.Cost, ladder.Stages), Pick(ladder.Confidence, ladder.Stages),
            Pick(ladder.Quality, ladder.Stages), ladder.HasAnswers ? Pick(ladder.Answer, ladder.Stages) : [],
            ladder.ContextWidth, Pick(ladder.Context, ladder.ContextWidth));
    }

    internal static int[] AllRows(RecordedLadder ladder) => [.. Enumerable.Range(0, ladder.Queries)];
}
