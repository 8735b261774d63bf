using System.Collections.Concurrent;
using System.Text.Json;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory;

namespace OptimalStopping.Server;

/// <summary>How far the confidences of a stage are from the grades of its answers.</summary>
/// <param name="Mean">Mean of quality less confidence; positive where the stage is better than it says.</param>
/// <param name="Low">Lower end of an interval that holds at all times at once.</param>
internal readonly record struct CalibrationGap(long Count, double Mean, double Low, double High);

/// <summary>
/// Takes grades of answers: keeps them on the disk, watches quality and calibration with intervals that may be looked at
/// after every grade, and feeds the online learner. Everything is rebuilt from the log at the next start.
/// </summary>
internal sealed class FeedbackService : IAsyncDisposable
{
    /// <summary>Answers that can still be graded; older ones are forgotten.</summary>
    public const int MostPending = 20_000;

    private readonly Lock _lock = new();
    private readonly ConcurrentDictionary<string, GradedAnswer> _pending = new();
    private readonly ConcurrentQueue<string> _order = new();
    private readonly FeedbackLog? _log;
    private readonly ConfidenceSequence[] _gaps;
    private readonly (long Count, double Sum)[] _gapSums;

    public FeedbackService(CascadeFile cascade, ServeOptions options, PolicyStore policies, OnlineLearner? learner)
    {
        Learner = learner;
        double floor = double.IsNaN(options.Guarantee)
            ? Math.Clamp(policies.Default.ExpectedQuality - ServeOptions.GuaranteeSlack, 0.01, 0.99)
            : options.Guarantee;
        Quality = ConfidenceSequences.Start(options.Delta);
        Alarm = ConfidenceSequences.StartAlarm(floor, options.Delta);
        _gaps = [.. cascade.Stages.Select(_ => ConfidenceSequences.Start(options.Delta))];
        _gapSums = new (long, double)[_gaps.Length];
        if (options.State is not { } folder)
            return;
        string header = JsonSerializer.Serialize(
            new
            {
                toolkit_feedback = 1,
                models = cascade.Stages.Select(stage => stage.Name),
                costs = cascade.Stages.Select(stage => stage.Cost),
                learner = learner is not null,
                lambda = double.IsNaN(policies.Default.Lambda) ? -1 : policies.Default.Lambda,
            }
        );
        _log = FeedbackLog.Open(Path.Combine(folder, "feedback.jsonl"), header, grade => Take(grade));
    }

    public OnlineLearner? Learner { get; }

    /// <summary>Mean quality of the default policy's answers.</summary>
    public ConfidenceSequence Quality { get; private set; }

    public QualityAlarm Alarm { get; private set; }

    /// <summary>Grades taken, those of earlier runs included.</summary>
    public long Grades { get; private set; }

    public CalibrationGap Gap(int stage)
    {
        lock (_lock)
        {
            var (count, sum) = _gapSums[stage];
            // The sequence watches (gap + 1) / 2, which lies in [0,1].
            return new CalibrationGap(count, count == 0 ? 0 : sum / count, 2 * _gaps[stage].Low - 1, 2 * _gaps[stage].High - 1);
        }
    }

    /// <summary>Remembers an answer, so that its grade finds what it belongs to.</summary>
    public void Expect(string id, ServedPolicy policy, bool isDefault, AdaptiveAnswer answer)
    {
        // A learner's policy is a path through the stages; one around a failed stage is not of its distribution.
        bool learns = policy.Version >= 0 && answer.Failures.Count == 0;
        _pending[id] = new GradedAnswer(
            id,
            policy.Kind,
            isDefault,
            learns ? policy.Version : -1,
            answer.Chosen.Stage,
            learns ? [.. answer.Turns.Select(turn => OnlineLearner.Bin(turn.Confidence))] : [],
            answer.Chosen.Confidence,
            0
        );
        _order.Enqueue(id);
        while (_order.Count > MostPending && _order.TryDequeue(out string? old))
            _pending.TryRemove(old, out _);
    }

    /// <summary>Takes a grade; when the task ends well, it is on the disk and in the monitors.</summary>
    /// <returns>The answer's stage, and whether the learner learnt from it.</returns>
    public async Task<(int Stage, bool Learned)> GradeAsync(string id, double quality)
    {
        if (!_pending.TryRemove(id, out GradedAnswer? answer))
            throw new ApiError(
                404,
                "invalid_request_error",
                $"expected the id of one of the last {MostPending} ungraded responses of this server, got '{(id.Length <= 60 ? id : id[..57] + "...")}'",
                "id",
                "response_not_found"
            );
        GradedAnswer grade = answer with { Quality = quality };
        try
        {
            return (grade.Stage, _log is null ? Take(grade) : await _log.AppendAsync(grade, () => Take(grade)).ConfigureAwait(false));
        }
        catch
        {
            _pending[id] = answer; // it may be tried again
            throw;
        }
    }

    public ValueTask DisposeAsync() => _log?.DisposeAsync() ?? default;

    private bool Take(GradedAnswer grade)
    {
        lock (_lock)
        {
            Grades++;
            if (grade.Stage < _gaps.Length)
            {
                double gap = grade.Quality - grade.Confidence;
                _gaps[grade.Stage] = ConfidenceSequences.Observe(_gaps[grade.Stage], Math.Clamp((gap + 1) / 2, 0, 1));
                _gapSums[grade.Stage] = (_gapSums[grade.Stage].Count + 1, _gapSums[grade.Stage].Sum + gap);
            }
            if (grade.Default)
            {
                Quality = ConfidenceSequences.Observe(Quality, grade.Quality);
                Alarm = ConfidenceSequences.ObserveQuality(Alarm, grade.Quality);
            }
            return grade.Version >= 0 && Learner?.Observe(grade.Version, grade.Bins, grade.Quality) == true;
        }
    }
}
