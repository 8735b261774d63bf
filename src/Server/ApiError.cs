using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>A request that is refused, in the protocol's shape: <c>{"error": {message, type, param, code}}</c>.</summary>
internal sealed class ApiError(int status, string type, string message, string? parameter = null, string? code = null) : Exception(message)
{
    public int Status => status;
    public string Type => type;
    public string? Code => code;
    public string? Parameter => parameter;

    /// <summary>Seconds after which to try again; 0 for none.</summary>
    public int RetryAfter { get; init; }

    /// <summary>400; the message names the parameter, for those who read nothing else.</summary>
    public static ApiError BadRequest(string message, string? parameter = null, string? code = null) =>
        new(
            400,
            "invalid_request_error",
            parameter is null || message.Contains(parameter, StringComparison.Ordinal) ? message : $"{parameter}: {message}",
            parameter,
            code
        );

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteStartObject("error");
        json.WriteString("message", Message);
        json.WriteString("type", type);
        json.WriteString("param", parameter);
        json.WriteString("code", code);
        json.WriteEndObject();
        json.WriteEndObject();
    }

    public async Task SendAsync(HttpContext context)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        if (RetryAfter > 0)
            context.Response.Headers.RetryAfter = RetryAfter.ToString(System.Globalization.CultureInfo.InvariantCulture);
        using (var json = new Utf8JsonWriter(context.Response.BodyWriter, ServerJson.Options))
            Write(json);
        await context.Response.BodyWriter.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>What a client is told of a fault that came up while its request was answered.</summary>
    public static ApiError From(Exception fault) =>
        fault switch
        {
            ApiError error => error,
            ToolkitException => BadRequest(fault.Message),
            StageException { Kind: StageFailures.Rejected } => BadRequest(fault.Message),
            StageException { Kind: StageFailures.Filtered } => BadRequest(fault.Message, code: "content_filter"),
            StageException { Kind: StageFailures.Timeout } failure => new ApiError(
                504,
                "server_error",
                failure.Message,
                code: failure.Kind
            ),
            StageException { Kind: StageFailures.Overloaded or StageFailures.OpenCircuit } failure => new ApiError(
                503,
                "server_error",
                failure.Message,
                code: failure.Kind
            )
            {
                RetryAfter = 5,
            },
            StageException failure => new ApiError(502, "server_error", failure.Message, code: failure.Kind),
            BadHttpRequestException bad => new ApiError(bad.StatusCode, "invalid_request_error", bad.Message),
            _ => new ApiError(500, "server_error", "the server failed at this request; its log says more"),
        };
}

/// <summary>How the server writes JSON.</summary>
internal static class ServerJson
{
    /// <summary>Text as it is, where JSON allows it: answers are no part of a page.</summary>
    public static readonly JsonWriterOptions Options = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    };

    /// <summary>A number, or null where it is not finite.</summary>
    public static void Number(Utf8JsonWriter json, string name, double value)
    {
        if (double.IsFinite(value))
            json.WriteNumber(name, value);
        else
            json.WriteNull(name);
    }
}
