using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>Load for an OpenAI-compatible server, ours or another.</summary>
/// <param name="Url">Address up to and without <c>/chat/completions</c>, for example <c>http://127.0.0.1:8080/v1</c>.</param>
/// <param name="Prompts">Asked in turn; at least one.</param>
public sealed record LoadSettings(Uri Url, string Model, IReadOnlyList<string> Prompts)
{
    /// <summary>Requests in all.</summary>
    public int Requests { get; init; } = 100;

    /// <summary>Requests a second, arriving at random (a Poisson process); 0 for clients that each ask again once they are answered.</summary>
    public double Rate { get; init; }

    /// <summary>Clients that ask at the same time where there is no rate.</summary>
    public int Clients { get; init; } = 4;

    /// <summary>Most tokens of an answer.</summary>
    public int MaxTokens { get; init; } = 64;

    /// <summary>The API key, or null.</summary>
    public string? Key { get; init; }

    /// <summary>A request is good when it ends well and its first token comes within so many seconds.</summary>
    public double FirstTokenWithin { get; init; } = 1;

    /// <summary>Seconds after which a request is given up.</summary>
    public double Timeout { get; init; } = 120;

    /// <summary>Of the arrivals.</summary>
    public int Seed { get; init; } = 1;
}

/// <summary>Quantiles of some seconds; NaN where there are none.</summary>
public readonly record struct LoadTimes(double P50, double P90, double P99);

/// <summary>What a server did under load. Times are in seconds; a request's begin when it was due, so that a server that is behind shows it.</summary>
/// <param name="Failed">Requests without a whole answer.</param>
/// <param name="Goodput">Good requests a second.</param>
/// <param name="FirstToken">Until the first token of text.</param>
/// <param name="PerToken">Between two tokens of an answer, on average over it.</param>
/// <param name="Whole">Until the end of the answer.</param>
/// <param name="Errors">What went wrong, and how often; the ten most frequent.</param>
public sealed record LoadSummary(
    int Requests,
    int Failed,
    double Seconds,
    double RequestsPerSecond,
    double TokensPerSecond,
    double Goodput,
    LoadTimes FirstToken,
    LoadTimes PerToken,
    LoadTimes Whole,
    IReadOnlyList<KeyValuePair<string, int>> Errors
);

/// <summary>Asks a server for streamed answers, at a rate or from a number of clients, and times them.</summary>
public static class ServerLoad
{
    private readonly record struct Reply(double FirstToken, double End, int Tokens, string? Fault);

    /// <summary>Sends all requests and waits for their ends.</summary>
    /// <param name="progress">Told how many requests have ended.</param>
    /// <exception cref="OperationCanceledException">Cancelled; requests under way are given up.</exception>
    public static async Task<LoadSummary> RunAsync(LoadSettings settings, Action<int>? progress = null, CancellationToken cancel = default)
    {
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(settings.Timeout) };
        if (settings.Key is { } key)
            client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        var url = new Uri(settings.Url.AbsoluteUri.TrimEnd('/') + "/chat/completions");
        var replies = new Reply[settings.Requests];
        int ended = 0;
        long start = Stopwatch.GetTimestamp();
        if (settings.Rate > 0)
        {
            double[] due = Arrivals(settings);
            var underWay = new Task[settings.Requests];
            for (int i = 0; i < underWay.Length; i++)
            {
                double wait = due[i] - Stopwatch.GetElapsedTime(start).TotalSeconds;
                if (wait > 0)
                    await Task.Delay(TimeSpan.FromSeconds(wait), cancel).ConfigureAwait(false);
                underWay[i] = One(i, due[i]);
            }
            await Task.WhenAll(underWay).ConfigureAwait(false);
        }
        else
        {
            int next = -1;
            await Task.WhenAll(
                    Enumerable
                        .Range(0, Math.Min(settings.Clients, settings.Requests))
                        .Select(async _ =>
                        {
                            while (Interlocked.Increment(ref next) is var i && i < settings.Requests)
                                await One(i, Stopwatch.GetElapsedTime(start).TotalSeconds).ConfigureAwait(false);
                        })
                )
                .ConfigureAwait(false);
        }
        return Summary(settings, replies, Stopwatch.GetElapsedTime(start).TotalSeconds);

