using System.Buffers;
using System.Diagnostics;
using System.Net.ServerSentEvents;
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
    /// <summary>Names the conversation that a request is a turn of.</summary>
    internal const string SessionHeader = "X-Toolkit-Session";

    private static readonly byte[] KeepAliveComment = ": still at it\n\n"u8.ToArray(),
        Done = "[DONE]"u8.ToArray();

    public async Task AnswerAsync(HttpContext context, bool chat)
    {
        var timer = new RequestTimer();
        string endpoint = chat ? "chat.completions" : "completions";
        int status = 200;
        try
        {
            OpenAiRequest request = await ReadAsync(context, chat).ConfigureAwait(false);
            int stage = service.StageOf(request);
            timer.Queue();
            using AdmissionLimiter.Place place = await gate.EnterAsync(context.RequestAborted).ConfigureAwait(false);
            timer.Begin();
            if (request.Stream)
                status = await StreamAsync(context, request, stage, timer).ConfigureAwait(false);
            else
                await WholeAsync(context, request, stage, timer).ConfigureAwait(false);
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
                await error.SendAsync(context).ConfigureAwait(false);
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
    internal static async ValueTask<OpenAiRequest> ReadAsync(HttpContext context, bool chat)
    {
        // A browser sends other types across origins without asking; this one it does not.
        if (!context.Request.HasJsonContentType())
            throw new ApiError(415, "invalid_request_error", "expected the content type application/json");
        try
        {
            using JsonDocument body = await JsonDocument
                .ParseAsync(context.Request.Body, new JsonDocumentOptions { MaxDepth = 32 }, context.RequestAborted)
                .ConfigureAwait(false);
            IHeaderDictionary headers = context.Request.Headers;
            return OpenAiRequest.Parse(body.RootElement, chat, headers[SessionHeader], headers.Authorization);
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException)
        {
            // The latter is a name or text that is no Unicode: half of a surrogate pair, escaped.
            throw ApiError.BadRequest($"body: expected JSON, got: {fault.Message.ReplaceLineEndings(" ")}");
        }
    }

    private async Task WholeAsync(HttpContext context, OpenAiRequest request, int stage, RequestTimer timer)
    {
        ServedAnswer answer = await ComputeAsync(NewId(request), request, stage, timer, new CascadeEvents(), context.RequestAborted)
            .ConfigureAwait(false);
        context.Response.ContentType = "application/json";
        new OpenAiResponse(request, service.File).Whole(context.Response.BodyWriter, answer);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }

    // The stages write into a channel, this method into the connection: a slow reader does not hold a stage up.
    private async Task<int> StreamAsync(HttpContext context, OpenAiRequest request, int stage, RequestTimer timer)
    {
        CancellationToken cancel = context.RequestAborted;
        using var broken = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var stream = new AnswerStream(request, service, stage, NewId(request), broken.Cancel);
        Task compute = Task.Run(async () =>
        {
            try
            {
                stream.End(
                    await ComputeAsync(stream.Id, request, stage, timer, stream.Events, broken.Token, policy => stream.Policy = policy)
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
            // Until something is out, a fault can still be a plain error with its own status.
            if (await ArrivedAsync(stream.Chunks, cancel).ConfigureAwait(false) && stream.Chunks.TryPeek(out Chunk first))
                if (first.Error is { } early)
                    throw early;
            context.Response.Headers["X-Accel-Buffering"] = "no"; // proxies that collect would undo the streaming
            int status = 200;
            await TypedResults
                .ServerSentEvents(EventsAsync(stream.Chunks, context, fault => status = fault.Status))
                .ExecuteAsync(context)
                .ConfigureAwait(false);
            return status;
        }
        finally
        {
            await compute.ConfigureAwait(false); // it hears of a client that went away, and holds the request's place until then
        }
    }

    // The events of a stream: the chunks, then [DONE], or the error that ends it.
    private async IAsyncEnumerable<SseItem<byte[]>> EventsAsync(ChannelReader<Chunk> chunks, HttpContext context, Action<ApiError> onError)
    {
        while (true)
        {
            if (!chunks.TryRead(out Chunk chunk))
            {
                // A comment keeps proxies from closing a connection on which a large stage thinks.
                if (!await ArrivedAsync(chunks, context.RequestAborted).ConfigureAwait(false))
                    await context.Response.Body.WriteAsync(KeepAliveComment, context.RequestAborted).ConfigureAwait(false);
                continue;
            }
            if (chunk.Error is { } fault)
            {
                ApiError error = ApiError.From(fault);
                if (error.Status == 500)
                    log.LogError(fault, "a request failed inside its stream");
                onError(error);
                var body = new ArrayBufferWriter<byte>();
                using (var json = new Utf8JsonWriter(body, ServerJson.Options))
                    error.Write(json);
                yield return new SseItem<byte[]>(body.WrittenSpan.ToArray());
                yield break;
            }
            yield return new SseItem<byte[]>(chunk.Json ?? Done);
            if (chunk.Json is null)
                yield break;
        }
    }

    // True once a chunk is there, false when it is time for a comment.
    private async ValueTask<bool> ArrivedAsync(ChannelReader<Chunk> chunks, CancellationToken cancel)
    {
        try
        {
            // WaitAsync takes its timer away when the chunk comes first; a delay of its own would outlive the request.
            await chunks.WaitToReadAsync(cancel).AsTask().WaitAsync(keepAlive, cancel).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private async ValueTask<ServedAnswer> ComputeAsync(
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
            return await service.AskStageAsync(id, created, request, stage, timed, cancel).ConfigureAwait(false);
        var (policy, isDefault) = service.PolicyFor(request);
        onPolicy?.Invoke(policy);
        return await service.RunCascadeAsync(id, created, request, policy, isDefault, timed, cancel).ConfigureAwait(false);
    }

    private static string NewId(OpenAiRequest request) => (request.Chat ? "chatcmpl-" : "cmpl-") + Guid.NewGuid().ToString("N");
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
