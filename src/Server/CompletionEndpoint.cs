using System.Buffers;
using System.Diagnostics;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>
/// <c>/v1/chat/completions</c> and <c>/v1/completions</c>: reads a request, waits for its turn, answers it whole or as a
/// stream of server-sent events, and measures what of the time was the toolkit's own.
/// </summary>
internal sealed class CompletionEndpoint(
    CascadeService service,
    AdmissionLimiter gate,
    ServerMetrics metrics,
    TimeSpan keepAlive,
    ILogger log
)
{
    public async Task Answer(HttpContext context, bool chat)
    {
        var timer = new RequestTimer();
        string endpoint = chat ? "chat.completions" : "completions";
        int status = 200;
        try
        {
            OpenAiRequest request = await Read(context, chat).ConfigureAwait(false);
            int stage = service.StageOf(request);
            timer.Queue();
            using AdmissionLimiter.Place place = await gate.Enter(context.RequestAborted).ConfigureAwait(false);
            timer.Begin();
            if (request.Stream)
                status = await Stream(context, request, stage, timer).ConfigureAwait(false);
            else
                await Whole(context, request, stage, timer).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            status = 499; // the client went away; nobody is left to be told
        }
        catch (Exception fault)
        {
            ApiError error = ApiError.From(fault);
            status = error.Status;
            if (status == 500)
                log.LogError(fault, "a request failed");
            if (!context.Response.HasStarted)
                await error.Send(context).ConfigureAwait(false);
        }
        finally
        {
            metrics.Request(endpoint, status);
            if (status == 200)
                metrics.Times(timer.Total, timer.Overhead, timer.Waited);
        }
    }

    /// <summary>Reads a request's body.</summary>
    /// <exception cref="ApiError">It is no request that a cascade answers.</exception>
    internal static async ValueTask<OpenAiRequest> Read(HttpContext context, bool chat)
    {
        // A browser sends other types across origins without asking; this one it does not.
        if (!context.Request.HasJsonContentType())
            throw new ApiError(415, "invalid_request_error", "expected the content type application/json");
        try
        {
            using JsonDocument body = await JsonDocument
                .ParseAsync(context.Request.Body, new JsonDocumentOptions { MaxDepth = 32 }, context.RequestAborted)
                .ConfigureAwait(false);
            return OpenAiRequest.Parse(body.RootElement, chat);
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException)
        {
            // The latter is a name or text that is no Unicode: half of a surrogate pair, escaped.
            throw ApiError.BadRequest($"body: expected JSON, got: {fault.Message.ReplaceLineEndings(" ")}");
        }
    }

    private async Task Whole(HttpContext context, OpenAiRequest request, int stage, RequestTimer timer)
    {
        ServedAnswer answer = await Compute(NewId(request), request, stage, timer, new CascadeEvents(), context.RequestAborted)
            .ConfigureAwait(false);
        context.Response.ContentType = "application/json";
        new OpenAiResponse(request, service.File).Whole(context.Response.BodyWriter, answer);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }

    // The stages write into a channel, this method into the connection: a slow reader does not hold a stage up.
    private async Task<int> Stream(HttpContext context, OpenAiRequest request, int stage, RequestTimer timer)
    {
        var stream = new AnswerStream(request, service, stage, NewId(request));
        Task compute = Task.Run(async () =>
        {
            try
            {
                stream.End(
                    await Compute(stream.Id, request, stage, timer, stream.Events, context.RequestAborted, policy => stream.Policy = policy)
                        .ConfigureAwait(false)
                );
            }
            catch (Exception fault)
            {
                stream.Fail(fault);
            }
        });
        try
        {
            ChannelReader<Chunk> chunks = stream.Chunks;
            while (!await Wait(chunks, context).ConfigureAwait(false)) { }
            if (!context.Response.HasStarted)
            {
                // Until something is out, a fault can still be a plain error with its own status.
                if (chunks.TryPeek(out Chunk first) && first.Error is { } early)
                    throw early;
                Start(context);
            }
            while (await Next(chunks, context).ConfigureAwait(false) is { } chunk)
            {
                if (chunk.Error is { } fault)
                {
                    ApiError error = ApiError.From(fault);
                    if (error.Status == 500)
                        log.LogError(fault, "a request failed inside its stream");
                    var body = new ArrayBufferWriter<byte>();
                    using (var json = new Utf8JsonWriter(body, OpenAiResponse.Options))
                        error.Write(json);
                    Data(context, body.WrittenSpan);
                    await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
                    return error.Status;
                }
                Data(context, chunk.Json!);
                if (!chunks.TryPeek(out _))
                    await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            }
            Data(context, "[DONE]"u8);
            await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            return 200;
        }
        finally
        {
            await compute.ConfigureAwait(false); // it hears of a client that went away, and holds the request's place until then
        }
    }

    private async ValueTask<ServedAnswer> Compute(
        string id,
        OpenAiRequest request,
        int stage,
        RequestTimer timer,
        CascadeEvents events,
        CancellationToken cancel,
        Action<ServedPolicy>? onPolicy = null
    )
    {
        long created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        CascadeEvents timed = events with
        {
            StageAnswered = turn =>
            {
                timer.Worked(turn.Seconds);
                events.StageAnswered?.Invoke(turn);
            },
        };
        if (stage >= 0)
            return await service.Ask(id, created, request, stage, timed, cancel).ConfigureAwait(false);
        var (policy, isDefault) = service.PolicyFor(request);
        onPolicy?.Invoke(policy);
        return await service.Climb(id, created, request, policy, isDefault, timed, cancel).ConfigureAwait(false);
    }

    private static string NewId(OpenAiRequest request) => (request.Chat ? "chatcmpl-" : "cmpl-") + Guid.NewGuid().ToString("N");

    private static void Start(HttpContext context)
    {
        context.Response.ContentType = "text/event-stream; charset=utf-8";
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.Headers["X-Accel-Buffering"] = "no"; // proxies that collect would undo the streaming
    }

    private static void Data(HttpContext context, ReadOnlySpan<byte> json)
    {
        IBufferWriter<byte> output = context.Response.BodyWriter;
        output.Write("data: "u8);
        output.Write(json);
        output.Write("\n\n"u8);
    }

    // True once a chunk is there. A comment keeps proxies from closing a connection on which a large stage thinks.
    private async ValueTask<bool> Wait(ChannelReader<Chunk> chunks, HttpContext context)
    {
        try
        {
            // WaitAsync takes its timer away when the chunk comes first; a delay of its own would outlive the request.
            await chunks.WaitToReadAsync(context.RequestAborted).AsTask().WaitAsync(keepAlive).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            // written below
        }
        if (!context.Response.HasStarted)
            Start(context);
        context.Response.BodyWriter.Write(": still at it\n\n"u8);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        return false;
    }

    private async ValueTask<Chunk?> Next(ChannelReader<Chunk> chunks, HttpContext context)
    {
        while (true)
        {
            if (chunks.TryRead(out Chunk chunk))
                return chunk.Json is null && chunk.Error is null ? null : chunk;
            await Wait(chunks, context).ConfigureAwait(false);
        }
    }
}

/// <summary>Splits a request's time into waiting, the stages' work, and the rest, which is the toolkit's own.</summary>
internal sealed class RequestTimer
{
    private readonly long _arrived = Stopwatch.GetTimestamp();
    private long _queued,
        _begun;
    private double _worked;

    public void Queue() => _queued = Stopwatch.GetTimestamp();

    public void Begin() => _begun = Stopwatch.GetTimestamp();

    public void Worked(double seconds) => _worked += seconds;

    public double Total => Stopwatch.GetElapsedTime(_arrived).TotalSeconds;

    public double Waited => _begun == 0 ? 0 : Stopwatch.GetElapsedTime(_queued, _begun).TotalSeconds;

    public double Overhead => Math.Max(0, Total - Waited - _worked);
}
