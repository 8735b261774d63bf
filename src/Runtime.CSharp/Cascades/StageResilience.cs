using System.Threading.RateLimiting;
using Microsoft.Extensions.Http.Resilience;
using Polly;
using Polly.CircuitBreaker;
using Polly.RateLimiting;
using Polly.Retry;
using Polly.Timeout;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// What stands between a stage and its server. Around each HTTP request: retries with jitter, which wait as long as the
/// server's Retry-After says. Around the whole answer, the reading of its stream included: a circuit breaker, a limit of
/// answers under way, a timeout, and one more attempt when the stream was cut. A timeout is not tried again: the next
/// stage is asked instead.
/// </summary>
internal sealed class StageResilience(string stage, OpenAiSettings remote)
{
    private const int LongestQueue = 10_000;

    private readonly ResiliencePipeline _pipeline = new ResiliencePipelineBuilder()
        .AddCircuitBreaker(
            new CircuitBreakerStrategyOptions
            {
                FailureRatio = 0.5,
                MinimumThroughput = 5,
                SamplingDuration = TimeSpan.FromSeconds(30),
                BreakDuration = TimeSpan.FromSeconds(remote.BreakSeconds),
                // A request that the server rejects says nothing of the server.
                ShouldHandle = new PredicateBuilder()
                    .Handle<StageException>(failure => failure.Kind != StageFailures.Rejected)
                    .Handle<TimeoutRejectedException>(),
            }
        )
        .AddConcurrencyLimiter(
            new ConcurrencyLimiterOptions
            {
                PermitLimit = remote.Concurrency,
                QueueLimit = LongestQueue,
                QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
            }
        )
        .AddTimeout(TimeSpan.FromSeconds(remote.TimeoutSeconds))
        .AddRetry(
            new RetryStrategyOptions
            {
                ShouldHandle = new PredicateBuilder().Handle<StageException>(failure =>
                    failure.Kind == StageFailures.ConnectionLost && remote.Retries > 0
                ),
                MaxRetryAttempts = 1,
                Delay = TimeSpan.FromMilliseconds(100),
                UseJitter = true,
            }
        )
        .Build();

    /// <summary>A client whose requests are tried again when the server is away, busy or failing.</summary>
    public HttpClient NewClient()
    {
        var builder = new ResiliencePipelineBuilder<HttpResponseMessage>();
        if (remote.Retries > 0)
            builder.AddRetry(
                new HttpRetryStrategyOptions
                {
                    MaxRetryAttempts = remote.Retries,
                    BackoffType = DelayBackoffType.Exponential,
                    Delay = TimeSpan.FromMilliseconds(200),
                    MaxDelay = TimeSpan.FromSeconds(5),
                    UseJitter = true,
                }
            );
        HttpMessageHandler sockets = new SocketsHttpHandler
        {
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            ConnectTimeout = TimeSpan.FromSeconds(Math.Min(10, remote.TimeoutSeconds)),
        };
        // The timeout above bounds everything, so HttpClient's own (100 seconds) must not.
        return new HttpClient(new ResilienceHandler(builder.Build()) { InnerHandler = sockets }) { Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>Runs an attempt at an answer; every failure comes out as a <see cref="StageException"/>.</summary>
    public async ValueTask<T> Run<T>(Func<CancellationToken, ValueTask<T>> attempt, CancellationToken cancel)
    {
        try
        {
            return await _pipeline.ExecuteAsync(attempt, cancel).ConfigureAwait(false);
        }
        catch (BrokenCircuitException failure)
        {
            throw new StageException(
                stage,
                StageFailures.OpenCircuit,
                FormattableString.Invariant(
                    $"left alone for {remote.BreakSeconds:0.#} s after repeated failures ({(failure.InnerException as StageException)?.Kind ?? StageFailures.Timeout})"
                ),
                failure
            );
        }
        catch (TimeoutRejectedException failure)
        {
            throw new StageException(
                stage,
                StageFailures.Timeout,
                FormattableString.Invariant($"expected an answer of {remote.Url} within {remote.TimeoutSeconds:0.###} s, got none"),
                failure
            );
        }
        catch (RateLimiterRejectedException failure)
        {
            throw new StageException(
                stage,
                StageFailures.Overloaded,
                $"expected at most {LongestQueue} waiting requests, got more",
                failure
            );
        }
    }
}
