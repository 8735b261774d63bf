using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;

namespace OptimalStopping.Server;

/// <summary>
/// Lets so many requests in at once and so many wait, first come, first served; one more is refused with 429 and an
/// estimate of when to come again.
/// </summary>
internal sealed class AdmissionLimiter(ServeOptions options) : IDisposable
{
    private readonly ConcurrencyLimiter _limiter = new(
        new ConcurrencyLimiterOptions
        {
            PermitLimit = options.Concurrency,
            QueueLimit = options.Queue,
            QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
        }
    );

    private long _meanTicks; // of the time that a request holds its place; moving, exponential

    public long Waiting => _limiter.GetStatistics()?.CurrentQueuedCount ?? 0;

    public long Active => options.Concurrency - (_limiter.GetStatistics()?.CurrentAvailablePermits ?? options.Concurrency);

    /// <summary>Waits for a place; disposing it gives it back.</summary>
    /// <exception cref="ApiError">429: the queue is full.</exception>
    public async ValueTask<Place> EnterAsync(CancellationToken cancel)
    {
        RateLimitLease lease = await _limiter.AcquireAsync(1, cancel).ConfigureAwait(false);
        if (lease.IsAcquired)
            return new Place(this, lease, Stopwatch.GetTimestamp());
        lease.Dispose();
        double seconds = (options.Queue + 1.0) / options.Concurrency * Interlocked.Read(ref _meanTicks) / Stopwatch.Frequency;
        throw new ApiError(
            429,
            "rate_limit_error",
            $"expected at most {options.Queue} waiting requests, got more; try again later",
            code: "rate_limit_exceeded"
        )
        {
            RetryAfter = (int)Math.Clamp(Math.Ceiling(seconds), 1, 60),
        };
    }

    public void Dispose() => _limiter.Dispose();

    public readonly struct Place(AdmissionLimiter gate, RateLimitLease lease, long entered) : IDisposable
    {
        public void Dispose()
        {
            long held = Stopwatch.GetTimestamp() - entered,
                mean = Interlocked.Read(ref gate._meanTicks);
            Interlocked.Exchange(ref gate._meanTicks, mean == 0 ? held : mean + (held - mean) / 16);
            lease.Dispose();
        }
    }
}

/// <summary>The keys that a server accepts. They are kept and compared as hashes, each in the same time whatever it is compared with.</summary>
internal sealed class ApiKeys(IReadOnlyList<string> keys)
{
    private readonly byte[][] _hashes = [.. keys.Select(key => SHA256.HashData(Encoding.UTF8.GetBytes(key)))];

    /// <exception cref="ApiError">401: no key, or another.</exception>
    public void Check(HttpRequest request)
    {
        if (_hashes.Length == 0)
            return;
        string header = request.Headers.Authorization.ToString();
        const string scheme = "Bearer ";
        if (!header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
            throw new ApiError(
                401,
                "invalid_request_error",
                "expected the header 'Authorization: Bearer KEY', got none",
                code: "invalid_api_key"
            );
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(header[scheme.Length..].Trim()));
        bool known = false;
        foreach (byte[] own in _hashes)
            known |= CryptographicOperations.FixedTimeEquals(own, hash);
        if (!known)
            throw new ApiError(401, "invalid_request_error", "expected an API key of this server, got another", code: "invalid_api_key");
    }
}
