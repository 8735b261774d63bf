using System.Diagnostics;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// What stands between a stage and its server: a breaker that leaves a stage alone which failed several times in a row, a
/// limit of answers under way, further attempts with growing pauses, and one timeout over all of it. Nothing here waits
/// longer than the timeout, and a server that asks for a longer pause than the stage has patience for is passed over at
/// once: the cascade asks the next stage instead.
/// </summary>
internal sealed class StageResilience(string stage, OpenAiSettings remote) : IDisposable
{
    private const int LongestQueue = 10_000;

    private readonly SemaphoreSlim _places = new(remote.Concurrency);
    private int _waiting;

    private readonly StageBreaker _breaker = new(remote.BreakAfter, TimeSpan.FromSeconds(remote.BreakSeconds));

    /// <summary>Runs attempts at an answer; every failure comes out as a <see cref="StageException"/>.</summary>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public async ValueTask<T> RunAsync<T>(Func<CancellationToken, ValueTask<T>> attempt, CancellationToken cancel)
    {
        if (!_breaker.TryEnter(out string? last))
            throw new StageException(
                stage,
                StageFailures.OpenCircuit,
                FormattableString.Invariant($"left alone for {remote.BreakSeconds:0.#} s after repeated failures ({last})")
            );
        using var timer = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        timer.CancelAfter(TimeSpan.FromSeconds(remote.TimeoutSeconds));
        bool placed = false;
        long entered = 0;
        StageException? latest = null;
        try
        {
            await EnterAsync(timer.Token).ConfigureAwait(false);
            (placed, entered) = (true, Stopwatch.GetTimestamp());
            for (int tried = 0; ; tried++)
                try
                {
                    T result = await attempt(timer.Token).ConfigureAwait(false);
                    _breaker.Succeeded();
                    return result;
                }
                catch (StageException failure) when (tried < remote.Retries && Pause(failure, tried) is { } pause)
                {
                    latest = failure;
                    await Task.Delay(pause, timer.Token).ConfigureAwait(false);
                }
        }
        catch (StageException failure)
        {
            // A request that the server finds at fault, or one that found no place, says nothing of the server's health.
            if (failure.Kind is StageFailures.Rejected or StageFailures.Filtered)
                _breaker.Succeeded();
            else if (failure.Kind == StageFailures.Overloaded)
                _breaker.Left();
            else
                _breaker.Failed(failure.Kind);
            throw;
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            _breaker.Left();
            throw;
        }
        // A stage that was given less than half of the time because others held its places is not sick.
        catch (OperationCanceledException fault)
            when (!placed || Stopwatch.GetElapsedTime(entered).TotalSeconds < remote.TimeoutSeconds / 2)
        {
            _breaker.Left();
            throw new StageException(
                stage,
                StageFailures.Overloaded,
                FormattableString.Invariant(
                    $"expected a place among {remote.Concurrency} requests within {remote.TimeoutSeconds:0.###} s, got none"
                ),
                fault
            );
        }
        catch (OperationCanceledException fault)
        {
            _breaker.Failed(StageFailures.Timeout);
            string before = latest is null ? "" : $"; before that: {latest.Message}";
            throw new StageException(
                stage,
                StageFailures.Timeout,
                FormattableString.Invariant($"expected an answer of {remote.Url} within {remote.TimeoutSeconds:0.###} s, got none{before}"),
                fault
            );
        }
        finally
        {
            if (placed)
                _places.Release();
        }
    }

    public void Dispose() => _places.Dispose();

    private async ValueTask EnterAsync(CancellationToken cancel)
    {
        try
        {
            if (Interlocked.Increment(ref _waiting) > LongestQueue)
                throw new StageException(
                    stage,
                    StageFailures.Overloaded,
                    $"expected at most {LongestQueue} requests that wait for a place, got more"
                );
            await _places.WaitAsync(cancel).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    // The pause before another attempt, with jitter; null for none.
    private TimeSpan? Pause(StageException failure, int tried)
    {
        if (!failure.MayPass)
            return null;
        double patience = remote.PatienceSeconds;
        if (failure.RetryAfter is { } asked)
            return asked.TotalSeconds <= patience ? asked : null;
        return TimeSpan.FromSeconds(Math.Min(patience, 0.1 * (1 << Math.Min(tried, 10)) * (0.75 + 0.5 * Random.Shared.NextDouble())));
    }
}

/// <summary>
/// Opens after so many failures in a row, however far apart they are; after a while one request is let through, whose
/// success closes it again.
/// </summary>
internal sealed class StageBreaker(int after, TimeSpan pause)
{
    private readonly Lock _lock = new();
    private int _failures;
    private long _openUntil; // milliseconds of the system's clock; 0 while closed
    private bool _trying;
    private string? _last;

    /// <summary>Whether a request may pass; one that did must end in one of the three calls below.</summary>
    public bool TryEnter(out string? lastFailure)
    {
        lock (_lock)
        {
            lastFailure = _last;
            if (_openUntil == 0)
                return true;
            if (_trying || Environment.TickCount64 < _openUntil)
                return false;
            return _trying = true;
        }
    }

    /// <summary>The stage answered.</summary>
    public void Succeeded()
    {
        lock (_lock)
            (_failures, _openUntil, _trying) = (0, 0, false);
    }

    /// <summary>The stage failed.</summary>
    public void Failed(string kind)
    {
        lock (_lock)
        {
            _last = kind;
            _trying = false;
            if (++_failures >= after)
                _openUntil = Environment.TickCount64 + (long)pause.TotalMilliseconds;
        }
    }

    /// <summary>The request ended without a word about the stage.</summary>
    public void Left()
    {
        lock (_lock)
            _trying = false;
    }
}
