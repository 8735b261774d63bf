using System.Numerics;
using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Answers prompts with a stopping policy: after each stage its calibrated confidence decides whether to stop, or which
/// later stage to ask. May be used from several threads at once.
/// </summary>
/// <remarks>
/// A stage that fails is passed over as <see cref="Replay.Query"/> passes over one without a record: the next later stage
/// that works is asked instead. When none is left, the most confident answer so far is returned; when there is none
/// either, earlier stages that were not asked yet are, the largest first. An answer that the limit of tokens or a stop text
/// cut short has confidence 0.
/// </remarks>
/// <param name="confidence">From a stage and the confidence features of its answer to the probability that the answer is right, as the policy expects it.</param>
public sealed class AdaptiveCascade(Cascade cascade, Func<int, ConfidenceFeatures, double> confidence, IStoppingPolicy policy)
{
    public Cascade Cascade => cascade;

    public IStoppingPolicy Policy => policy;

    /// <summary>
    /// Tells questions that are unlike all calibration questions; confidences in answers to those are capped. Null where that is not known.
    /// </summary>
    public Familiarity? Familiarity { get; init; }

    /// <summary>
    /// What turns the question and the answers so far into what the policy sees; null for a policy that sees the confidences
    /// alone.
    /// </summary>
    public FeaturePipeline? Features { get; init; }

    /// <summary>When an answer is withheld; null for a policy that always answers.</summary>
    public Abstention? Abstention { get; init; }

    /// <summary>Answers with the policy of a file that `toolkit calibrate` wrote.</summary>
    /// <exception cref="ToolkitException">The file is of another cascade, or needs what a live cascade does not have.</exception>
    public static AdaptiveCascade From(Cascade cascade, PolicyFile policy)
    {
        policy.RequireModels([.. cascade.File.Stages.Select(stage => stage.Name)], cascade.File.File);
        policy.RequireLive();
        return new AdaptiveCascade(cascade, policy.Confidence, policy.Policy)
        {
            Familiarity = policy.Familiarity,
            Features = policy.Features,
            Abstention = policy.Abstention,
        };
    }

    /// <summary>
    /// Fits calibration and the plan (jump, or jump with recall, as the cascade file says) on the calibration records of a file that `toolkit collect` wrote.
    /// </summary>
    /// <param name="records">At least 100 of the calibration split; records of other splits are not looked at.</param>
    /// <param name="lambda">Price of cost: quality that one unit of cost is worth; at least 0.</param>
    public static AdaptiveCascade Fit(Cascade cascade, CascadeRecords records, double lambda) =>
        From(cascade, new CascadePlans(cascade.File, records), lambda);

    /// <summary>Answers with the plan for one price of cost (quality that one unit of cost is worth; at least 0).</summary>
    public static AdaptiveCascade From(Cascade cascade, CascadePlans plans, double lambda) =>
        new(cascade, plans.Calibration.Confidence, plans.Plan(lambda).Policy)
        {
            Familiarity = plans.Familiarity,
            Features = plans.Features,
        };

    /// <summary>Answers a prompt on the caller's thread.</summary>
    /// <param name="onStage">Told the stage that starts to write.</param>
    /// <param name="onText">Told each piece of text as it is written.</param>
    public AdaptiveAnswer Answer(
        string prompt,
        Action<int>? onStage = null,
        Action<string>? onText = null,
        CancellationToken cancel = default
    ) =>
        AnswerAsync(
                new StageRequest(StagePrompt.FromQuestion(prompt)),
                new CascadeEvents { StageStarted = onStage, TokenWritten = onText is null ? null : (_, token) => onText(token.Text) },
                cancel
            )
            .AsTask()
            .GetAwaiter()
            .GetResult();

