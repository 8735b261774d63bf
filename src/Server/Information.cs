using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>What the server tells of itself: its models, and for the page its stages, its front and its monitors.</summary>
internal static class Information
{
    private static readonly long Started = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    public static void Models(Utf8JsonWriter json, CascadeFile cascade)
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (string name in Names(cascade))
            Model(json, cascade, name);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    public static void Model(Utf8JsonWriter json, CascadeFile cascade, string name)
    {
        if (!Names(cascade).Contains(name))
            throw new ApiError(
                404,
                "invalid_request_error",
                $"expected one of {string.Join(", ", Names(cascade))}, got another",
                "model",
                "model_not_found"
            );
        json.WriteStartObject();
        json.WriteString("id", name);
        json.WriteString("object", "model");
        json.WriteNumber("created", Started);
        json.WriteString("owned_by", "optimal-stopping-toolkit");
        json.WriteEndObject();
    }

    public static void Cascade(Utf8JsonWriter json, CascadeFile cascade, PolicyStore policies, FeedbackService feedback)
    {
        json.WriteStartObject();
        json.WriteString("name", cascade.Name);
        json.WriteStartArray("stages");
        for (int k = 0; k < cascade.Stages.Count; k++)
        {
            json.WriteStartObject();
            json.WriteString("name", cascade.Stages[k].Name);
            json.WriteNumber("cost", cascade.Stages[k].Cost);
            json.WriteString("backend", cascade.Stages[k].Backend);
            CalibrationGap gap = feedback.Gap(k);
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
        json.WriteStartArray("examples");
        foreach (string example in cascade.Examples)
            json.WriteStringValue(example);
        json.WriteEndArray();
        json.WriteStartObject("default");
        Policy(json, policies.Default);
        json.WriteEndObject();
        json.WriteStartArray("front");
        foreach (ServedPolicy policy in policies.Front)
        {
            json.WriteStartObject();
            Policy(json, policy);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartObject("monitor");
        json.WriteNumber("grades", feedback.Grades);
        json.WriteNumber("graded_default", feedback.Quality.Count);
        json.WriteNumber("quality_since", feedback.Quality.Since);
        json.WriteNumber("quality_low", feedback.Quality.Low);
        json.WriteNumber("quality_high", feedback.Quality.High);
        json.WriteNumber("guarantee", feedback.Alarm.Floor);
        json.WriteBoolean("alarm", feedback.Alarm.Raised);
        if (feedback.Learner is { } learner)
            json.WriteNumber("learner_rounds", learner.Rounds);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static IEnumerable<string> Names(CascadeFile cascade) => cascade.Stages.Select(stage => stage.Name).Prepend(cascade.Name);

    private static void Policy(Utf8JsonWriter json, ServedPolicy policy)
    {
        json.WriteString("kind", policy.Kind);
        ServerJson.Number(json, "lambda", policy.Lambda);
        ServerJson.Number(json, "expected_cost", policy.ExpectedCost);
        ServerJson.Number(json, "expected_quality", policy.ExpectedQuality);
    }
}

/// <summary>The page at <c>/</c>: three files that are part of this assembly and ask for nothing from elsewhere.</summary>
internal static class Page
{
    public static void Map(WebApplication app)
    {
        Serve(app, "/", "page.html", "text/html; charset=utf-8");
        Serve(app, "/page.css", "page.css", "text/css; charset=utf-8");
        Serve(app, "/page.js", "page.js", "text/javascript; charset=utf-8");
    }

    private static void Serve(WebApplication app, string path, string file, string type)
    {
        using Stream resource = typeof(Page).Assembly.GetManifestResourceStream(file)
            ?? throw new InvalidOperationException($"the assembly lacks {file}");
        var bytes = new byte[resource.Length];
        resource.ReadExactly(bytes);
        app.MapGet(path, context =>
        {
            context.Response.ContentType = type;
            context.Response.Headers.CacheControl = "no-cache";
            return context.Response.Body.WriteAsync(bytes, 0, bytes.Length);
        });
    }
}
