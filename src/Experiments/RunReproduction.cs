using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Experiments;

/// <summary>One result file of a run and of its reproduction.</summary>
/// <param name="Name">The file's name in both folders.</param>
/// <param name="Same">Whether the bytes are the same.</param>
/// <param name="Got">What the reproduction has, in words.</param>
public readonly record struct ReproducedFile(string Name, bool Same, string Got);

/// <summary>`toolkit run --reproduce`: runs a manifest again and compares every result with what the manifest says.</summary>
public static class RunReproduction
{
    /// <summary>
    /// Checks that the inputs are those of the manifest, runs it in another folder, and compares. The two runs may differ
    /// in processors and kernels: results do not depend on them.
    /// </summary>
    /// <param name="manifestFile">The manifest.json of the run.</param>
    /// <param name="config">Where the cascade file is now, or null: where the manifest says, from the current folder.</param>
    /// <param name="traces">The same for a trace file.</param>
    /// <param name="policy">The same for a policy file.</param>
    /// <param name="folder">The folder for the new run; an interrupted reproduction there is gone on with.</param>
    /// <exception cref="ToolkitException">The manifest is faulty, an input is not the one of the run, or the run fails.</exception>
    public static IReadOnlyList<ReproducedFile> Run(
        string manifestFile,
        string? config,
        string? traces,
        string? policy,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        RunManifest manifest = RunManifest.Read(manifestFile);
        if (Path.GetFullPath(folder) == Path.GetDirectoryName(Path.GetFullPath(manifestFile)))
            throw new ToolkitException($"{folder}: expected a folder other than the one of the run to reproduce, got the same");
        RunRequest request = manifest.Request with
        {
            Config = config ?? manifest.Request.Config,
            Traces = traces ?? manifest.Request.Traces,
            Policy = policy ?? manifest.Request.Policy,
            Out = folder,
            Resume = true,
        };
        IReadOnlyList<string> source = request.Traces is { } file ? [file] : RunManifest.InputFiles(CascadeFile.Load(request.Config));
        CheckInputs(manifestFile, manifest, request.Policy is { } chosen ? [.. source, chosen] : source);
        ExperimentRun.Run(request, progress, cancel);
        return [.. manifest.Results.Select(result => Compare(result.Key, result.Value, Path.Combine(folder, result.Key)))];
    }

    private static void CheckInputs(string manifestFile, RunManifest manifest, IReadOnlyList<string> inputs)
    {
        if (inputs.Count != manifest.Inputs.Count)
            throw new ToolkitException(
                $"{manifestFile}: inputs_sha256: expected the {manifest.Inputs.Count} files of the run, got {inputs.Count}: {string.Join(", ", inputs)}"
            );
        for (int i = 0; i < inputs.Count; i++)
            if (RunManifest.Digest(inputs[i]) is var digest && digest != manifest.Inputs[i].Value)
                throw new ToolkitException(
                    $"{inputs[i]}: expected the file of the run ({manifest.Inputs[i].Key}, SHA-256 {manifest.Inputs[i].Value}), got {digest}"
                );
    }

    private static ReproducedFile Compare(string name, string expected, string path) =>
        !File.Exists(path) ? new(name, false, "no such file")
        : RunManifest.Digest(path) == expected ? new(name, true, "the same bytes")
        : new(name, false, "other bytes");
}