    /// <summary>Answers a request.</summary>
    /// <exception cref="ToolkitException">The request is at fault.</exception>
    /// <exception cref="StageException">Every stage failed; the exception is the last one's.</exception>
    public async ValueTask<AdaptiveAnswer> AnswerAsync(
        StageRequest request,
        CascadeEvents? events = null,
        CancellationToken cancel = default
    )
    {
        int stages = cascade.Stages.Count;
        var confidences = new double[stages];
        var labels = new int[stages];
        var turns = new List<StageAnswer>();
        var failures = new List<StageException>();
        Array.Fill(confidences, double.NaN);
        Array.Fill(labels, -1);
        uint ran = 0,
            failed = 0; // or cannot honour the request
        for (int k = 0; k < stages; k++)
            if (!cascade.Stages[k].CanAnswer(request))
                failed |= 1u << k;
        if (BitOperations.PopCount(failed) == stages)
            throw new ToolkitException("tools, response_format: expected a stage that can honour them, got none in this cascade");
        double familiarity = Familiarity is { } known && request.Prompt.Question is { } question ? known.PValue(question) : double.NaN,
            most = familiarity < Cascades.Familiarity.Least ? Cascades.Familiarity.ConfidenceOutside : 1;
        FeaturedQuestion? featured = Features?.Ask(request.Prompt.Question ?? "", request.Dataset);
        double[] context = featured?.Context ?? [];
        while (true)
        {
            Decision decision = policy.Decide(new Observation(ran, confidences, labels, context));
            if (decision.Stop)
                return Result(turns.First(turn => turn.Stage == decision.Stage));
            int stage = FirstWorking(decision.Stage);
            if (stage < 0 && turns.Count > 0)
                return Result(turns.MaxBy(turn => turn.Confidence)!);
            for (int k = stages - 1; stage < 0 && k >= 0; k--)
                if ((failed >> k & 1) == 0)
                    stage = k;
            if (stage < 0)
                throw failures[^1]; // a stage was asked, since one at least can honour the request
            events?.StageStarted?.Invoke(stage);
            StageReply reply;
            try
            {
                // What the last stage wrote is this one's draft: it verifies it instead of writing from nothing.
                StageRequest asked =
                    turns.Count > 0 && request.Draft.Count == 0 && cascade.Stages[stage].CanVerify
                        ? request with
                        {
                            Draft = turns[^1].Reply.Tokens,
                        }
                        : request;
                reply = await cascade
                    .Stages[stage]
                    .AnswerAsync(asked, events?.TokenWritten is { } told ? token => told(stage, token) : null, cancel)
                    .ConfigureAwait(false);
            }
            catch (StageException failure)
            {
                failed |= 1u << stage;
                failures.Add(failure);
                events?.StageFailed?.Invoke(stage, failure);
                continue;
            }
            string answer = Answer(reply);
            StageAnswer? same = turns.FirstOrDefault(turn => Answer(turn.Reply) == answer);
            if (cascade.Stages[stage].Confidence == ConfidenceSource.Agreement)
                reply = reply with
                {
                    Features = OtherConfidence.FromAgreement(
                        turns.Count(turn => same is not null && turn.Label == same.Label),
                        turns.Count,
                        reply.Features.Length
                    ),
                };
            // What was cut short is not known to be right, whatever its beginning is worth.
            double own = reply.IsWhole ? confidence(stage, reply.Features) : 0;
            if (featured is not null)
                own = featured.Confidence(
                    stage,
                    own,
                    cascade.Stages[stage].CostOf(reply.PromptTokens, reply.CompletionTokens),
                    reply.Features
                );
            confidences[stage] = Math.Min(most, own);
            labels[stage] = same is null ? stage : labels[same.Stage];
            var turn = new StageAnswer(stage, reply, confidences[stage]) { Label = labels[stage] };
            turns.Add(turn);
            ran |= 1u << stage;
            events?.StageAnswered?.Invoke(turn);
        }

        string Answer(StageReply reply) => reply.ToolCalls.Count > 0 ? reply.Said : cascade.File.Tasks.ExtractAnswer(reply.Text) ?? "";

        AdaptiveAnswer Result(StageAnswer chosen) =>
            new(turns, chosen, turns.Sum(turn => turn.Reply.Cost))
            {
                Failures = failures,
                Familiarity = familiarity,
                Context = context,
                IsWithheld = Abstention is { } abstention && !abstention.Gives(chosen.Stage, chosen.Confidence),
            };

        int FirstWorking(int from)
        {
            while (from < stages && ((failed | ran) >> from & 1) != 0)
                from++;
            return from < stages ? from : -1;
        }
    }
}

/// <summary>One stage's turn at a prompt.</summary>
/// <param name="Confidence">Calibrated probability that the answer is right; 0 for one that was cut short.</param>
public sealed record StageAnswer(int Stage, StageReply Reply, double Confidence)
{
    /// <summary>The first stage that gave the same answer.</summary>
    public int Label { get; init; } = Stage;

    public string Text => Reply.Text;

    public double Seconds => Reply.Seconds;

    /// <summary>Tokens written, the one that ended the answer included.</summary>
    public int Tokens => Reply.CompletionTokens;
}

/// <summary>How a prompt was answered.</summary>
/// <param name="Turns">The stages that ran, in order.</param>
/// <param name="Chosen">The turn whose answer is returned; under recall it may be an earlier one.</param>
/// <param name="Cost">Sum of what the stages that ran cost, in the cascade's units; one that verified a draft costs less.</param>
public sealed record AdaptiveAnswer(IReadOnlyList<StageAnswer> Turns, StageAnswer Chosen, double Cost)
{
    /// <summary>What went wrong on the way; empty when every stage that was asked answered.</summary>
    public IReadOnlyList<StageException> Failures { get; init; } = [];

    /// <summary>What the policy saw of the question before any model ran; empty for a policy without features.</summary>
    public IReadOnlyList<double> Context { get; init; } = [];

    /// <summary>
    /// The question's p-value among the calibration questions (<see cref="Cascades.Familiarity.PValue"/>); NaN where that is not known.
    /// </summary>
    public double Familiarity { get; init; } = double.NaN;

    /// <summary>
    /// Whether the policy is not sure enough of the answer to give it. <see cref="Chosen"/> is still what it would have said; what
    /// a client is told is <see cref="Given"/>.
    /// </summary>
    public bool IsWithheld { get; init; }

    /// <summary>The chosen reply, or, where it is withheld, the same without its text, tokens and calls.</summary>
    public StageReply Given => IsWithheld ? Chosen.Reply with { Text = "", Tokens = [], ToolCalls = [], Ended = true } : Chosen.Reply;

    /// <summary>Whether the question is unlike all that the cascade was calibrated on: its confidences are capped.</summary>
    public bool IsOutside => Familiarity < Cascades.Familiarity.Least;
}

/// <summary>What a watcher of one answer is told, on the thread that computes it.</summary>
public sealed record CascadeEvents
{
    public Action<int>? StageStarted { get; init; }
    public Action<int, StageToken>? TokenWritten { get; init; }
    public Action<StageAnswer>? StageAnswered { get; init; }
    public Action<int, StageException>? StageFailed { get; init; }
}
