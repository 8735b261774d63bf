using System.Globalization;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Hub;

/// <summary>A model that was fetched, or was there.</summary>
/// <param name="Path">Its folder, or its <c>.gguf</c> file: what a stage's key <c>path</c> takes.</param>
/// <param name="Commit">The commit that the revision means; as it was named where the hub was not asked.</param>
/// <param name="Bytes">Bytes of its files.</param>
/// <param name="Fetched">How many of them came now.</param>
public sealed record PulledModel(HubRepository Repository, string Path, string Commit, long Bytes, long Fetched);

/// <summary>A model to fetch.</summary>
/// <param name="Folder">Where its files go, as they are named; null for the hub's cache.</param>
public sealed record PullRequest(HubRepository Repository, string? Folder = null);

/// <summary>
/// Fetches models: only the files that loading needs, several at a time, going on with what is there already, sizes and
/// hashes checked. Killed at any moment it leaves right files and parts that the next run goes on with.
/// </summary>
public static class HubPull
{
    /// <summary>Files under way at the same time where nothing else is asked for.</summary>
    public const int Parallel = 4;

    private const long Reserve = 64L << 20; // of the disk, which is left free

    /// <summary>Fetches every model; all of them are looked up, and the disk is looked at, before the first byte is fetched.</summary>
    /// <param name="report">Told of bytes that are there and bytes in all; null for nobody.</param>
    /// <exception cref="ToolkitException">The hub refuses, cannot be reached or sends other bytes; the disk is too small.</exception>
    public static async Task<IReadOnlyList<PulledModel>> FetchAsync(
        IReadOnlyList<PullRequest> requests,
        HubSettings settings,
        int parallel,
        IProgress<(long Done, long Total)>? report,
        CancellationToken cancel
    )
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(parallel, 1);
        var cache = new HubCache(settings.Cache);
        if (settings.Offline)
            return [.. requests.Select(request => Offline(request, cache))];
        using var client = new HubClient(settings);
        var plans = new List<Plan>();
        foreach (PullRequest request in requests.DistinctBy(request => (request.Repository, request.Folder)))
            plans.Add(await PlanAsync(client, cache, request, cancel).ConfigureAwait(false));
        Dictionary<Item, long> missing = plans.SelectMany(plan => plan.Items).ToDictionary(item => item, item => item.Download.Missing);
        CheckDisk(plans, missing, settings);

