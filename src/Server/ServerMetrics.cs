using System.Diagnostics.Metrics;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>What the server counts, as OpenTelemetry instruments; <c>/metrics</c> shows them in the Prometheus format.</summary>
internal sealed class ServerMetrics : IDisposable
{
    public const string MeterName = "OptimalStopping.Serving";

    /// <summary>Bounds of the histograms of time, in seconds; fine around the 2 ms that the overhead is to stay under.</summary>
    public static double[] SecondsBounds { get; } =
    [
        0.00005,
        0.0001,
        0.0002,
        0.0003,
        0.0005,
        0.00075,
        0.001,
        0.0015,
        0.002,
        0.003,
        0.005,
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
        0.5,
        1,
        2,
        5,
        10,
        30,
        60,
    ];

    public static double[] ConfidenceBounds { get; } = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1];

    private readonly Meter _meter = new(MeterName);
    private readonly Counter<long> _requests,
        _stops,
        _abstentions,
        _answers,
        _failures,
        _tokens,
        _draft,
        _feedback,
        _serverChanges;
    private readonly Counter<double> _cost,
        _costOfLargest;
    private readonly Histogram<double> _seconds,
        _overhead,
        _queue,
        _stageSeconds,
        _confidence;
    private readonly string[] _stages;

    public ServerMetrics(IReadOnlyList<string> stages, AdmissionLimiter gate, FeedbackService feedback, BudgetKeeper? budget)
    {
        _stages = [.. stages];
        _requests = _meter.CreateCounter<long>("toolkit_requests", description: "Requests by endpoint and HTTP status.");
        _stops = _meter.CreateCounter<long>("toolkit_stops", description: "Requests by the stage whose answer was returned.");
        _abstentions = _meter.CreateCounter<long>(
            "toolkit_abstentions",
            description: "Requests answered with \"not sure\", by the stage whose answer was withheld."
        );
        _answers = _meter.CreateCounter<long>("toolkit_stage_answers", description: "Answers written, by stage.");
        _failures = _meter.CreateCounter<long>("toolkit_stage_failures", description: "Failures by stage and kind.");
        _tokens = _meter.CreateCounter<long>("toolkit_tokens", description: "Tokens read (prompt) and written (completion), by stage.");
        _draft = _meter.CreateCounter<long>(
            "toolkit_draft_tokens",
            description: "Draft tokens judged and accepted, by the stage that verified them."
        );
        _serverChanges = _meter.CreateCounter<long>(
            "toolkit_server_changes",
            description: "Answers of a server that is another than at calibration, by stage and what differs."
        );
        _feedback = _meter.CreateCounter<long>("toolkit_feedback", description: "Grades acknowledged, by stage.");
        _cost = _meter.CreateCounter<double>("toolkit_cost", description: "Cost of all answers, in the cascade's units.");
        _costOfLargest = _meter.CreateCounter<double>(
            "toolkit_cost_of_largest",
            description: "What the same requests would have cost at the largest stage alone."
        );
        _seconds = _meter.CreateHistogram<double>(
            "toolkit_request_duration",
            "s",
            "Time from a request's arrival to the end of its answer."
        );
        _overhead = _meter.CreateHistogram<double>(
            "toolkit_overhead",
            "s",
            "The toolkit's own time in a request: all but waiting in the queue and the stages' work."
        );
        _queue = _meter.CreateHistogram<double>("toolkit_queue_wait", "s", "Time that a request waited for its turn.");
        _stageSeconds = _meter.CreateHistogram<double>("toolkit_stage_duration", "s", "Time that a stage took for an answer.");
        _confidence = _meter.CreateHistogram<double>("toolkit_confidence", description: "Calibrated confidences, by stage.");
        _meter.CreateObservableGauge("toolkit_queue_length", () => gate.Waiting, description: "Requests that wait now.");
        _meter.CreateObservableGauge("toolkit_active_requests", () => gate.Active, description: "Requests that are answered now.");
        _meter.CreateObservableGauge(
            "toolkit_quality_low",
            () => feedback.Quality.Low,
            description: "Lower end of the anytime-valid interval of the default policy's mean quality."
        );
        _meter.CreateObservableGauge("toolkit_quality_high", () => feedback.Quality.High, description: "Upper end of it.");
        _meter.CreateObservableGauge(
            "toolkit_quality_guarantee",
            () => feedback.Alarm.Floor,
            description: "Mean quality that the service guarantees."
        );
        _meter.CreateObservableGauge(
            "toolkit_quality_alarm",
            () => feedback.Alarm.Raised ? 1 : 0,
            description: "1 once live grades contradict the guarantee (false with chance at most delta, ever)."
        );
        _meter.CreateObservableGauge(
            "toolkit_calibration_gap",
            () => Gaps(feedback, gap => gap.Mean),
            description: "Calibration drift: mean of quality less confidence of graded answers, by stage."
        );
        _meter.CreateObservableGauge(
            "toolkit_calibration_gap_low",
            () => Gaps(feedback, gap => gap.Low),
            description: "Lower end of its anytime-valid interval."
        );
        _meter.CreateObservableGauge(
            "toolkit_calibration_gap_high",
            () => Gaps(feedback, gap => gap.High),
            description: "Upper end of it."
        );
        _meter.CreateObservableGauge(
            "toolkit_learner_rounds",
            () => feedback.Learner?.Rounds ?? 0,
            description: "Graded answers that the online learner has learnt from, calibration included."
        );
        if (budget is null)
            return;
        _meter.CreateObservableGauge(
            "toolkit_budget_price",
            () => budget.State.Price,
            description: "Price of cost that the next request is planned with, so that the budget is kept."
        );
        _meter.CreateObservableGauge(
            "toolkit_budget_excess",
            () => budget.State.Excess,
            description: "Cost beyond the budget of all requests so far; below 0 where less was spent."
        );
    }

    public void Request(string endpoint, int status) => _requests.Add(1, new("endpoint", endpoint), new("status", status));

    public void Times(double seconds, double overhead, double queue)
    {
        _seconds.Record(seconds);
        _overhead.Record(overhead);
        _queue.Record(queue);
    }

    public void Answer(AdaptiveAnswer answer, double costOfLargest)
    {
        if (answer.IsWithheld)
            _abstentions.Add(1, Stage(answer.Chosen.Stage));
        else
            _stops.Add(1, Stage(answer.Chosen.Stage));
        _cost.Add(answer.Cost);
        _costOfLargest.Add(costOfLargest);
    }

    public void Turn(StageAnswer turn)
    {
        var stage = Stage(turn.Stage);
        _answers.Add(1, stage);
        _tokens.Add(turn.Reply.PromptTokens, stage, new("kind", "prompt"));
        _tokens.Add(turn.Reply.CompletionTokens, stage, new("kind", "completion"));
        _stageSeconds.Record(turn.Seconds, stage);
        if (!double.IsNaN(turn.Confidence))
            _confidence.Record(turn.Confidence, stage);
        if (turn.Reply.Draft is not { } draft)
            return;
        _draft.Add(draft.Drafted, stage, new("kind", "drafted"));
        _draft.Add(draft.Accepted, stage, new("kind", "accepted"));
    }

    public void Failure(int stage, StageException failure) => _failures.Add(1, Stage(stage), new("kind", failure.Kind));

    public void ServerChange(int stage, string what) => _serverChanges.Add(1, Stage(stage), new("what", what));

    public void Feedback(int stage) => _feedback.Add(1, Stage(stage));

    public void Dispose() => _meter.Dispose();

    private KeyValuePair<string, object?> Stage(int stage) => new("stage", _stages[stage]);

    private IEnumerable<Measurement<double>> Gaps(FeedbackService feedback, Func<CalibrationGap, double> value)
    {
        for (int k = 0; k < _stages.Length; k++)
            if (feedback.Gap(k) is { Count: > 0 } gap)
                yield return new Measurement<double>(value(gap), Stage(k));
    }
}
