using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
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
    private readonly FeedbackStore? _store;
    private readonly DecisionWriter? _decisions;
    private readonly string[] _models;
    private readonly PolicyStore _policies;
    private readonly ServeOptions _options;
    private readonly string _learnerKey = "";
    private string _policyKey = "";
    private readonly RecentQuality[] _gaps;
    private readonly (long Count, double Sum)[] _gapSums;

    public FeedbackService(CascadeFile cascade, ServeOptions options, PolicyStore policies, OnlineLearner? learner)
    {
        (Learner, _policies, _options) = (learner, policies, options);
        _gaps = [.. cascade.Stages.Select(_ => ConfidenceSequences.StartRecent(options.Delta))];
        _gapSums = new (long, double)[_gaps.Length];
        double[] costs = [.. cascade.Stages.Select(stage => stage.Cost)];
        if (learner is not null)
            _learnerKey = FeedbackKeys.Learner(policies.Default.Lambda, costs, learner.AuditRate);
        Watch();
        _models = [.. cascade.Stages.Select(stage => stage.Name)];
        if (options.Decisions is { } log)
            _decisions = DecisionWriter.Open(log);
        if (options.State is { } state)
            _store = FeedbackStore.Open(state, string.Join(",", _models), _models, Take);
    }

    /// <summary>Watches the store's default policy, which has changed, with what is graded of it already.</summary>
    public async Task RestartAsync()
    {
        GradedAnswer[] known = _store is null ? [] : await _store.ReadAsync().ToArrayAsync().ConfigureAwait(false);
        lock (_lock)
        {
            Watch();
            foreach (GradedAnswer grade in known)
                Observe(grade);
        }
    }

    public OnlineLearner? Learner { get; }

    /// <summary>Mean quality of the default policy's answers of late: all of them, or those since it changed (Theorem 13).</summary>
    public RecentQuality Quality { get; private set; }

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

    /// <summary>Whether the learner asks for the grade of an answer by this policy; null where it did not draw the policy or asks for all grades.</summary>
    public bool? Audit(ServedPolicy policy) => policy.Version >= 0 && Learner is { AuditRate: < 1 } learner ? learner.Audit() : null;

    /// <summary>
    /// The probability with which a policy did what it did for an answer, given the query and the past: 1 for one that draws nothing. Null where a
    /// stage failed, and where the learner's state is forgotten.
    /// </summary>
    public double? Propensity(ServedPolicy policy, AdaptiveAnswer answer) =>
        answer.Failures.Count > 0 ? null
        : policy.Version < 0 || Learner is null ? 1
        : Learner.Propensity(policy.Version, [.. answer.Turns.Select(turn => OnlineLearner.Bin(turn.Confidence))]);

    /// <summary>Remembers an answer, so that its grade finds what it belongs to.</summary>
    /// <param name="audited">Whether the learner learns from the grade: what <see cref="Audit"/> said, if anything.</param>
    /// <param name="propensity">What <see cref="Propensity"/> said; null where nobody asked.</param>
    public void Expect(
        string id,
        ServedPolicy policy,
        bool isDefault,
        AdaptiveAnswer answer,
        bool? audited = null,
        double? propensity = null
    )
    {
        // A learner's policy is a path through the stages; one around a failed stage is not of its distribution.
        bool learns = policy.Version >= 0 && answer.Failures.Count == 0 && audited != false;
        _pending[id] = new GradedAnswer(
            id,
            policy.Kind,
            isDefault,
            learns ? policy.Version : -1,
            answer.Chosen.Stage,
            learns ? [.. answer.Turns.Select(turn => OnlineLearner.Bin(turn.Confidence))] : [],
            answer.Chosen.Confidence,
            0
        )
        {
            PolicyKey = isDefault ? _policyKey : "",
            LearnerKey = learns ? _learnerKey : "",
            Propensity = propensity,
            Turns = _decisions is null || propensity is null ? [] : Logged(answer),
            Answered = answer.Turns.ToList().IndexOf(answer.Chosen),
        };
        _store?.Remember(_pending[id]);
        _order.Enqueue(id);
        while (_order.Count > MostPending && _order.TryDequeue(out string? old))
            _pending.TryRemove(old, out _);
    }

    private LoggedStage[] Logged(AdaptiveAnswer answer) =>
        [
            .. answer.Turns.Select(turn => new LoggedStage(
                _models[turn.Stage],
                turn.Reply.Cost,
                double.IsFinite(turn.Confidence) ? turn.Confidence : null
            )
            {
                Same = answer.Turns.ToList().FindIndex(other => other.Stage == turn.Label),
                Features = turn.Reply.Features.ToVector() is var features && features.All(double.IsFinite) ? features : null,
            }),
        ];

    /// <summary>Takes a grade; when the task ends well, it is on the disk and in the monitors.</summary>
    /// <returns>The answer's stage, and whether the learner learnt from it.</returns>
    public async Task<(int Stage, bool Learned)> GradeAsync(string id, double quality)
    {
        if (!_pending.TryRemove(id, out GradedAnswer? answer) && _store is not null)
            answer = await _store.FindAsync(id).ConfigureAwait(false); // answered by another server, or before a restart
        if (answer is null)
            throw Unknown();
        GradedAnswer grade = answer with { Quality = quality };
        if (_store is null)
        {
            _decisions?.Write(grade);
            return (grade.Stage, Take(grade));
        }
        try
        {
            bool learned = await _store.AppendAsync(grade).ConfigureAwait(false) ?? throw Unknown();
            _decisions?.Write(grade);
            return (grade.Stage, learned);
        }
        catch (IOException)
        {
            _pending[id] = answer; // it may be tried again
            throw;
        }

        ApiError Unknown() =>
            new(
                404,
                "invalid_request_error",
                $"expected the id of one of the ungraded responses of this server (the last {MostPending}, or those of a week with --state), got '{(id.Length <= 60 ? id : id[..57] + "...")}'",
                "id",
                "response_not_found"
            );
    }

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
            await _store.DisposeAsync().ConfigureAwait(false);
        _decisions?.Dispose();
    }

    private bool Take(GradedAnswer grade)
    {
        lock (_lock)
        {
            Grades++;
            if (grade.Stage < _gaps.Length)
            {
                double gap = grade.Quality - grade.Confidence;
                _gaps[grade.Stage] = ConfidenceSequences.ObserveRecent(_gaps[grade.Stage], Math.Clamp((gap + 1) / 2, 0, 1));
                _gapSums[grade.Stage] = (_gapSums[grade.Stage].Count + 1, _gapSums[grade.Stage].Sum + gap);
            }
            Observe(grade);
            return grade.Version >= 0
                && grade.LearnerKey == _learnerKey
                && Learner?.Observe(grade.Version, grade.Bins, grade.Quality) == true;
        }
    }

    // Grades of another price or policy say nothing of the present one.
    private void Observe(GradedAnswer grade)
    {
        if (!grade.Default || grade.PolicyKey != _policyKey)
            return;
        Quality = ConfidenceSequences.ObserveRecent(Quality, grade.Quality);
        Alarm = ConfidenceSequences.ObserveQuality(Alarm, grade.Quality);
    }

    [MemberNotNull(nameof(Quality), nameof(Alarm))]
    private void Watch()
    {
        ServedPolicy policy = _policies.Default;
        _policyKey = FeedbackKeys.Policy(Learner is null ? policy.Kind : "learner", policy.Lambda, policy.Identity);
        double floor = double.IsNaN(_options.Guarantee)
            ? Math.Clamp(policy.ExpectedQuality - ServeOptions.GuaranteeSlack, 0.01, 0.99)
            : _options.Guarantee;
        Quality = ConfidenceSequences.StartRecent(_options.Delta);
        Alarm = ConfidenceSequences.StartAlarm(floor, _options.Delta);
    }
}
