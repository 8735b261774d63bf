using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>Whether TorchSharp's native library can be loaded here; where not, the cause and the remedy in a line each.</summary>
public static partial class TorchLibrary
{
    private const string Name = "libLibTorchSharp.so";

    private static readonly Lazy<(string Cause, string Remedy)?> State = new(Probe);

    /// <summary>What keeps the library from loading; null where nothing does, and on systems other than Linux.</summary>
    public static (string Cause, string Remedy)? Problem => State.Value;

    /// <summary>Checks that the library can be loaded.</summary>
    /// <exception cref="ToolkitException">It cannot: the cause and the remedy.</exception>
    public static void Require()
    {
        if (Problem is { } problem)
            throw new ToolkitException($"{problem.Cause}; {problem.Remedy}");
    }

    /// <summary>Cause and remedy of what the system's loader says.</summary>
    internal static (string Cause, string Remedy) Explain(string said)
    {
        const string other = "or choose backend: cpu, which needs no native library";
        return MissingVersion().Match(said) is { Success: true } found
            ? (
                $"TorchSharp's library asks for {found.Groups[1].Value} of libstdc++, which came with GCC 13; this distribution has an older one",
                $"use a newer distribution (Debian 13, Ubuntu 24.04), {other}; from the sources also: dotnet run --project tests/TorchCompat"
            )
            : ($"TorchSharp's library cannot be loaded: {said.Split('\n')[0].Trim()}", $"build with -p:TorchBackend=cpu or cuda, {other}");
    }

    private static (string, string)? Probe()
    {
        if (!OperatingSystem.IsLinux())
            return null;
        foreach (string folder in (string[])["", Path.Combine("runtimes", "linux-x64", "native")])
        {
            string path = Path.Combine(AppContext.BaseDirectory, folder, Name);
            if (!File.Exists(path))
                continue;
            try
            {
                NativeLibrary.Load(path); // stays loaded, and is the one that TorchSharp then finds
                return null;
            }
            catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
            {
                return Explain(error.Message);
            }
        }
        return null; // TorchSharp looks in places of its own
    }

    [GeneratedRegex(@"version `(GLIBCXX_[\d.]+)' not found")]
    private static partial Regex MissingVersion();
}
