using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Hub;

/// <summary>
/// The hub's published HTTP interface, as far as fetching needs it: what a repository holds, and a file's bytes from an
/// offset on. Redirects are followed here, so that the token stays with the endpoint. Whatever may pass by itself (a cut
/// connection, 429, 5xx, silence) is asked for again; a refusal is one line.
/// </summary>
internal sealed class HubClient : IDisposable
{
    private const int Repetitions = 8, // in a row, without a byte of progress
        Redirects = 10;

    private const int LongestListing = 64 << 20;

    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    private readonly HubSettings _settings;
    private readonly HttpClient _http;

    public HubClient(HubSettings settings)
    {
        _settings = settings;
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = settings.Silence })
        {
            Timeout = Timeout.InfiniteTimeSpan,
            MaxResponseContentBufferSize = LongestListing,
        };
        _http.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("optimal-stopping-toolkit", "1.0"));
    }

    public void Dispose() => _http.Dispose();

    /// <summary>The commit of a revision, and its files with sizes and hashes.</summary>
    /// <exception cref="ToolkitException">There is no such repository or revision, or the hub cannot be reached.</exception>
    public async Task<HubListing> ListAsync(HubRepository repository, CancellationToken cancel)
    {
        Uri address = Address($"api/models/{repository.Name}/revision/{Uri.EscapeDataString(repository.Revision)}?blobs=true");
        byte[] bytes = await PersistAsync(
                repository.Name,
                async _ =>
                {
                    using HttpResponseMessage response = await SendAsync(address, repository.Name, from: 0, cancel).ConfigureAwait(false);
                    using CancellationTokenSource silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
                    silence.CancelAfter(_settings.Silence * 4);
                    return await response.Content.ReadAsByteArrayAsync(silence.Token).ConfigureAwait(false);
                },
                cancel
            )
            .ConfigureAwait(false);
        return ReadListing(repository.Name, bytes);
    }

    /// <summary>
    /// Hands the bytes of a file on, from an offset. Where the connection is cut it asks for the rest; where the server
    /// begins at the start instead, <paramref name="restart"/> is called first.
    /// </summary>
    /// <param name="position">The offset to go on from, asked before each request.</param>
    /// <param name="take">Takes the bytes in order; throws when they are too many.</param>
    public Task ReadAsync(
        HubRepository repository,
        string commit,
        HubFile file,
        Func<long> position,
        Action restart,
        Func<ReadOnlyMemory<byte>, ValueTask> take,
        CancellationToken cancel
    )
    {
        string path = string.Join('/', file.Name.Split('/').Select(Uri.EscapeDataString)),
            name = $"{repository.Name}/{file.Name}";
        Uri address = Address($"{repository.Name}/resolve/{commit}/{path}");
        return PersistAsync(
            name,
            async progress =>
            {
                long from = position();
                if (from >= file.Size)
                    return true;
                using HttpResponseMessage response = await SendAsync(address, name, from, cancel).ConfigureAwait(false);
                if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
                    throw new ToolkitException($"{name}: expected {file.Size} bytes as the hub lists them, got fewer from it");
                if (response.StatusCode == HttpStatusCode.PartialContent)
                {
                    if (response.Content.Headers.ContentRange?.From != from)
                        throw new IOException($"another part than the one from byte {from} on");
                }
                else if (from > 0)
                    restart(); // the server knows no ranges
                using Stream body = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
                byte[] buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(1 << 18);
                try
                {
                    using CancellationTokenSource silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
                    while (true)
                    {
                        silence.CancelAfter(_settings.Silence);
                        int count = await body.ReadAsync(buffer, silence.Token).ConfigureAwait(false);
                        if (count == 0)
                            break;
                        await take(buffer.AsMemory(0, count)).ConfigureAwait(false);
                        progress();
                    }
                }
                finally
                {
                    System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
                }
                return position() >= file.Size ? true : throw new IOException("the connection was closed early");
            },
            cancel
        );
    }

    private Uri Address(string path) => new(_settings.Endpoint.AbsoluteUri.TrimEnd('/') + "/" + path);

    // Repeats what failed in passing. Each byte that came starts the count again: a bad line ends late, a dead one soon.
    private async Task<T> PersistAsync<T>(string name, Func<Action, Task<T>> work, CancellationToken cancel)
    {
        for (int repetition = 0; ; repetition++)
        {
            Exception passing;
            try
            {
                return await work(() => repetition = 0).ConfigureAwait(false);
            }
            catch (Exception error) when (error is HttpRequestException or IOException)
            {
                passing = error;
            }
            catch (OperationCanceledException error) when (!cancel.IsCancellationRequested)
            {
                passing = new IOException($"silence for {_settings.Silence.TotalSeconds} s", error);
            }
            if (repetition + 1 >= Repetitions)
                throw new ToolkitException(
                    $"{name}: expected an answer of {_settings.Endpoint.Host}, got {Repetitions} times in a row: {passing.GetBaseException().Message.ReplaceLineEndings(" ")}; the same command goes on from what is there",
                    passing
                );
            TimeSpan wait = _settings.FirstWait * Math.Pow(2, repetition) * (0.75 + 0.5 * Random.Shared.NextDouble());
            if (passing is Busy { After: { } asked } && asked > wait)
                wait = asked;
            await Task.Delay(wait < LongestWait ? wait : LongestWait, cancel).ConfigureAwait(false);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(Uri address, string name, long from, CancellationToken cancel)
    {
        for (int redirects = 0; ; redirects++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            if (_settings.Token is { } token && IsEndpoint(address))
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            if (from > 0)
                request.Headers.Range = new RangeHeaderValue(from, null);
            using CancellationTokenSource silence = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            silence.CancelAfter(_settings.Silence);
            HttpResponseMessage response = await _http
                .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silence.Token)
                .ConfigureAwait(false);
            if (response.IsSuccessStatusCode || response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
                return response;
            using (response)
            {
                if ((int)response.StatusCode is 301 or 302 or 303 or 307 or 308 && response.Headers.Location is { } location)
                {
                    Uri next = new(address, location);
                    if (
                        redirects == Redirects
                        || next.Scheme is not ("http" or "https")
                        || (address.Scheme == "https" && next.Scheme != "https")
                    )
                        throw new ToolkitException(
                            $"{name}: expected at most {Redirects} redirects, none from https to http, got one more to {next.Host}"
                        );
                    address = next;
                    continue;
                }
                throw Refusal(response, name);
            }
        }
    }

    private bool IsEndpoint(Uri address) =>
        address.Scheme == _settings.Endpoint.Scheme && address.Host == _settings.Endpoint.Host && address.Port == _settings.Endpoint.Port;

    private Exception Refusal(HttpResponseMessage response, string name)
    {
        int status = (int)response.StatusCode;
        string said = response.Headers.TryGetValues("X-Error-Message", out IEnumerable<string>? texts)
            ? $" ({Json.Short(string.Join(" ", texts))})"
            : "";
        if (status is 408 or 425 or 429 || (status >= 500 && status != 501))
        {
            RetryConditionHeaderValue? after = response.Headers.RetryAfter;
            return new Busy($"status {status}{said}", after?.Delta ?? (after?.Date - DateTimeOffset.UtcNow));
        }
        return new ToolkitException(
            status switch
            {
                401 => $"{name}: expected leave to read it, got 401 from {_settings.Endpoint.Host}{said}: "
                    + (
                        _settings.Token is null
                            ? "there is no such repository, or it asks for a token in HF_TOKEN"
                            : "the token in HF_TOKEN is not valid for it"
                    ),
                403 =>
                    $"{name}: expected leave to read it, got 403 from {_settings.Endpoint.Host}{said}: accept the model's terms on its page, and set HF_TOKEN",
                404 => $"{name}: expected a repository, revision and file of {_settings.Endpoint.Host}, got 404{said}",
                _ => $"{name}: expected an answer of {_settings.Endpoint.Host}, got status {status}{said}",
            }
        );
    }

    private static HubListing ReadListing(string name, byte[] bytes)
    {
        string place = $"{name}: the hub's list of files";
        using JsonDocument document = Json.Parse(place, bytes);
        JsonMap root = JsonMap.From(place, document.RootElement);
        string commit = root.Text("sha", "a commit");
        if (!IsHash(commit, 40))
            throw root.Error("sha", "a commit of 40 hexadecimal digits", Json.Short(commit));
        var files = new List<HubFile>();
        foreach (JsonMap entry in root.Maps("siblings"))
        {
            string file = entry.Text("rfilename");
            if (file.Split('/').Any(part => part is "" or "." or "..") || file.Contains('\\') || file.Any(char.IsControl))
                throw entry.Error("rfilename", "a path inside the repository", Json.Short(file));
            bool large = entry.Has("lfs");
            JsonMap hashes = large ? entry.Map("lfs") : entry;
            string key = large ? "sha256" : "blobId",
                tag = hashes.Text(key).ToLowerInvariant();
            if (!IsHash(tag, large ? 64 : 40))
                throw hashes.Error(key, "a hash in hexadecimal digits", Json.Short(tag));
            files.Add(new HubFile(file, (long)hashes.Number("size", 0, 1L << 50), tag, large));
        }
        return new HubListing(commit, files);
    }

    private static bool IsHash(string text, int length) => text.Length == length && text.All(char.IsAsciiHexDigit);

    // The server asks to come again, perhaps later.
    private sealed class Busy(string message, TimeSpan? after) : IOException(message)
    {
        public TimeSpan? After { get; } = after;
    }
}
