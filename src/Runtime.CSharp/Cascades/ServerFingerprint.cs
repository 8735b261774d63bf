using System.Text.Json;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What the server of a remote stage says of itself with an answer.</summary>
/// <param name="Model">The model that it names in its answers.</param>
/// <param name="Version">Its <c>system_fingerprint</c>; null where it sends none.</param>
/// <param name="HasLogProbabilities">Whether the answer came with log-probabilities.</param>
public sealed record ServerIdentity(string Model, string? Version, bool HasLogProbabilities)
{
    /// <summary>As a message shows it.</summary>
    public override string ToString() =>
        $"model {Model}, version {Version ?? "not told"}, {(HasLogProbabilities ? "with" : "without")} log-probabilities";
}

/// <summary>
/// The server of a stage as it was while calibration records were collected. A policy's confidences hold for that server: a
/// policy file keeps the fingerprint of each, and `serve` compares.
/// </summary>
/// <param name="Confidence">Mean of the confidences that its answers had, before calibration.</param>
/// <param name="Deviation">Their standard deviation.</param>
/// <param name="Answers">Answers that both were computed from.</param>
public sealed record ServerFingerprint(ServerIdentity Identity, double Confidence, double Deviation, int Answers)
{
    internal const string Field = "server";

    // What is called another scale: so far from the mean of calibration, and not by chance.
    private const double Shift = 0.2,
        StandardErrors = 5;

    /// <summary>What differs in an answer: nothing (null), <c>model</c>, <c>log-probabilities</c> or <c>version</c>.</summary>
    public string? Difference(ServerIdentity now) =>
        now.Model != Identity.Model ? "model"
        : now.HasLogProbabilities != Identity.HasLogProbabilities ? "log-probabilities"
        : now.Version != Identity.Version ? "version"
        : null;

    /// <summary>Whether a mean confidence of so many answers to the same kind of queries is on another scale.</summary>
    public bool IsAnotherScale(double mean, int answers) =>
        Math.Abs(mean - Confidence) > Math.Max(Shift, StandardErrors * Deviation / Math.Sqrt(Math.Min(answers, Answers)));

    /// <summary>
    /// The fingerprint of each stage of a trace file that `toolkit collect` wrote, from its last records; null for a stage in
    /// that process. Empty where no stage has one.
    /// </summary>
    /// <exception cref="ToolkitException">The file cannot be read.</exception>
    public static IReadOnlyList<ServerFingerprint?> Read(string traces)
    {
        List<double>[] confidences = [];
        ServerIdentity?[] identities = [];
        foreach (TraceRecord record in TraceReader.ReadRecords(traces))
        {
            if (identities.Length == 0)
                (identities, confidences) = (new ServerIdentity?[record.Stages.Count], [.. record.Stages.Select(_ => new List<double>())]);
            for (int k = 0; k < Math.Min(record.Stages.Count, identities.Length); k++)
                if (IdentityOf(record.Stages[k]) is { } identity)
                {
                    identities[k] = identity;
                    confidences[k].Add(record.Stages[k].Confidence ?? double.NaN);
                }
        }
        return identities.All(identity => identity is null) ? [] : [.. identities.Select((identity, k) => Of(identity, confidences[k]))];
    }

    private static ServerFingerprint? Of(ServerIdentity? identity, List<double> confidences)
    {
        if (identity is null)
            return null;
        double[] known = [.. confidences.Where(value => !double.IsNaN(value))];
        double mean = known.Length == 0 ? 0 : known.Average();
        return new ServerFingerprint(
            identity,
            mean,
            known.Length == 0 ? 0 : Math.Sqrt(known.Average(value => (value - mean) * (value - mean))),
            known.Length
        );
    }

    private static ServerIdentity? IdentityOf(TraceStage stage)
    {
        foreach (var (name, value) in stage.Extra)
            if (
                name == Field
                && value.ValueKind == JsonValueKind.Object
                && value.TryGetProperty("model", out JsonElement model)
                && model.ValueKind == JsonValueKind.String
            )
                return new ServerIdentity(
                    model.GetString()!,
                    value.TryGetProperty("version", out JsonElement version) && version.ValueKind == JsonValueKind.String
                        ? version.GetString()
                        : null,
                    value.TryGetProperty("log_probabilities", out JsonElement has) && has.ValueKind == JsonValueKind.True
                );
        return null;
    }
}
