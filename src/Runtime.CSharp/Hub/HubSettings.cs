using System.Globalization;

namespace OptimalStopping.Runtime.Hub;

/// <summary>How the hub is reached and where its files are kept, by the environment variables that every client of it reads.</summary>
/// <param name="Endpoint">The hub's address.</param>
/// <param name="Token">Sent to the endpoint alone, never to a place that it redirects to; null for none.</param>
/// <param name="Cache">The folder that holds the files of all repositories.</param>
/// <param name="Offline">Nothing may be asked: what is in the cache must do.</param>
public sealed record HubSettings(Uri Endpoint, string? Token, string Cache, bool Offline)
{
    /// <summary>The hub that published models come from.</summary>
    public static readonly Uri PublicEndpoint = new("https://huggingface.co");

    /// <summary>How long a connection may be silent before it counts as cut.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The wait before the first repetition; it doubles with each one that brings nothing.</summary>
    public TimeSpan FirstWait { get; init; } = TimeSpan.FromSeconds(0.5);

    /// <summary>Bytes that are free where a folder lies; null where the system does not tell.</summary>
    internal Func<string, long?> FreeBytes { get; init; } = FreeBytesOf;

    /// <summary>
    /// Reads <c>HF_ENDPOINT</c>, <c>HF_TOKEN</c> (else the file that logging in with the hub's own program left),
    /// <c>HF_HUB_CACHE</c> (else <c>hub</c> in <c>HF_HOME</c>, in <c>XDG_CACHE_HOME/huggingface</c>, or in
    /// <c>~/.cache/huggingface</c>), <c>HF_HUB_OFFLINE</c> and <c>HF_HUB_DOWNLOAD_TIMEOUT</c> (seconds).
    /// </summary>
    /// <exception cref="ToolkitException">The endpoint is no address, or the timeout no number.</exception>
    public static HubSettings FromEnvironment() => From(Environment.GetEnvironmentVariable);

    internal static HubSettings From(Func<string, string?> variable)
    {
        string? Value(string name) => variable(name) is { Length: > 0 } value ? value.Trim() : null;
        string home = Value("HF_HOME")
            ?? Path.Combine(
                Value("XDG_CACHE_HOME") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"),
                "huggingface"
            );
        var settings = new HubSettings(
            Value("HF_ENDPOINT") is { } endpoint ? Address(endpoint) : PublicEndpoint,
            Value("HF_TOKEN") ?? SavedToken(Value("HF_TOKEN_PATH") ?? Path.Combine(home, "token")),
            Path.GetFullPath(Value("HF_HUB_CACHE") ?? Path.Combine(home, "hub")),
            Value("HF_HUB_OFFLINE")?.ToUpperInvariant() is "1" or "ON" or "YES" or "TRUE"
        );
        if (Value("HF_HUB_DOWNLOAD_TIMEOUT") is not { } timeout)
            return settings;
        return double.TryParse(timeout, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) && seconds is > 0 and <= 3600
            ? settings with
            {
                Silence = TimeSpan.FromSeconds(seconds),
            }
            : throw new ToolkitException($"HF_HUB_DOWNLOAD_TIMEOUT: expected seconds from 0 to 3600, got '{timeout}'");
    }

    private static Uri Address(string text) =>
        Uri.TryCreate(text.TrimEnd('/'), UriKind.Absolute, out Uri? uri) && uri.Scheme is "https" or "http" && uri.UserInfo == ""
            ? uri
            : throw new ToolkitException("HF_ENDPOINT: expected an address such as https://host, without a user in it, got another text");

    private static string? SavedToken(string file)
    {
        try
        {
            return File.Exists(file) && File.ReadAllText(file).Trim() is { Length: > 0 } token ? token : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static long? FreeBytesOf(string folder)
    {
        try
        {
            DirectoryInfo? there = new(folder);
            while (there is { Exists: false })
                there = there.Parent;
            return there is null
                ? null
                : new DriveInfo(OperatingSystem.IsWindows() ? there.Root.FullName : there.FullName).AvailableFreeSpace;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }
}
