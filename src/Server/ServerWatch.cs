using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>
/// Compares the servers of remote stages with those that the policy was calibrated on: at the start with one small request
/// to each, and then with every answer. Another model, or log-probabilities that came or went, make the policy's
/// confidences meaningless: the start is refused. What changes later is counted and said once.
/// </summary>
internal sealed class ServerWatch(Cascade cascade, ServerMetrics metrics, ILogger logger)
{
    private const int Window = 100; // answers whose mean confidence is compared

    private readonly ConcurrentDictionary<(int Stage, string What, string Now), bool> _said = new();
    private readonly (double Sum, int Count)[] _confidences = new (double, int)[cascade.Stages.Count];
    private IReadOnlyList<ServerFingerprint?> _expected = [];

    /// <summary>Compares with the fingerprints of another policy from now on; null for a policy without any.</summary>
    public void Expect(PolicyFile? policy)
    {
        _expected = policy?.Servers ?? [];
        _said.Clear();
        lock (_confidences)
            Array.Clear(_confidences);
    }

    /// <summary>Asks each server that has a fingerprint for one token.</summary>
    /// <exception cref="ToolkitException">It is another than the policy was calibrated on.</exception>
    public async Task ProbeAsync(CancellationToken cancel)
    {
        for (int k = 0; k < _expected.Count; k++)
        {
            if (_expected[k] is not { } expected)
                continue;
            StageReply reply;
            try
            {
                var request = new StageRequest(StagePrompt.FromQuestion("1 + 1 =")) { MaxTokens = 1 };
                reply = await cascade.Stages[k].AnswerAsync(request, null, cancel).ConfigureAwait(false);
            }
            catch (StageException failure)
            {
                logger.LogWarning("not compared with the policy's fingerprint: {Message}", failure.Message);
                continue; // a server that is away now may come
            }
            if (reply.Server is { } now && expected.Difference(now) is { } what and not "version")
                throw new ToolkitException(
                    $"{cascade.File.File}: stage '{cascade.Stages[k].Name}': expected the server that the policy was calibrated on ({expected.Identity}), got another {what} ({now}); collect and calibrate again"
                );
            Compare(k, reply, first: false);
        }
    }

    /// <summary>Compares an answer.</summary>
    /// <param name="first">Whether no stage was asked before it; only these answers are to all queries, as those of calibration were.</param>
    public void Compare(int stage, StageReply reply, bool first)
    {
        if (stage >= _expected.Count || _expected[stage] is not { } expected || reply.Server is not { } now)
            return;
        if (expected.Difference(now) is { } what)
            Say(stage, what, now.ToString(), expected.Identity.ToString());
        if (!first || expected.Answers == 0)
            return;
        double mean;
        lock (_confidences)
        {
            ref (double Sum, int Count) own = ref _confidences[stage];
            own = (own.Sum + Math.Clamp(reply.Features.RawConfidence, 0, 1), own.Count + 1);
            if (own.Count < Window)
                return;
            mean = own.Sum / own.Count;
            own = default;
        }
        if (expected.IsAnotherScale(mean, Window))
            Say(
                stage,
                "confidence",
                FormattableString.Invariant($"a mean of {mean:F3}"),
                FormattableString.Invariant($"a mean near {expected.Confidence:F3}")
            );
    }

    private void Say(int stage, string what, string now, string expected)
    {
        metrics.ServerChange(stage, what);
        if (_said.TryAdd((stage, what, what == "confidence" ? "" : now), true)) // means differ each time
            logger.LogWarning(
                "stage {Stage}: another {What} than the policy was calibrated on: expected {Expected}, got {Now}; its guarantee may not hold: toolkit check tells",
                cascade.Stages[stage].Name,
                what,
                expected,
                now
            );
    }
}
