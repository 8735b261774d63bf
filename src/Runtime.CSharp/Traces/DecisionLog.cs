using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Traces;

/// <summary>A stage that ran for a decision.</summary>
/// <param name="Model">Name of the model.</param>
/// <param name="Cost">What it cost, at least 0.</param>
/// <param name="Confidence">The confidence that the policy saw, in [0,1]; null for none.</param>
public sealed record LoggedStage(string Model, double Cost, double? Confidence)
{
    /// <summary>The first stage of the decision (0, 1, ...) that gave the same answer; -1 where that is not known.</summary>
    public int Same { get; init; } = -1;

    /// <summary>Confidence features of the answer, in the order of ConfidenceFeatures.Names; null where they were not logged.</summary>
    public double[]? Features { get; init; }
}

/// <summary>One decision of a service: which models were asked, whose answer was returned, and how likely that was.</summary>
/// <param name="Id">Name of the query.</param>
/// <param name="Policy">What decided; empty where the log does not tell.</param>
/// <param name="Propensity">The probability, above 0, with which the service did what it did, given the query and the past.</param>
/// <param name="Stages">The models that ran, in order; at least one.</param>
/// <param name="Answered">Which of them answered (0, 1, ...).</param>
/// <param name="Quality">The grade of the answer, in [0,1].</param>
public sealed record LoggedDecision(
    string Id,
    string Policy,
    double Propensity,
    IReadOnlyList<LoggedStage> Stages,
    int Answered,
    double Quality
)
{
    /// <summary>Where the query comes from; empty where the log does not tell.</summary>
    public string Dataset { get; init; } = "";

    /// <summary>Cost of all that ran.</summary>
    public double Cost => Stages.Sum(stage => stage.Cost);

    /// <summary>Writes it as one line, as <see cref="DecisionLog.Read"/> reads it.</summary>
    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("id", Id);
        if (Dataset.Length > 0)
            json.WriteString("dataset", Dataset);
        json.WriteString("policy", Policy);
        json.WriteNumber("propensity", Propensity);
        json.WriteStartArray("stages");
        foreach (LoggedStage stage in Stages)
        {
            json.WriteStartObject();
            json.WriteString("model", stage.Model);
            json.WriteNumber("cost", stage.Cost);
            if (stage.Confidence is { } confidence)
                json.WriteNumber("confidence", confidence);
            else
                json.WriteNull("confidence");
            if (stage.Same >= 0)
                json.WriteNumber("same", stage.Same);
            if (stage.Features is { } features)
            {
                json.WriteStartArray("signals");
                foreach (double feature in features)
                    json.WriteNumberValue(feature);
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteString("answered", Stages[Answered].Model);
        json.WriteNumber("quality", Quality);
        json.WriteEndObject();
    }
}

/// <summary>
/// Logs of a service that answers each query once: one JSON object a line, with `id`, `propensity` and `stages` (model, cost, confidence), the model
/// that `answered` (default: the last that ran) and its `quality`. `toolkit serve --decisions` writes them; a line of a trace file with one
/// stage and a `propensity` is one too. Other fields are passed over.
/// </summary>
/// <param name="Decisions">Those with a grade, in the order of the log.</param>
/// <param name="Ungraded">Lines without a quality, which were left out.</param>
public sealed record DecisionLog(IReadOnlyList<LoggedDecision> Decisions, int Ungraded)
{
    private const string Probability = "a number above 0, at most 1: the probability with which this was done";

    /// <summary>Reads a log.</summary>
    /// <exception cref="ToolkitException">
    /// A malformed line, a propensity that is missing or 0, or no graded decision; the message names file:line, key, expected, got.
    /// </exception>
    public static DecisionLog Read(string path)
    {
        var decisions = new List<LoggedDecision>();
        int ungraded = 0;
        using var lines = new LineReader(TraceReader.Open(path), path);
        while (lines.Next(out ReadOnlySpan<byte> text))
        {
            if (TraceReader.IsBlank(text))
                continue;
            using JsonDocument document = Parse(text.ToArray(), path, lines.Line);
            if (Parse(document.RootElement, path, lines.Line) is { } decision)
                decisions.Add(decision);
            else
                ungraded++;
        }
        return decisions.Count > 0
            ? new DecisionLog(decisions, ungraded)
            : throw new ToolkitException($"{path}: expected decisions with a quality, got none ({ungraded} without)");
    }

    private static JsonDocument Parse(byte[] text, string path, long line)
    {
        try
        {
            JsonDocument document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind == JsonValueKind.Object && Json.NotUnicode(text) is null)
                return document;
            document.Dispose();
        }
        catch (JsonException)
        {
            // told below
        }
        throw TraceError.At(path, line, "line", "one JSON object", System.Text.Encoding.UTF8.GetString(text));
    }

    private static LoggedDecision? Parse(JsonElement root, string path, long line)
    {
        var map = JsonMap.From(root, (key, expected, got) => TraceError.At(path, line, key, expected, got));
        string id = map.Text("id");
        if (!map.Has("propensity", out JsonElement logged))
            throw map.Error("propensity", Probability + " (without it a log cannot tell what another policy would have done)", "nothing");
        if (logged.ValueKind != JsonValueKind.Number || !logged.TryGetDouble(out double propensity) || !(propensity > 0 && propensity <= 1))
            throw map.Error("propensity", Probability, logged.GetRawText());
        JsonMap[] maps = map.Maps("stages");
        if (maps.Length == 0)
            throw map.Error("stages", "at least one that ran", "none");
        LoggedStage[] stages = Array.ConvertAll(maps, Stage);
        int answered = stages.Length - 1;
        if (map.Has("answered"))
            answered = Array.FindIndex(stages, stage => stage.Model == map.OneOf("answered", [.. stages.Select(s => s.Model)]));
        double quality =
            map.Has("quality") ? map.Number("quality", 0, 1)
            : maps[answered].Has("quality") ? maps[answered].Number("quality", 0, 1)
            : double.NaN;
        return double.IsNaN(quality)
            ? null
            : new LoggedDecision(id, map.TextOr("policy", "")!, propensity, stages, answered, quality)
            {
                Dataset = map.TextOr("dataset", "")!,
            };
    }

    private static LoggedStage Stage(JsonMap stage) =>
        new(
            stage.Text("model"),
            stage.Number("cost", 0, double.MaxValue),
            stage.Has("confidence") && !stage.IsNull("confidence") ? stage.Number("confidence", 0, 1) : null
        )
        {
            Same = stage.IntegerOrNull("same", 0, 15) ?? -1,
            Features =
                stage.Has("signals", out JsonElement features) && features.ValueKind == JsonValueKind.Array
                    ? stage.Numbers("signals", null)
                    : null,
        };
}
