using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>manifest.json of a run folder: what is needed to know what was run, and to run it again.</summary>
public static class RunManifest
{
    private static readonly JsonSerializerOptions Layout = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Version of the toolkit; the part after + is the commit it was built from.</summary>
    public static string Version { get; } =
        typeof(RunManifest).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>Writes the manifest. It holds no time of day, so that the same run on the same machine gives the same file.</summary>
    /// <param name="settings">Every option that decides the results, by name.</param>
    /// <param name="inputs">Files that were read; their SHA-256 is recorded.</param>
    public static void Write(string folder, IReadOnlyDictionary<string, JsonNode?> settings, IEnumerable<string> inputs)
    {
        var hashes = new JsonObject();
        foreach (string input in inputs)
        {
            using FileStream file = File.OpenRead(input);
            hashes[Path.GetRelativePath(Directory.GetCurrentDirectory(), input)] = Convert.ToHexStringLower(SHA256.HashData(file));
        }
        string[] version = Version.Split('+', 2);
        var manifest = new JsonObject
        {
            ["toolkit"] = version[0],
            ["commit"] = version.Length > 1 ? version[1] : "unknown",
            ["runtime"] = RuntimeInformation.FrameworkDescription,
            ["settings"] = new JsonObject(settings.Select(pair => KeyValuePair.Create(pair.Key, pair.Value?.DeepClone()))),
            ["inputs_sha256"] = hashes,
            ["machine"] = new JsonObject
            {
                ["system"] = RuntimeInformation.OSDescription,
                ["architecture"] = RuntimeInformation.ProcessArchitecture.ToString(),
                ["processors"] = Environment.ProcessorCount,
                ["kernels"] = Models.KernelSet.Best.Name,
            },
        };
        string path = Path.Combine(folder, "manifest.json");
        File.WriteAllText(path + ".new", manifest.ToJsonString(Layout) + "\n");
        File.Move(path + ".new", path, overwrite: true);
    }
}
