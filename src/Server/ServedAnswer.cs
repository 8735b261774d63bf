using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>An answer with all that a response tells of it.</summary>
/// <param name="Policy">Null where the request named one stage, which then answered alone.</param>
internal sealed record ServedAnswer(string Id, long Created, AdaptiveAnswer Answer, ServedPolicy? Policy)
{
    /// <summary>What the largest stage alone would have cost.</summary>
    public double CostOfLargest { get; init; }

    /// <summary>For <c>echo</c> and <c>prompt_logprobs</c>: the prompt in tokens of the stage; empty for other requests.</summary>
    public IReadOnlyList<StageToken> Prompt { get; init; } = [];

    public StageReply Reply => Answer.Chosen.Reply;
}
