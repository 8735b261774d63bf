using System.Buffers;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OpenTelemetry.Metrics;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>
/// One endpoint for a whole cascade: the OpenAI protocol, health, metrics, grades, and a page to watch. Owns its stages.
/// </summary>
public sealed class CascadeServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Cascade _cascade;
    private readonly PolicyStore _policies;
    private readonly FeedbackService _feedback;
    private readonly AdmissionLimiter _gate;
    private readonly ServerMetrics _metrics;
    private readonly ServerWatch _watch;

    private CascadeServer(
        WebApplication app,
        Cascade cascade,
        PolicyStore policies,
        FeedbackService feedback,
        AdmissionLimiter gate,
        ServerMetrics metrics,
        ServerWatch watch
    ) => (_app, _cascade, _policies, _feedback, _gate, _metrics, _watch) = (app, cascade, policies, feedback, gate, metrics, watch);

    /// <summary>Where the server listens, once it has started.</summary>
    public Uri Address { get; private set; } = new("http://localhost");

    /// <summary>Grades in the log at the start.</summary>
    public long Replayed { get; private init; }

    /// <summary>Starts a server.</summary>
    /// <param name="cascade">Disposed with the server.</param>
    /// <param name="records">Calibration records; null for a cascade without them, which then needs a policy file.</param>
    /// <param name="policy">The default policy; null for the plan of <paramref name="lambda"/>.</param>
    /// <param name="lambda">Price of cost of the default policy, and of the online learner.</param>
    /// <exception cref="ToolkitException">
    /// Policy, records or state are of another cascade, a stage's server is another than the policy was calibrated on, or the
    /// port cannot be had.
    /// </exception>
    public static async Task<CascadeServer> StartAsync(
        Cascade cascade,
        CascadeRecords? records,
        PolicyFile? policy,
        double lambda,
        ServeOptions options,
        CancellationToken cancel = default
    )
    {
        CascadePlans? plans = records is null ? null : new CascadePlans(cascade.File, records);
        var policies = new PolicyStore(cascade.File, plans, policy, lambda);
        BudgetKeeper? budget = double.IsNaN(options.Budget)
            ? null
            : new BudgetKeeper(policies, options.Budget, cascade.File.Stages.Sum(stage => stage.Cost), ServeOptions.BudgetHorizon);
        if (budget is not null)
            policies.Use(budget.Expected);
        OnlineLearner? learner = !options.Learn
            ? null
            : new OnlineLearner(
                [.. cascade.File.Stages.Select(stage => stage.Cost)],
                lambda,
                plans?.Records ?? throw new ToolkitException("learner: expected a cascade with calibration records, got one without"),
                seed: 1,
                options.AuditRate
            );
        string? newFolder =
            options.State is null || FeedbackStore.IsPostgres(options.State) || Directory.Exists(options.State) ? null : options.State;
        var feedback = new FeedbackService(cascade.File, options, policies, learner);
        var gate = new AdmissionLimiter(options);
        var metrics = new ServerMetrics([.. cascade.File.Stages.Select(stage => stage.Name)], gate, feedback, budget);
        // Models in this process compute on the pool's threads; connections need some of their own.
        ThreadPool.GetMinThreads(out int workers, out int ports);
        ThreadPool.SetMinThreads(Math.Max(workers, options.Concurrency + Environment.ProcessorCount + 4), ports);
        WebApplication app = Build(options);
        var watch = new ServerWatch(cascade, metrics, app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("toolkit"));
        SessionStages? sessions =
            options.Sessions == 0 ? null : new SessionStages(options.Sessions, ServeOptions.SessionIdle, TimeProvider.System);
        var service = new CascadeService(cascade, policies, feedback, metrics, budget, sessions, watch);
        Map(app, service, policies, feedback, metrics, gate, options);
        try
        {
            watch.Expect(policy);
            await watch.ProbeAsync(cancel).ConfigureAwait(false);
            await app.StartAsync(cancel).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            await app.DisposeAsync().ConfigureAwait(false);
            await feedback.DisposeAsync().ConfigureAwait(false);
            if (newFolder is not null)
                Directory.Delete(newFolder, recursive: true); // holds nothing but the names of an empty log
            if (fault is IOException)
                throw new ToolkitException(
                    $"port {options.Port}: expected a free port, got: {fault.Message.ReplaceLineEndings(" ")}",
                    fault
                );
            throw;
        }
        return new CascadeServer(app, cascade, policies, feedback, gate, metrics, watch)
        {
            Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First()),
            Replayed = feedback.Grades,
        };
    }

    /// <summary>Runs until the process is told to stop (SIGTERM, Ctrl-C) or the token is cancelled, then drains.</summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        await _app.WaitForShutdownAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Answers with another policy from now on, without a restart; its monitors begin with what is graded of it already.</summary>
    /// <exception cref="ToolkitException">The policy is of another cascade, or the store is away; the server goes on as it was.</exception>
    public async Task ReloadAsync(PolicyFile policy)
    {
        _policies.Replace(policy);
        _watch.Expect(policy);
        await _feedback.RestartAsync().ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync().ConfigureAwait(false);
        await _app.DisposeAsync().ConfigureAwait(false);
        await _feedback.DisposeAsync().ConfigureAwait(false);
        await _cascade.DisposeAsync().ConfigureAwait(false);
        _metrics.Dispose();
        _gate.Dispose();
    }

    private static WebApplication Build(ServeOptions options)
    {
        // The slim builder reads no files and no command line: what the server does stands in its options.
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(
            new WebApplicationOptions { ApplicationName = typeof(CascadeServer).Assembly.GetName().Name }
        );
        builder
            .Logging.ClearProviders()
            .AddSimpleConsole(console => console.SingleLine = true)
            .SetMinimumLevel(LogLevel.Warning)
            .AddFilter("Microsoft.Extensions.Hosting", LogLevel.None); // a start that fails is told in one line by its caller
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(console =>
            console.LogToStandardErrorThreshold = LogLevel.Trace
        );
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = options.BodyLimit;
            kestrel.Limits.MinRequestBodyDataRate = new(240, TimeSpan.FromSeconds(5));
            if (options.Host == "localhost")
                kestrel.ListenLocalhost(options.Port);
            else
                kestrel.Listen(
                    IPAddress.TryParse(options.Host, out IPAddress? address)
                        ? address
                        : throw new ToolkitException($"host: expected an IP address or localhost, got '{options.Host}'"),
                    options.Port
                );
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = options.Drain);
        builder
            .Services.AddOpenTelemetry()
            .WithMetrics(metrics =>
                metrics
                    .AddMeter(ServerMetrics.MeterName, "System.Runtime")
                    .AddView(instrument =>
                        instrument.Name == "toolkit_confidence"
                            ? new ExplicitBucketHistogramConfiguration { Boundaries = ServerMetrics.ConfidenceBounds }
                        : instrument.Name.StartsWith("toolkit_", StringComparison.Ordinal) && instrument.Unit == "s"
                            ? new ExplicitBucketHistogramConfiguration { Boundaries = ServerMetrics.SecondsBounds }
                        : null
                    )
                    .AddPrometheusExporter()
            );
        return builder.Build();
    }

    private static void Map(
        WebApplication app,
        CascadeService service,
        PolicyStore policies,
        FeedbackService feedback,
        ServerMetrics metrics,
        AdmissionLimiter gate,
        ServeOptions options
    )
    {
        var keys = new ApiKeys(options.Keys);
        var completions = new CompletionEndpoint(
            service,
            gate,
            metrics,
            options.KeepAlive,
            app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("toolkit")
        );
        CancellationToken stopping = app.Lifetime.ApplicationStopping;
        app.Use(
            async (context, next) =>
            {
                IHeaderDictionary headers = context.Response.Headers;
                headers.XContentTypeOptions = "nosniff";
                headers["Referrer-Policy"] = "no-referrer";
                headers.ContentSecurityPolicy =
                    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
                try
                {
                    PathString path = context.Request.Path;
                    if (path.StartsWithSegments("/v1") || path.StartsWithSegments("/metrics"))
                    {
                        keys.Check(context.Request);
                        if (stopping.IsCancellationRequested)
                            throw new ApiError(503, "server_error", "the server is stopping", code: "shutting_down") { RetryAfter = 5 };
                    }
                    await next(context).ConfigureAwait(false);
                    if (context.Response is { StatusCode: 404 or 405, HasStarted: false })
                        throw new ApiError(
                            context.Response.StatusCode,
                            "invalid_request_error",
                            $"no such place: {context.Request.Method} {path}",
                            code: "unknown_url"
                        );
                }
                catch (Exception fault) when (!context.Response.HasStarted && !context.RequestAborted.IsCancellationRequested)
                {
                    ApiError error = ApiError.From(fault);
                    if (error.Status == 500)
                        app.Logger.LogError(fault, "a request failed");
                    await error.SendAsync(context).ConfigureAwait(false);
                }
            }
        );
        app.MapPost("/v1/chat/completions", context => completions.AnswerAsync(context, chat: true));
        app.MapPost("/v1/completions", context => completions.AnswerAsync(context, chat: false));
        app.MapGet("/v1/models", context => Json(context, json => Information.Models(json, service.File)));
        app.MapGet("/v1/models/{name}", context =>
            Json(context, json => Information.Model(json, service.File, (string)context.Request.RouteValues["name"]!))
        );
        app.MapGet("/v1/toolkit/cascade", context => Json(context, json => Information.Cascade(json, service.File, policies, feedback)));
        app.MapPost("/v1/toolkit/feedback", context => FeedbackEndpoint.TakeAsync(context, feedback, metrics, service.File));
        app.MapMethods("/healthz", ["GET", "HEAD"], context => Json(context, json =>
            {
                if (stopping.IsCancellationRequested)
                    context.Response.StatusCode = 503;
                json.WriteStartObject();
                json.WriteString("status", stopping.IsCancellationRequested ? "draining" : "ok");
                json.WriteEndObject();
            }));
        app.MapPrometheusScrapingEndpoint("/metrics");
        Page.Map(app);
    }

    private static async Task Json(HttpContext context, Action<Utf8JsonWriter> write)
    {
        var body = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(body))
            write(json);
        context.Response.ContentType = "application/json";
        await context.Response.BodyWriter.WriteAsync(body.WrittenMemory).ConfigureAwait(false);
    }
}
