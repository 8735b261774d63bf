using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Hub;

/// <summary>
/// The hub's cache on this machine, laid out as the hub's own programs do: <c>models--owner--name</c> with <c>blobs</c>
/// (contents, named after their hash), <c>snapshots/COMMIT</c> (names, linked to blobs) and <c>refs</c> (the commit of a
/// branch). What another program downloaded is found, and the other way round.
/// </summary>
public sealed class HubCache(string folder)
{
    /// <summary>The folder of all repositories.</summary>
    public string Folder { get; } = folder;

    /// <summary>The folder of one repository.</summary>
    public string Of(string repository) => Path.Combine(Folder, Key(repository));

    /// <summary>Where a content is kept.</summary>
    public string Blob(string repository, string tag) => Path.Combine(Of(repository), "blobs", tag);

    /// <summary>The file whose lock keeps two programs from writing one content, also the hub's own ones.</summary>
    public string LockFile(string repository, string tag) => Path.Combine(Folder, ".locks", Key(repository), tag + ".lock");

    /// <summary>The folder of a commit.</summary>
    public string Snapshot(string repository, string commit) => Path.Combine(Of(repository), "snapshots", commit);

    /// <summary>The commit that a revision meant when it was last asked for; the revision itself where nobody asked.</summary>
    public string Commit(HubRepository repository)
    {
        string file = Path.Combine(Of(repository.Name), "refs", repository.Revision);
        try
        {
            string text = File.Exists(file) ? File.ReadAllText(file).Trim() : repository.Revision;
            return HubRepository.IsFile(text) ? text : repository.Revision;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return repository.Revision;
        }
    }

    /// <summary>The folder, or the <c>.gguf</c> file, of a model that is there whole; null where something of it is missing.</summary>
    public string? Find(HubRepository repository)
    {
        string snapshot = Snapshot(repository.Name, Commit(repository));
        if (!Directory.Exists(snapshot))
            return null;
        if (repository.File is { } name)
            return Whole(Path.Combine(snapshot, name));
        if (IsWhole(snapshot))
            return snapshot;
        string[] models = [.. Directory.GetFiles(snapshot, "*.gguf").Select(file => GgufParts.Files(file)[0]).Distinct()];
        return models.Length == 1 ? Whole(models[0]) : null;
    }

    // The first of a file's parts where all are there.
    private static string? Whole(string file) => GgufParts.Files(file) is var parts && parts.All(IsThere) ? parts[0] : null;

    /// <summary>Where the model is, or will be once it is fetched.</summary>
    public string Place(HubRepository repository)
    {
        string snapshot = Snapshot(repository.Name, Commit(repository));
        return Find(repository) ?? (repository.File is null ? snapshot : Path.Combine(snapshot, repository.File));
    }

    /// <summary>Whether a folder holds a configuration and all weights that it names.</summary>
    public static bool IsWhole(string folder)
    {
        if (!IsThere(Path.Combine(folder, "config.json")))
            return false;
        string index = Path.Combine(folder, "model.safetensors.index.json");
        if (!IsThere(index))
            return IsThere(Path.Combine(folder, "model.safetensors"));
        try
        {
            using JsonDocument document = Json.Open(index);
            return document
                .RootElement.GetProperty("weight_map")
                .EnumerateObject()
                .Select(entry => entry.Value.GetString())
                .Distinct()
                .All(name => name is not null && HubRepository.IsFile(name) && IsThere(Path.Combine(folder, name)));
        }
        catch (Exception error) when (error is ToolkitException or KeyNotFoundException or InvalidOperationException)
        {
            return false; // loading says what is wrong with it
        }
    }

    /// <summary>What a model's folder or file is called: its own name, in the cache that of its repository.</summary>
    public static string ModelName(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)),
            name = Path.GetFileName(full);
        string[] parts = full.Split(Path.DirectorySeparatorChar);
        return parts is [.., var key, "snapshots", var commit] && commit == name && key.StartsWith("models--", StringComparison.Ordinal)
            ? key[(key.LastIndexOf("--", StringComparison.Ordinal) + 2)..]
            : name;
    }

    /// <summary>Gives a blob its name in a snapshot: a link, or a copy where the system allows none.</summary>
    internal void Link(string repository, string commit, HubFile file)
    {
        string name = Path.Combine(Snapshot(repository, commit), file.Name),
            blob = Blob(repository, file.Tag);
        Directory.CreateDirectory(Path.GetDirectoryName(name)!);
        string target = Path.GetRelativePath(Path.GetDirectoryName(name)!, blob);
        if (new FileInfo(name) is { LinkTarget: { } there } && there == target && File.Exists(name))
            return;
        string temporary = $"{name}.{Guid.NewGuid():N}";
        try
        {
            File.CreateSymbolicLink(temporary, target);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException && OperatingSystem.IsWindows())
        {
            File.Copy(blob, temporary);
        }
        File.Move(temporary, name, overwrite: true);
    }

    /// <summary>Writes down what a branch or tag means.</summary>
    internal void SetCommit(HubRepository repository, string commit)
    {
        if (repository.Revision == commit)
            return;
        string file = Path.Combine(Of(repository.Name), "refs", repository.Revision);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        AtomicFile.Write(file, commit);
    }

    // A link whose blob is gone exists for File.Exists.
    private static bool IsThere(string path) =>
        new FileInfo(path) is { Exists: true } file
        && (file.LinkTarget is null || file.ResolveLinkTarget(returnFinalTarget: true)?.Exists == true);

    private static string Key(string repository) => "models--" + repository.Replace("/", "--");
}
