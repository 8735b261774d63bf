using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>
/// Answers checked requests: picks the policy that a request asks for, climbs the cascade, counts what happened and
/// remembers the answer for its grade. A request that names a stage instead of the cascade is answered by that stage alone.
/// </summary>
internal sealed class CascadeService(
    Cascade cascade,
    PolicyStore policies,
    FeedbackService feedback,
    ServerMetrics metrics,
    BudgetKeeper? budget,
    SessionStages? sessions,
    ServerWatch watch
)
{
    public CascadeFile File => cascade.File;

    /// <summary>The stage that a request names, or -1 for the whole cascade.</summary>
    /// <exception cref="ApiError">404: neither.</exception>
    public int StageOf(OpenAiRequest request)
    {
        if (request.Model == File.Name)
        {
            RequireForm(request, cascade.Stages);
            return -1;
        }
        for (int k = 0; k < File.Stages.Count; k++)
            if (File.Stages[k].Name == request.Model)
            {
                RequireForm(request, [cascade.Stages[k]]);
                if (!double.IsNaN(request.Lambda) || !double.IsNaN(request.QualityTarget))
                {
                    string key = double.IsNaN(request.Lambda) ? "quality_target" : "lambda";
                    throw ApiError.BadRequest($"expected the cascade '{File.Name}' as model beside {key}, got one of its stages", key);
                }
                return k;
            }
        throw new ApiError(
            404,
            "invalid_request_error",
            $"expected the cascade '{File.Name}' or one of its stages {string.Join(", ", File.Stages.Select(stage => stage.Name))}, got '{(request.Model.Length <= 60 ? request.Model : request.Model[..57] + "...")}'",
            "model",
            "model_not_found"
        );
    }

    // Tools and JSON that no stage can give are refused before anything runs.
    private static void RequireForm(OpenAiRequest request, IReadOnlyList<IStage> stages)
    {
        if (stages.Any(stage => stage.CanAnswer(request.Stage)))
            return;
        AnswerForm form = request.Stage.Form;
        string key =
            form.ResponseFormat is not null ? "response_format"
            : form.Tools.Count == 0 ? "messages"
            : stages.Any(stage => stage.CanAnswer(request.Stage with { Form = form with { ToolChoice = null } })) ? "tool_choice"
            : "tools";
        throw ApiError.BadRequest(
            $"expected a stage that can honour it, got none among {string.Join(", ", stages.Select(stage => stage.Name))}",
            key,
            "unsupported_parameter"
        );
    }

    /// <summary>The policy for a request to the cascade.</summary>
    public (ServedPolicy Policy, bool IsDefault) PolicyFor(OpenAiRequest request)
    {
        var (policy, isDefault) = PolicyWithoutSession(request);
        int stage = sessions is not null && request.Session is { } session ? sessions.Find(session) : -1;
        if (stage <= 0)
            return (policy, isDefault);
        // What begins later is neither the default, whose quality is watched, nor of the learner's distribution.
        return (policy with { Kind = "session", Policy = new LaterStart(policy.Policy, stage), Version = -1 }, false);
    }

    private (ServedPolicy Policy, bool IsDefault) PolicyWithoutSession(OpenAiRequest request)
    {
        if (policies.Chosen(request) is { } chosen)
            return (chosen, false);
        if (budget is not null)
            return (budget.Choose(), true);
        if (feedback.Learner is not { } learner)
            return (policies.Default, true);
        var (policy, version) = learner.Choose();
        // The learner sees the calibrated confidences alone.
        ServedPolicy learned = policies.Default with
        {
            Kind = "learner",
            Policy = policy,
            Features = null,
            Version = version,
            LastIsFinal = true,
        };
        return (learned, true);
    }

    /// <summary>Answers with the whole cascade.</summary>
    public async ValueTask<ServedAnswer> RunCascadeAsync(
        string id,
        long created,
        OpenAiRequest request,
        ServedPolicy policy,
        bool isDefault,
        CascadeEvents events,
        CancellationToken cancel
    )
    {
        if (request.Echo || request.PromptLogprobs is not null)
            throw ApiError.BadRequest(
                "expected a stage of the cascade as model (a cascade has no tokens of its own)",
                request.Echo ? "echo" : "prompt_logprobs"
            );
        var adaptive = new AdaptiveCascade(cascade, policy.Confidence, policy.Policy)
        {
            Familiarity = policy.Familiarity,
            Features = policy.Features,
            Abstention = policy.Abstention,
        };
        AdaptiveAnswer answer = await adaptive.AnswerAsync(request.Stage, Counting(events), cancel).ConfigureAwait(false);
        double largest = CostOfLargest(answer);
        metrics.Answer(answer, largest);
        if (isDefault)
            budget?.Observe(answer.Cost);
        bool? audited = feedback.Audit(policy);
        double? propensity = feedback.Propensity(policy, answer);
        // Nobody can grade what was not given.
        if (!answer.IsWithheld)
            feedback.Expect(id, policy, isDefault, answer, audited, propensity);
        if (request.Session is { } session)
            sessions?.Keep(session, answer.Chosen.Stage);
        return new ServedAnswer(id, created, answer, policy)
        {
            CostOfLargest = largest,
            Audited = audited,
            Propensity = propensity,
        };
    }

    /// <summary>Answers with one stage.</summary>
    public async ValueTask<ServedAnswer> AskStageAsync(
        string id,
        long created,
        OpenAiRequest request,
        int stage,
        CascadeEvents events,
        CancellationToken cancel
    )
    {
        CascadeEvents counting = Counting(events);
        try
        {
            IReadOnlyList<StageToken> prompt =
                request.Echo || request.PromptLogprobs is not null ? await ScoreAsync(request, stage, cancel).ConfigureAwait(false) : [];
            // A request may ask for nothing but the score of its prompt.
            StageReply reply =
                request.Stage.MaxTokens == 0
                    ? new StageReply("", [], default, false, prompt.Count, 0, 0, 0)
                    : await cascade
                        .Stages[stage]
                        .AnswerAsync(request.Stage, counting.TokenWritten is { } told ? token => told(stage, token) : null, cancel)
                        .ConfigureAwait(false);
            var turn = new StageAnswer(stage, reply, double.NaN);
            var answer = new AdaptiveAnswer([turn], turn, reply.Cost);
            counting.StageAnswered!(turn);
            double largest = CostOfLargest(answer);
            metrics.Answer(answer, largest);
            return new ServedAnswer(id, created, answer, null) { CostOfLargest = largest, Prompt = prompt };
        }
        catch (StageException failure)
        {
            counting.StageFailed!(stage, failure);
            throw;
        }
    }

    // The first token of a text stands after nothing and has no probability.
    private async ValueTask<IReadOnlyList<StageToken>> ScoreAsync(OpenAiRequest request, int stage, CancellationToken cancel)
    {
        IStage backend = cascade.Stages[stage];
        string text = request.Stage.Prompt.Text!;
        if (!backend.CanVerify)
            throw ApiError.BadRequest(
                $"the stage '{backend.Name}' does not score prompts",
                request.Echo ? "echo" : "prompt_logprobs",
                "unsupported_parameter"
            );
        if (text.Length == 0)
            return [];
        // Ranks need the whole list.
        StageRequest asked = request.Stage with
        {
            Prompt = StagePrompt.FromText(""),
            Alternatives = request.PromptLogprobs is null ? request.Stage.Alternatives : int.MaxValue,
        };
        DraftVerdict verdict = await backend.VerifyAsync(asked, [new StageToken(-1, text, double.NaN)], cancel).ConfigureAwait(false);
        return verdict.Tokens;
    }

    // What asking the largest model alone would have cost: its price for its own answer, or else for the one returned. A
    // stage that verified a draft charged less than that.
    private double CostOfLargest(AdaptiveAnswer answer)
    {
        StageReply reply = (answer.Turns.FirstOrDefault(turn => turn.Stage == File.Stages.Count - 1) ?? answer.Chosen).Reply;
        return cascade.Stages[^1].CostOf(reply.PromptTokens, reply.CompletionTokens);
    }

    private CascadeEvents Counting(CascadeEvents events)
    {
        bool first = true;
        return events with
        {
            StageAnswered = turn =>
            {
                metrics.Turn(turn);
                watch.Compare(turn.Stage, turn.Reply, first);
                first = false;
                events.StageAnswered?.Invoke(turn);
            },
            StageFailed = (stage, failure) =>
            {
                metrics.Failure(stage, failure);
                events.StageFailed?.Invoke(stage, failure);
            },
        };
    }
}

/// <summary>An answer with all that a response tells of it.</summary>
/// <param name="Policy">Null where the request named one stage, which then answered alone.</param>
internal sealed record ServedAnswer(string Id, long Created, AdaptiveAnswer Answer, ServedPolicy? Policy)
{
    /// <summary>What the largest stage alone would have cost.</summary>
    public double CostOfLargest { get; init; }

    /// <summary>Whether the learner asks for this answer's grade; null where it asks for none or for all.</summary>
    public bool? Audited { get; init; }

    /// <summary>The probability with which the policy did what it did; null where that is not known.</summary>
    public double? Propensity { get; init; }

    /// <summary>For <c>echo</c> and <c>prompt_logprobs</c>: the prompt in tokens of the stage; empty for other requests.</summary>
    public IReadOnlyList<StageToken> Prompt { get; init; } = [];

    /// <summary>What the client is told; empty where the policy is not sure enough of it.</summary>
    public StageReply Reply => Answer.Given;
}