        async Task One(int i, double due)
        {
            replies[i] = await AskAsync(
                    client,
                    url,
                    settings,
                    settings.Prompts[i % settings.Prompts.Count],
                    () => Stopwatch.GetElapsedTime(start).TotalSeconds - due,
                    cancel
                )
                .ConfigureAwait(false);
            progress?.Invoke(Interlocked.Increment(ref ended));
        }
    }

    private static double[] Arrivals(LoadSettings settings)
    {
        var random = new SplitMix64((ulong)settings.Seed);
        var due = new double[settings.Requests];
        double at = 0;
        for (int i = 0; i < due.Length; i++)
            due[i] = at += -Math.Log(1 - random.NextDouble()) / settings.Rate;
        return due;
    }

    private static async Task<Reply> AskAsync(
        HttpClient client,
        Uri url,
        LoadSettings settings,
        string prompt,
        Func<double> clock,
        CancellationToken cancel
    )
    {
        double first = double.NaN;
        int pieces = 0,
            counted = -1;
        bool done = false;
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, url)
            {
                Content = JsonContent.Create(
                    new
                    {
                        model = settings.Model,
                        messages = new[] { new { role = "user", content = prompt } },
                        max_tokens = settings.MaxTokens,
                        stream = true,
                        stream_options = new { include_usage = true },
                    }
                ),
            };
            using HttpResponseMessage response = await client
                .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel)
                .ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
                return new Reply(double.NaN, clock(), 0, $"status {(int)response.StatusCode}");
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false));
            while (await reader.ReadLineAsync(cancel).ConfigureAwait(false) is { } line)
            {
                if (!line.StartsWith("data:", StringComparison.Ordinal))
                    continue;
                string data = line[5..].Trim();
                if (data == "[DONE]")
                {
                    done = true;
                    break;
                }
                using JsonDocument chunk = JsonDocument.Parse(data);
                if (chunk.RootElement.TryGetProperty("error", out _))
                    return new Reply(first, clock(), pieces, "an error in the stream");
                if (HasText(chunk.RootElement))
                {
                    if (pieces++ == 0)
                        first = clock();
                }
                if (
                    chunk.RootElement.TryGetProperty("usage", out JsonElement usage)
                    && usage.ValueKind == JsonValueKind.Object
                    && usage.TryGetProperty("completion_tokens", out JsonElement tokens)
                )
                    counted = tokens.GetInt32();
            }
        }
        catch (Exception fault) when (fault is HttpRequestException or IOException or JsonException)
        {
            return new Reply(first, clock(), pieces, fault is JsonException ? "a chunk that is no JSON" : "the connection broke");
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            return new Reply(first, clock(), pieces, "no end within the timeout");
        }
        return new Reply(first, clock(), counted >= 0 ? counted : pieces, done ? null : "the stream ended without [DONE]");
    }

    private static bool HasText(JsonElement chunk) =>
        chunk.TryGetProperty("choices", out JsonElement choices)
        && choices.ValueKind == JsonValueKind.Array
        && choices
            .EnumerateArray()
            .Any(choice =>
                choice.TryGetProperty("delta", out JsonElement delta)
                && delta.TryGetProperty("content", out JsonElement content)
                && content.ValueKind == JsonValueKind.String
                && content.GetString()!.Length > 0
            );

    private static LoadSummary Summary(LoadSettings settings, Reply[] replies, double seconds)
    {
        Reply[] whole = [.. replies.Where(reply => reply.Fault is null)];
        return new LoadSummary(
            replies.Length,
            replies.Length - whole.Length,
            seconds,
            whole.Length / seconds,
            whole.Sum(reply => reply.Tokens) / seconds,
            whole.Count(reply => reply.FirstToken <= settings.FirstTokenWithin) / seconds,
            Times(whole.Select(reply => reply.FirstToken)),
            Times(whole.Where(reply => reply.Tokens > 1).Select(reply => (reply.End - reply.FirstToken) / (reply.Tokens - 1))),
            Times(whole.Select(reply => reply.End)),
            [
                .. replies
                    .Where(reply => reply.Fault is not null)
                    .GroupBy(reply => reply.Fault!)
                    .OrderByDescending(group => group.Count())
                    .ThenBy(group => group.Key, StringComparer.Ordinal)
                    .Take(10)
                    .Select(group => KeyValuePair.Create(group.Key, group.Count())),
            ]
        );
    }

    // The smallest value that at least the share of the values does not pass.
    private static LoadTimes Times(IEnumerable<double> seconds)
    {
        double[] sorted = [.. seconds.Where(double.IsFinite).Order()];
        double At(double share) => sorted.Length == 0 ? double.NaN : sorted[Math.Max(0, (int)Math.Ceiling(share * sorted.Length) - 1)];
        return new LoadTimes(At(0.5), At(0.9), At(0.99));
    }
}
