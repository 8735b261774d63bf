using System.Text.Json;
using Microsoft.AspNetCore.Http;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>
/// <c>POST /v1/toolkit/feedback</c> with <c>{"id": ID OF A RESPONSE, "quality": 0 to 1}</c>. The reply comes after the
/// grade is in the database: what was acknowledged survives any crash.
/// </summary>
internal static class FeedbackEndpoint
{
    public static async Task TakeAsync(HttpContext context, FeedbackService feedback, ServerMetrics metrics, CascadeFile cascade)
    {
        int status = 200;
        try
        {
            if (!context.Request.HasJsonContentType())
                throw new ApiError(415, "invalid_request_error", "expected the content type application/json");
            var (id, quality) = await Read(context).ConfigureAwait(false);
            (int stage, bool learned) = await feedback.GradeAsync(id, quality).ConfigureAwait(false);
            metrics.Feedback(stage);
            context.Response.ContentType = "application/json";
            using (var json = new Utf8JsonWriter(context.Response.BodyWriter))
            {
                json.WriteStartObject();
                json.WriteString("object", "toolkit.feedback");
                json.WriteString("id", id);
                json.WriteString("stage", cascade.Stages[stage].Name);
                json.WriteBoolean("learned", learned);
                json.WriteEndObject();
            }
            await context.Response.BodyWriter.FlushAsync().ConfigureAwait(false);
        }
        catch (IOException fault) when (fault is not BadHttpRequestException)
        {
            status = 507;
            await new ApiError(
                507,
                "server_error",
                $"the grade could not be kept: {fault.Message.ReplaceLineEndings(" ")}",
                code: "storage_failed"
            )
                .SendAsync(context)
                .ConfigureAwait(false);
        }
        catch (ApiError error)
        {
            status = error.Status;
            throw;
        }
        finally
        {
            metrics.Request("feedback", status);
        }
    }

    private static async ValueTask<(string Id, double Quality)> Read(HttpContext context)
    {
        try
        {
            using JsonDocument body = await JsonDocument
                .ParseAsync(context.Request.Body, new JsonDocumentOptions { MaxDepth = 8 }, context.RequestAborted)
                .ConfigureAwait(false);
            JsonElement root = body.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                throw ApiError.BadRequest("body: expected a JSON object");
            if (!root.TryGetProperty("id", out JsonElement id) || id.ValueKind != JsonValueKind.String)
                throw ApiError.BadRequest("expected the id of a response", "id");
            if (
                !root.TryGetProperty("quality", out JsonElement quality)
                || quality.ValueKind != JsonValueKind.Number
                || !quality.TryGetDouble(out double value)
                || !(value >= 0 && value <= 1)
            )
                throw ApiError.BadRequest("expected a number from 0 to 1", "quality");
            return (id.GetString()!, value);
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException)
        {
            throw ApiError.BadRequest($"body: expected JSON, got: {fault.Message.ReplaceLineEndings(" ")}");
        }
    }
}
