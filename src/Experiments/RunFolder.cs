using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Experiments;

/// <summary>What `toolkit run` is asked to do.</summary>
/// <param name="Experiments">all, regret, tradeoff, statistical or speculative.</param>
/// <param name="Config">The cascade file; unused where traces are given.</param>
/// <param name="Traces">A trace file to replay instead of running models, or null.</param>
/// <param name="Out">The run folder.</param>
/// <param name="Resume">Whether records that the folder already holds are gone on with.</param>
public sealed record RunRequest(string Experiments, string Config, string? Traces, string Out, bool Resume, ExperimentOptions Options)
{
    /// <summary>A policy file whose policy is replayed beside the others, or null.</summary>
    public string? Policy { get; init; }
}

/// <summary>
/// A run's folder, held by one process at a time. The lock is the system's, on the file <c>.lock</c>: it is dropped when
/// the process ends, however it ends. The file itself stays, since a lock on a file that is being deleted can be taken
/// by two processes at once.
/// </summary>
public sealed class RunFolder : IDisposable
{
    private readonly FileStream _lock;
    private readonly DateTime _since;

    private RunFolder(string path, FileStream held)
    {
        (Path, _lock) = (path, held);
        // The file system's own clock, against which the times of the results are compared.
        held.SetLength(0);
        held.WriteByte((byte)'\n');
        held.Flush();
        _since = File.GetLastWriteTimeUtc(held.SafeFileHandle);
    }

    public string Path { get; }