        long total = plans.Sum(plan => plan.Bytes),
            done = total - missing.Where(entry => entry.Value > 0).Sum(entry => entry.Key.File.Size);
        await System
            .Threading.Tasks.Parallel.ForEachAsync(
                // Large files first: they are what is waited for at the end.
                missing
                    .Where(entry => entry.Value > 0 || !entry.Key.Download.IsThere)
                    .Select(entry => entry.Key)
                    .OrderByDescending(item => item.File.Size),
                new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = cancel },
                async (item, stop) =>
                    await item
                        .Download.FetchAsync(bytes => report?.Report((Interlocked.Add(ref done, bytes), total)), stop)
                        .ConfigureAwait(false)
            )
            .ConfigureAwait(false);
        return [.. plans.Select(plan => Finish(plan, cache, missing))];
    }

    /// <summary>What fetching would take, without fetching: each model with the bytes that are missing as <see cref="PulledModel.Fetched"/>.</summary>
    public static async Task<IReadOnlyList<PulledModel>> PreviewAsync(
        IReadOnlyList<PullRequest> requests,
        HubSettings settings,
        CancellationToken cancel
    )
    {
        var cache = new HubCache(settings.Cache);
        if (settings.Offline)
            return [.. requests.Select(request => Offline(request, cache))];
        using var client = new HubClient(settings);
        var models = new List<PulledModel>();
        foreach (PullRequest request in requests)
        {
            Plan plan = await PlanAsync(client, cache, request, cancel).ConfigureAwait(false);
            models.Add(plan.Model(cache) with { Fetched = plan.Items.Sum(item => item.Download.Missing) });
        }
        return models;
    }

    private sealed record Item(HubFile File, HubDownload Download);

    private sealed record Plan(PullRequest Request, string Commit, IReadOnlyList<Item> Items)
    {
        public long Bytes => Items.Sum(item => item.File.Size);

        public PulledModel Model(HubCache cache)
        {
            HubRepository repository = Request.Repository;
            string folder = Request.Folder ?? cache.Snapshot(repository.Name, Commit);
            bool one = Items[0].File.Name.EndsWith(".gguf", StringComparison.Ordinal); // or the first of its parts
            return new PulledModel(repository, one ? Path.Combine(folder, Items[0].File.Name) : folder, Commit, Bytes, 0);
        }
    }

    private static async Task<Plan> PlanAsync(HubClient client, HubCache cache, PullRequest request, CancellationToken cancel)
    {
        HubListing listing = await client.ListAsync(request.Repository, cancel).ConfigureAwait(false);
        var items = new List<Item>();
        foreach (HubFile file in listing.Needed(request.Repository))
        {
            DownloadPlace place = request.Folder is { } folder ? InFolder(folder, file) : InCache(cache, request.Repository.Name, file);
            var download = new HubDownload(client, request.Repository, listing.Commit, file, place);
            if (request.Folder is not null)
                await PrepareFolderAsync(cache, request.Repository.Name, file, place, download, cancel).ConfigureAwait(false);
            items.Add(new Item(file, download));
        }
        return new Plan(request, listing.Commit, items);
    }

    private static DownloadPlace InCache(HubCache cache, string repository, HubFile file)
    {
        string blob = cache.Blob(repository, file.Tag);
        return new DownloadPlace(blob, blob + ".incomplete", cache.LockFile(repository, file.Tag));
    }

    private static DownloadPlace InFolder(string folder, HubFile file)
    {
        string notes = Path.Combine(folder, ".cache", "huggingface", "download");
        return new DownloadPlace(
            Path.Combine(folder, file.Name),
            Path.Combine(notes, $"{file.Name}.{file.Tag}.incomplete"),
            Path.Combine(notes, file.Name + ".lock")
        );
    }

    // A folder's file has no hash in its name: one of the right size is read. What the cache has need not come again.
    private static async Task PrepareFolderAsync(
        HubCache cache,
        string repository,
        HubFile file,
        DownloadPlace place,
        HubDownload download,
        CancellationToken cancel
    )
    {
        if (File.Exists(place.Final))
        {
            if (await download.IsRightAsync(place.Final, cancel).ConfigureAwait(false))
                return;
            throw new ToolkitException(
                $"{place.Final}: expected nothing, or the file of {repository} (hash {file.Tag[..12]}), got another file; remove it, or choose another folder with --to"
            );
        }
        string blob = cache.Blob(repository, file.Tag);
        if (new FileInfo(blob) is not { Exists: true } there || there.Length != file.Size)
            return;
        Directory.CreateDirectory(Path.GetDirectoryName(place.Partial)!);
        File.Copy(blob, place.Partial, overwrite: true); // its hash is checked as that of bytes that came
    }

    private static void CheckDisk(IReadOnlyList<Plan> plans, Dictionary<Item, long> missing, HubSettings settings)
    {
        // Folders may lie on different disks; those of one place share what is free there.
        foreach (IGrouping<string, Plan> group in plans.GroupBy(plan => plan.Request.Folder ?? settings.Cache))
        {
            long needed = group.SelectMany(plan => plan.Items).Sum(item => missing[item]);
            if (needed > 0 && settings.FreeBytes(group.Key) is { } free && needed + Reserve > free)
                throw new ToolkitException(
                    $"{group.Key}: expected {Gibibytes(needed + Reserve)} GiB free for {string.Join(", ", group.Select(plan => plan.Request.Repository.Name))}, got {Gibibytes(free)} GiB"
                );
        }
    }

    private static PulledModel Finish(Plan plan, HubCache cache, Dictionary<Item, long> missing)
    {
        PullRequest request = plan.Request;
        if (request.Folder is null)
        {
            foreach (Item item in plan.Items)
                cache.Link(request.Repository.Name, plan.Commit, item.File);
            cache.SetCommit(request.Repository, plan.Commit);
        }
        return plan.Model(cache) with { Fetched = plan.Items.Sum(item => missing[item]) };
    }

    private static PulledModel Offline(PullRequest request, HubCache cache)
    {
        string? path =
            request.Folder is null ? cache.Find(request.Repository)
            : request.Repository.File is { } file ? Existing(Path.Combine(request.Folder, file))
            : HubCache.IsWhole(request.Folder) ? request.Folder
            : null;
        return path is null
            ? throw new ToolkitException(
                $"{request.Repository.Name}: expected all of its files in {request.Folder ?? cache.Of(request.Repository.Name)}, got some or none, and HF_HUB_OFFLINE is set"
            )
            : new PulledModel(request.Repository, path, cache.Commit(request.Repository), 0, 0);
    }

    private static string? Existing(string file) => GgufParts.Files(file).All(File.Exists) ? GgufParts.Files(file)[0] : null;

    private static string Gibibytes(long bytes) => (bytes / (double)(1L << 30)).ToString("F2", CultureInfo.InvariantCulture);
}
