using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// When a policy says "not sure" instead of its answer: where the confidence of the stage that would answer lies below a threshold of
/// that stage.
/// </summary>
/// <param name="MaxRisk">Most quality that the answers given are expected to lack, in (0, 1): for right and wrong answers, their share of wrong ones.</param>
/// <param name="Thresholds">
/// For each stage, the least confidence with which its answer is given: 0 where it is always given, also without a confidence, infinity where
/// never.
/// </param>
/// <param name="Answered">Share of the queries that the guarantee was tested on with an answer.</param>
/// <param name="Risk">What these answers lacked in quality on average; NaN for none.</param>
public sealed record Abstention(double MaxRisk, double[] Thresholds, double Answered, double Risk)
{
    /// <summary>What stands in the place of an answer that is withheld.</summary>
    public const string NotSure = "Not sure.";

    /// <summary>Whether a stage's answer is given.</summary>
    /// <param name="confidence">The confidence that the policy saw; NaN for none.</param>
    public bool Gives(int stage, double confidence) => Thresholds[stage] <= 0 || confidence >= Thresholds[stage];

    internal void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject("abstain");
        json.WriteNumber("max_risk", MaxRisk);
        PolicyForm.Numbers(json, "thresholds", Thresholds);
        json.WriteNumber("answered", Answered);
        if (double.IsNaN(Risk))
            json.WriteNull("risk");
        else
            json.WriteNumber("risk", Risk);
        json.WriteEndObject();
    }

    internal static Abstention Read(JsonMap saved, int stages)
    {
        var read = new Abstention(
            saved.Number("max_risk", 0, 1),
            saved.Numbers("thresholds", stages),
            saved.Number("answered", 0, 1),
            saved.IsNull("risk") ? double.NaN : saved.Number("risk", 0, 1)
        );
        if (read.Thresholds.Any(threshold => threshold < 0))
            throw saved.Error("thresholds", "numbers of at least 0", string.Join(", ", read.Thresholds));
        saved.RejectUnknown();
        return read;
    }
}
