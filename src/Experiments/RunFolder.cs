using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Experiments;

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