    /// <summary>Makes the folder where there is none, and takes it.</summary>
    /// <exception cref="ToolkitException">It cannot be written to, or another process holds it.</exception>
    public static RunFolder Claim(string path)
    {
        try
        {
            Directory.CreateDirectory(path);
            return new RunFolder(
                path,
                new FileStream(System.IO.Path.Combine(path, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1)
            );
        }
        catch (Exception fault) when (AtomicFile.IsWriteError(fault))
        {
            throw new ToolkitException(
                $"{path}: expected a folder that can be written to and that no other run uses, got: {fault.Message.ReplaceLineEndings(" ")}",
                fault
            );
        }
    }

    /// <summary>The result files (records and tables; those of times, whose bytes no second run gives, are left out) that were written since the folder was taken, and the records, in the order of their names.</summary>
    public IReadOnlyList<string> Results() =>
        [
            .. Directory
                .EnumerateFiles(Path)
                .Select(file => System.IO.Path.GetFileName(file)!)
                .Where(name =>
                    name == "records.jsonl"
                    || (
                        name.EndsWith(".csv", StringComparison.Ordinal)
                        && !name.EndsWith("_times.csv", StringComparison.Ordinal)
                        && File.GetLastWriteTimeUtc(System.IO.Path.Combine(Path, name)) >= _since
                    )
                )
                .Order(StringComparer.Ordinal),
        ];

    /// <summary>
    /// Sees to it that the folder is empty of other runs' results, or, with --resume, holds those of this same run: figures
    /// and report are drawn from every table in the folder, and tables of two runs would be drawn as one.
    /// </summary>
    /// <exception cref="ToolkitException">It holds something else.</exception>
    public void Admit(RunRequest request)
    {
        string manifest = System.IO.Path.Combine(Path, RunManifest.FileName);
        string? table = Directory
            .EnumerateFiles(Path, "*.csv")
            .Select(System.IO.Path.GetFileName)
            .Order(StringComparer.Ordinal)
            .FirstOrDefault();
        bool whole = File.Exists(manifest);
        if (!request.Resume && (whole || table is not null))
            throw new ToolkitException(
                $"{Path}: expected a new folder, got the results of an earlier run ({(whole ? RunManifest.FileName : table)}); "
                    + "give --resume to write them anew, or another --out"
            );
        if (!whole)
            return;
        RunRequest earlier = RunManifest.Read(manifest).Request;
        if (earlier.Experiments != request.Experiments || earlier.Traces is null != request.Traces is null)
            throw new ToolkitException($"{Path}: expected {Words(request)}, got a run of {Words(earlier)}; give another --out");

        static string Words(RunRequest run) => $"--experiments {run.Experiments} on {(run.Traces is null ? "models" : "traces")}";
    }

    /// <summary>
    /// Removes the manifest of an earlier run, so that a folder with a manifest is always a run that ended, with the
    /// files of that run.
    /// </summary>
    public void Open() => File.Delete(System.IO.Path.Combine(Path, RunManifest.FileName));

    public void Dispose() => _lock.Dispose();
}

/// <summary>
/// manifest.json of a run folder: what is needed to run it again and to see whether the same came out. It is written
/// last, so a folder that has one holds a whole run, and holds no time of day: the same run on the same machine gives
/// the same file.
/// </summary>
/// <param name="Request">The run, with an empty output folder.</param>
/// <param name="Inputs">SHA-256 of each file that was read, by its path from the folder where the run was started, in order.</param>
/// <param name="Results">SHA-256 of each file of records and tables that the run wrote, by name.</param>
/// <param name="Build">Version, commit, .NET runtime and kernels of the run, in words.</param>
public sealed record RunManifest(
    RunRequest Request,
    IReadOnlyList<KeyValuePair<string, string>> Inputs,
    IReadOnlyList<KeyValuePair<string, string>> Results,
    string Build
)
{
    public const string FileName = "manifest.json";

    private static readonly JsonSerializerOptions Layout = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Version of the toolkit; the part after + is the commit it was built from.</summary>
    public static string Version { get; } =
        typeof(RunManifest).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;

    /// <summary>This build on this machine, worded as <see cref="Build"/>.</summary>
    public static string ThisBuild =>
        Words(Version.Split('+', 2)[0], Commit, RuntimeInformation.FrameworkDescription, KernelSets.Best.Name);

    private static string Commit => Version.Split('+', 2) is [_, var commit] ? commit : "unknown";

    /// <summary>The files that decide what a cascade answers: its file, configuration, tokenizer and weights of each model, and files of questions.</summary>
    public static IReadOnlyList<string> InputFiles(CascadeFile cascade)
    {
        string[] kinds = ["*.json", "*.safetensors", "*.gguf", "merges.txt"];
        return
        [
            cascade.File,
            .. cascade
                .Stages.Select(stage => stage.Path)
                .SelectMany(path =>
                    Directory.Exists(path) ? kinds.SelectMany(kind => Directory.GetFiles(path, kind)).Order(StringComparer.Ordinal)
                    : File.Exists(path) ? GgufParts.Files(path)
                    : (IEnumerable<string>)[]
                ),
            .. ((string?[])[cascade.Tasks.Path, cascade.Tasks.CalibrationPath]).OfType<string>().Where(File.Exists),
        ];
    }

    /// <summary>Writes the manifest of a run whose results are in its folder.</summary>
    /// <param name="cascade">The name for reports.</param>
    /// <param name="inputs">The files that were read.</param>
    public static void Write(RunFolder folder, RunRequest request, string cascade, IEnumerable<string> inputs)
    {
        ExperimentOptions options = request.Options;
        var manifest = new JsonObject
        {
            ["toolkit"] = Version.Split('+', 2)[0],
            ["commit"] = Commit,
            ["runtime"] = RuntimeInformation.FrameworkDescription,
            ["settings"] = new JsonObject
            {
                ["experiments"] = request.Experiments,
                ["cascade"] = cascade,
                ["source"] = request.Traces is null ? "models" : "traces",
                ["config"] = request.Traces is null ? FromHere(request.Config) : null,
                ["traces"] = request.Traces is null ? null : FromHere(request.Traces),
                ["policy"] = request.Policy is null ? null : FromHere(request.Policy),
                ["seed"] = options.Seed,
                ["resamples"] = options.Resamples,
                ["horizon"] = options.Horizon,
                ["runs"] = options.Runs,
                ["confidence_bins"] = options.ConfidenceBins,
                ["regret_price"] = options.RegretPrice,
                ["table_price"] = options.TablePrice,
            },
            ["inputs_sha256"] = Digests(inputs.Select(input => KeyValuePair.Create(FromHere(input), input))),
            ["results_sha256"] = Digests(folder.Results().Select(name => KeyValuePair.Create(name, Path.Combine(folder.Path, name)))),
            ["machine"] = new JsonObject
            {
                ["system"] = RuntimeInformation.OSDescription,
                ["architecture"] = RuntimeInformation.ProcessArchitecture.ToString(),
                ["processors"] = Environment.ProcessorCount,
                ["kernels"] = KernelSets.Best.Name,
            },
        };
        AtomicFile.Write(Path.Combine(folder.Path, FileName), manifest.ToJsonString(Layout) + "\n");
    }

    /// <summary>Reads a manifest.</summary>
    /// <exception cref="ToolkitException">It cannot be read, or lacks what is needed to run it again.</exception>
    public static RunManifest Read(string file)
    {
        using JsonDocument document = Json.Open(file);
        JsonMap root = JsonMap.From(file, document.RootElement),
            settings = root.Map("settings");
        List<KeyValuePair<string, string>> Hashes(string key) =>
            [.. root.Map(key).Element.EnumerateObject().Select(item => KeyValuePair.Create(item.Name, root.Map(key).Text(item.Name)))];

        string? traces = settings.TextOr("traces", null),
            config = settings.TextOr("config", null);
        if (traces is null && config is null)
            throw root.Error("settings.config", "a cascade file where there are no traces", "null");
        var options = new ExperimentOptions
        {
            Seed = settings.Integer("seed", int.MinValue, int.MaxValue),
            Resamples = settings.Integer("resamples", 1, int.MaxValue),
            Horizon = settings.Integer("horizon", 1, int.MaxValue),
            Runs = settings.Integer("runs", 1, int.MaxValue),
            ConfidenceBins = settings.Integer("confidence_bins", 1, int.MaxValue),
            RegretPrice = settings.Number("regret_price", 0, double.MaxValue),
            TablePrice = settings.Number("table_price", 0, double.MaxValue),
        };
        return new RunManifest(
            new RunRequest(settings.Text("experiments"), config ?? "", traces, "", false, options)
            {
                Policy = settings.TextOr("policy", null),
            },
            Hashes("inputs_sha256"),
            Hashes("results_sha256"),
            Words(root.Text("toolkit"), root.Text("commit"), root.Text("runtime"), root.Map("machine").Text("kernels"))
        );
    }

    private static JsonObject Digests(IEnumerable<KeyValuePair<string, string>> files)
    {
        var digests = new JsonObject();
        foreach (var (name, path) in files)
            digests[name] = FileDigest.Sha256(path);
        return digests;
    }

    private static string FromHere(string path) => Path.GetRelativePath(Directory.GetCurrentDirectory(), path);

    private static string Words(string version, string commit, string runtime, string kernels) =>
        $"toolkit {version} (commit {commit}), {runtime}, kernels {kernels}";
}
