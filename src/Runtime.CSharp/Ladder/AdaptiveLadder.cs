using System.Diagnostics;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Ladder;

/// <summary>One model's turn at a prompt.</summary>
public sealed record StageAnswer(int Stage, string Text, double Confidence, double Seconds, int Tokens);

/// <summary>How a prompt was answered.</summary>
/// <param name="Turns">The models that ran, in order.</param>
/// <param name="Chosen">The turn whose answer is returned; under recall it may be an earlier one.</param>
/// <param name="Cost">Sum of the costs of the models that ran.</param>
public sealed record AdaptiveAnswer(IReadOnlyList<StageAnswer> Turns, StageAnswer Chosen, double Cost);

/// <summary>
/// Answers prompts with the stopping policy for one price of cost: after each model its calibrated confidence decides
/// whether to stop, or which later model to ask.
/// </summary>
public sealed class AdaptiveLadder
{
    private readonly ModelLadder _ladder;
    private readonly SignalCalibration _calibration;
    private readonly IStoppingPolicy _policy;

    private AdaptiveLadder(ModelLadder ladder, SignalCalibration calibration, IStoppingPolicy policy) =>
        (_ladder, _calibration, _policy) = (ladder, calibration, policy);

    /// <summary>
    /// Fits calibration and the plan (jump, or jump with recall, as the ladder file says) on the calibration records of a file that `toolkit collect` wrote.
    /// </summary>
    /// <param name="records">At least 100 of the calibration split; records of other splits are not looked at.</param>
    /// <param name="lambda">Price of cost: quality that one unit of cost is worth; at least 0.</param>
    public static AdaptiveLadder Fit(ModelLadder ladder, LadderRecords records, double lambda)
    {
        string[] names = [.. ladder.File.Stages.Select(stage => stage.Name)];
        if (!records.Models.SequenceEqual(names))
            throw new ToolkitException($"calibration records: expected the models {string.Join(", ", names)}, got {string.Join(", ", records.Models)}");
        records = records.Of(LadderRecords.Calibration);
        if (records.Records.Count < 100)
            throw new ToolkitException($"calibration records: expected at least 100 of split '{LadderRecords.Calibration}', got {records.Records.Count}");
        SignalCalibration calibration = SignalCalibration.Fit(records);
        RecordedLadder data = records.ToRecordedLadder(calibration);
        // The estimator that cross-validation picks for thousands of calibrated confidences; fitting one plan takes a moment.
        EstimatorSettings settings = PlannedFamily.candidates(data.Stages, data.Queries).Last(s => s.Realised == 0);
        var planner = new Planner(data, [.. Enumerable.Range(0, data.Queries)], ladder.File.Recall ? ActionSet.Recall : ActionSet.Jump, settings);
        return new AdaptiveLadder(ladder, calibration, planner.Plan(lambda).Policy);
    }

    /// <summary>Answers a prompt.</summary>
    /// <param name="onStage">Told the stage that starts to write.</param>
    /// <param name="onText">Told each piece of text as it is written.</param>
    public AdaptiveAnswer Answer(string prompt, Action<int>? onStage = null, Action<string>? onText = null, CancellationToken cancel = default)
    {
        int[] tokens = _ladder.Tokenizer.Encode(prompt);
        int stages = _ladder.Models.Count;
        var confidence = new double[stages];
        var labels = new int[stages];
        var turns = new List<StageAnswer>();
        Array.Fill(confidence, double.NaN);
        Array.Fill(labels, -1);
        uint ran = 0;
        double cost = 0;
        while (true)
        {
            Decision decision = _policy.Decide(new Observation(ran, confidence, labels, []));
            if (decision.Stop) return new AdaptiveAnswer(turns, turns.First(turn => turn.Stage == decision.Stage), cost);
            int stage = decision.Stage;
            onStage?.Invoke(stage);
            long start = Stopwatch.GetTimestamp();
            Generation generation = _ladder.Decoder(stage).Decode(tokens, token => onText?.Invoke(_ladder.Tokenizer.Decode([token])), cancel);
            string text = _ladder.Tokenizer.Decode(generation.Tokens);
            confidence[stage] = _calibration.Confidence(stage, generation.Signals);
            string answer = Tasks.Grader.ExtractAnswer(text) ?? "";
            StageAnswer? same = turns.FirstOrDefault(turn => (Tasks.Grader.ExtractAnswer(turn.Text) ?? "") == answer);
            labels[stage] = same is null ? stage : labels[same.Stage];
            turns.Add(new StageAnswer(stage, text, confidence[stage], Stopwatch.GetElapsedTime(start).TotalSeconds, generation.Signals.Length));
            ran |= 1u << stage;
            cost += _ladder.File.Stages[stage].Cost;
        }
    }
}
