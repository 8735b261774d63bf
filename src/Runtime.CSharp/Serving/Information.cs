using System.Text.Json;
using OptimalStopping.Runtime.Ladder;

namespace OptimalStopping.Runtime.Serving;

/// <summary>What the server tells of itself: its models, and for the page its stages, its front and its monitors.</summary>
internal static class Information
{
    private static readonly long Started = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    public static void Models(Utf8JsonWriter json, LadderFile ladder)
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (string name in Names(ladder)) Model(json, ladder, name);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void Model(Utf8JsonWriter json, LadderFile ladder, string name)
    {
        if (!Names(ladder).Contains(name)) throw new ApiError(404, "invalid_request_error", $"expected one of {string.Join(", ", Names(ladder))}, got another", "model", "model_not_found");
        json.WriteStartObject();
        json.WriteString("id", name);
        json.WriteString("object", "model");
        json.WriteNumber("created", Started);
        json.WriteString("owned_by", "optimal-stopping-toolkit");
        json.WriteEndObject();
    }

    public static void Ladder(Utf8JsonWriter json, LadderFile ladder, PolicyBook book, FeedbackDesk desk)
    {
        json.WriteStartObject();
        json.WriteString("name", ladder.Name);
        json.WriteStartArray("stages");
        for (int k = 0; k < ladder.Stages.Count; k++)
        {
            json.WriteStartObject();
            json.WriteString("name", ladder.Stages[k].Name);
            json.WriteNumber("cost", ladder.Stages[k].Cost);
            json.WriteString("backend", ladder.Stages[k].Backend);
            CalibrationGap gap = desk.Gap(k);
            json.WriteNumber("graded", gap.Count);
            if (gap.Count > 0)
            {
                json.WriteNumber("calibration_gap", gap.Mean);
                json.WriteNumber("calibration_gap_low", gap.Low);
                json.WriteNumber("calibration_gap_high", gap.High);
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("default");
        Policy(json, book.Default);
        json.WriteEndObject();
        json.WriteStartArray("front");
        foreach (ServedPolicy policy in book.Front)
        {
            json.WriteStartObject();
            Policy(json, policy);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("monitor");
        json.WriteNumber("grades", desk.Grades);
        json.WriteNumber("graded_default", desk.Quality.Count);
        json.WriteNumber("quality_low", desk.Quality.Low);
        json.WriteNumber("quality_high", desk.Quality.High);
        json.WriteNumber("promise", desk.Alarm.Floor);
        json.WriteBoolean("alarm", desk.Alarm.Raised);
        if (desk.Learner is { } learner) json.WriteNumber("learner_rounds", learner.Rounds);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static IEnumerable<string> Names(LadderFile ladder) => ladder.Stages.Select(stage => stage.Name).Prepend(ladder.Name);

    private static void Policy(Utf8JsonWriter json, ServedPolicy policy)
    {
        json.WriteString("kind", policy.Kind);
        WireResponse.Number(json, "lambda", policy.Lambda);
        WireResponse.Number(json, "expected_cost", policy.ExpectedCost);
        WireResponse.Number(json, "expected_quality", policy.ExpectedQuality);
    }
}
