using System.Text;
using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Traces;

/// <summary>
/// What one stage of the cascade did on one query.
/// </summary>
/// <param name="Model">Name of the model; it identifies the stage within a file.</param>
/// <param name="Cost">Cost of running it, at least 0, in the file's units.</param>
/// <param name="Confidence">How sure the stage is, in [0,1], or null when it does not say.</param>
/// <param name="Quality">Quality of its answer, in [0,1].</param>
public sealed record TraceStage(string Model, double Cost, double? Confidence, double Quality)
{
    /// <summary>Fields that the format does not know (tokens, signals, seconds, answer, ...), kept in their order.</summary>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> Extra { get; init; } = [];
}

/// <summary>One line of a trace file: one query and what each recorded stage did on it.</summary>
/// <param name="Id">Name of the query.</param>
/// <param name="Dataset">Where the query comes from; empty when not given.</param>
/// <param name="Split">Which part of the dataset; empty when not given.</param>
/// <param name="Stages">The recorded stages, in the order of the cascade.</param>
public sealed record TraceRecord(string Id, string Dataset, string Split, IReadOnlyList<TraceStage> Stages)
{
    /// <summary>Fields that the format does not know (prompt, features, ...), kept in their order.</summary>
    public IReadOnlyList<KeyValuePair<string, JsonElement>> Extra { get; init; } = [];

    /// <summary>Parses one line.</summary>
    /// <param name="json">The line, one JSON object.</param>
    /// <param name="file">Name of the file, for messages.</param>
    /// <param name="line">Number of the line, 1-based, for messages.</param>
    /// <exception cref="ToolkitException">The line is not a record; the message names file:line, key, expected, got.</exception>
    public static TraceRecord Parse(string json, string file, long line)
    {
        JsonElement root;
        try
        {
            using var document = JsonDocument.Parse(json);
            root = document.RootElement.Clone();
            if (Json.NotUnicode(Encoding.UTF8.GetBytes(json)) is not null)
                throw new JsonException();
        }
        catch (JsonException)
        {
            throw TraceError.At(file, line, "line", "one JSON object", json);
        }
        if (root.ValueKind != JsonValueKind.Object)
            throw TraceError.At(file, line, "line", "one JSON object", json);

        string? id = null;
        string dataset = "",
            split = "";
        List<TraceStage>? stages = null;
        var extra = new List<KeyValuePair<string, JsonElement>>();
        foreach (var field in root.EnumerateObject())
        {
            switch (field.Name)
            {
                case "id":
                    id = Text(field, "id");
                    break;
                case "dataset":
                    dataset = Text(field, "dataset");
                    break;
                case "split":
                    split = Text(field, "split");
                    break;
                case "stages":
                    if (field.Value.ValueKind != JsonValueKind.Array || field.Value.GetArrayLength() == 0)
                        throw TraceError.At(file, line, "stages", "an array of at least one stage", field.Value.GetRawText());
                    stages = [];
                    foreach (var stage in field.Value.EnumerateArray())
                        stages.Add(Stage(stage, $"stages[{stages.Count}]"));
                    break;
                default:
                    extra.Add(new(field.Name, field.Value));
                    break;
            }
        }
        if (id is null)
            throw TraceError.At(file, line, "id", "a string", "nothing");
        if (stages is null)
            throw TraceError.At(file, line, "stages", "an array of at least one stage", "nothing");
        return new(id, dataset, split, stages) { Extra = extra };

        string Text(JsonProperty field, string key) =>
            field.Value.ValueKind == JsonValueKind.String
                ? field.Value.GetString()!
                : throw TraceError.At(file, line, key, "a string", field.Value.GetRawText());

        double Number(JsonProperty field, string key, string expected, double high) =>
            field.Value.ValueKind == JsonValueKind.Number && field.Value.TryGetDouble(out var x) && x >= 0 && x <= high
                ? x
                : throw TraceError.At(file, line, key, expected, field.Value.GetRawText());

        TraceStage Stage(JsonElement element, string key)
        {
            if (element.ValueKind != JsonValueKind.Object)
                throw TraceError.At(file, line, key, "an object", element.GetRawText());
            string? model = null;
            double? cost = null,
                confidence = null,
                quality = null;
            var more = new List<KeyValuePair<string, JsonElement>>();
            foreach (var field in element.EnumerateObject())
            {
                switch (field.Name)
                {
                    case "model":
                        model = Text(field, key + ".model");
                        break;
                    case "cost":
                        cost = Number(field, key + ".cost", "a number of at least 0", double.MaxValue);
                        break;
                    case "confidence":
                        confidence =
                            field.Value.ValueKind == JsonValueKind.Null
                                ? null
                                : Number(field, key + ".confidence", "a number in [0,1] or null", 1);
                        break;
                    case "quality":
                        quality = Number(field, key + ".quality", "a number in [0,1]", 1);
                        break;
                    default:
                        more.Add(new(field.Name, field.Value));
                        break;
                }
            }
            if (model is null)
                throw TraceError.At(file, line, key + ".model", "a string", "nothing");
            if (cost is null)
                throw TraceError.At(file, line, key + ".cost", "a number of at least 0", "nothing");
            if (quality is null)
                throw TraceError.At(file, line, key + ".quality", "a number in [0,1]", "nothing");
            return new(model, cost.Value, confidence, quality.Value) { Extra = more };
        }
    }
}
