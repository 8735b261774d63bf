using System.Text.Encodings.Web;
using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>Writes policy.json: first what a person wants to know, then the numbers that a program needs.</summary>
internal static class PolicyFileWriter
{
    public const string Format = "optimal-stopping policy";
    public const int Version = 1;

    private static readonly JsonWriterOptions Layout = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(PolicyFile policy, string path)
    {
        try
        {
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
                Directory.CreateDirectory(folder);
        }
        catch (Exception error) when (AtomicFile.IsWriteError(error))
        {
            throw AtomicFile.Error(path, error);
        }
        AtomicFile.Write(path, stream =>
        {
            using var json = new Utf8JsonWriter(stream, Layout);
            Write(json, policy);
        });
    }

    private static void Write(Utf8JsonWriter json, PolicyFile file)
    {
        json.WriteStartObject();
        json.WriteString("format", Format);
        json.WriteNumber("version", Version);
        Strings(json, "models", file.Models);
        Number(json, "lambda", file.Lambda);

        json.WriteStartObject("guarantee");
        json.WriteString("statement", file.Guarantee.Statement);
        json.WriteNumber("max_loss", file.Guarantee.MaxLoss);
        json.WriteNumber("delta", file.Guarantee.Delta);
        json.WriteString("reference", file.Guarantee.Reference);
        json.WriteNumber("queries", file.Guarantee.Queries);
        json.WriteNumber("candidates", file.Guarantee.Candidates);
        json.WriteNumber("passed", file.Guarantee.Passed);
        json.WriteEndObject();

        json.WriteStartObject("measured");
        json.WriteNumber("quality", file.Measured.Quality);
        json.WriteNumber("cost", file.Measured.Cost);
        json.WriteNumber("reference_quality", file.Measured.ReferenceQuality);
        json.WriteNumber("reference_cost", file.Measured.ReferenceCost);
        json.WriteEndObject();

        json.WriteStartObject("origin");
        json.WriteString("toolkit", file.Origin.Toolkit);
        json.WriteString("traces", file.Origin.Traces);
        json.WriteString("sha256", file.Origin.Sha256);
        json.WriteNumber("seed", file.Origin.Seed);
        json.WriteNumber("fit_queries", file.Origin.FitQueries);
        json.WriteEndObject();

        WriteConfidence(json, file.Calibration);
        json.WriteStartObject("policy");
        switch (file.Policy)
        {
            case ThresholdCascade cascade:
                WriteCascade(json, cascade, file.Models);
                break;
            case PlannedPolicy planned:
                WritePlanned(json, planned, file.Models);
                break;
            default:
                throw new ArgumentException($"expected a cascade or a planned policy, got {file.Policy.GetType().Name}");
        }
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteConfidence(Utf8JsonWriter json, ConfidenceCalibration? signals)
    {
        json.WriteStartObject("confidence");
        json.WriteString("kind", signals is null ? "recorded" : "signals");
        if (signals is not null)
        {
            json.WriteStartArray("stages");
            foreach (var stage in signals.Stages)
            {
                json.WriteStartObject();
                Numbers(json, "means", stage.Means);
                Numbers(json, "scales", stage.Scales);
                Numbers(json, "weights", stage.Weights);
                json.WriteNumber("intercept", stage.Intercept);
                json.WriteNumber("ridge", stage.Ridge);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void WriteCascade(Utf8JsonWriter json, ThresholdCascade cascade, IReadOnlyList<string> models)
    {
        json.WriteString("kind", "cascade");
        Strings(json, "chain", cascade.Chain.Select(k => models[k]));
        Numbers(json, "thresholds", cascade.Thresholds);
    }

    private static void WritePlanned(Utf8JsonWriter json, PlannedPolicy policy, IReadOnlyList<string> models)
    {
        var (space, inputs) = (policy.Space, policy.Inputs);
        json.WriteString("kind", "planned");
        json.WriteString("actions", space.Actions.ToString().ToLowerInvariant());
        json.WriteNumber("window", space.Window);
        json.WriteNumber("features", inputs.ContextWidth);
        json.WriteBoolean("answers", inputs.HasAnswers);
        json.WriteBoolean("confidences", inputs.Shape.Confidences);
        json.WriteNumber("knots", inputs.Shape.Knots);
        json.WriteBoolean("products", inputs.Shape.Products);
        json.WriteStartArray("scales");
        for (int k = 0; k < models.Count; k++)
        {
            json.WriteStartObject();
            json.WriteString("model", models[k]);
            json.WriteBoolean("nulls", inputs.HasNull[k]);
            Numbers(json, "confidence", inputs.Scales[k].Knots);
            Numbers(json, "rank", inputs.Scales[k].Ranks);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("states");
        for (int s = 0; s < space.Count; s++)
        {
            json.WriteStartObject();
            Strings(json, "ran", space.Members(s).Select(k => models[k]));
            Choices(json, "stop", space.Answers(s), policy.Stop[s], models);
            Choices(json, "go", space.Next(s), policy.Go[s], models);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void Choices(Utf8JsonWriter json, string key, int[] stages, double[][] coefficients, IReadOnlyList<string> models)
    {
        json.WriteStartObject(key);
        for (int a = 0; a < stages.Length; a++)
            Numbers(json, models[stages[a]], coefficients[a]);
        json.WriteEndObject();
    }

    private static void Strings(Utf8JsonWriter json, string key, IEnumerable<string> values)
    {
        json.WriteStartArray(key);
        foreach (string value in values)
            json.WriteStringValue(value);
        json.WriteEndArray();
    }

    private static void Numbers(Utf8JsonWriter json, string key, double[] values)
    {
        json.WriteStartArray(key);
        foreach (double value in values)
            if (double.IsPositiveInfinity(value))
                json.WriteStringValue("inf");
            else
                json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    private static void Number(Utf8JsonWriter json, string key, double value)
    {
        if (double.IsNaN(value))
            json.WriteNull(key);
        else
            json.WriteNumber(key, value);
    }
}
