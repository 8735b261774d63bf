using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Hub;

/// <summary>Where a file of the hub goes: the finished file, the one that grows, and the one whose lock says who writes.</summary>
internal sealed record DownloadPlace(string Final, string Partial, string Lock);

/// <summary>
/// Fetches one file: goes on with what an earlier run left, checks size and hash, and gives the file its name only then,
/// so that whatever ends the process, a file that is there is right.
/// </summary>
internal sealed class HubDownload(HubClient client, HubRepository repository, string commit, HubFile file, DownloadPlace place)
{
    private static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(100);

    /// <summary>Whether the finished file is there, by its size.</summary>
    public bool IsThere => new FileInfo(place.Final) is { Exists: true } there && there.Length == file.Size;

    /// <summary>Bytes that still have to come.</summary>
    public long Missing =>
        IsThere ? 0
        : new FileInfo(place.Partial) is { Exists: true } partial && partial.Length <= file.Size ? file.Size - partial.Length
        : file.Size;

    /// <summary>Fetches what is missing.</summary>
    /// <param name="progress">Told of bytes as they come; negative where some are thrown away.</param>
    /// <exception cref="ToolkitException">The hub refuses, or its bytes are not those that it lists; the disk refuses.</exception>
    public async Task FetchAsync(Action<long> progress, CancellationToken cancel)
    {
        try
        {
            foreach (string path in (string[])[place.Final, place.Partial, place.Lock])
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using FileStream mine = await LockAsync(cancel).ConfigureAwait(false);
            if (IsThere)
            {
                progress(file.Size); // another program fetched it meanwhile
                return;
            }
            // What an earlier run left may be wrong (a machine that lost power, another program); a whole file may not.
            bool continued = File.Exists(place.Partial);
            while (!await TryAsync(progress, cancel).ConfigureAwait(false))
            {
                File.Delete(place.Partial);
                if (!continued)
                    throw new ToolkitException(
                        $"{repository.Name}/{file.Name}: expected the {(file.IsLarge ? "SHA-256" : "git SHA-1")} {file.Tag}, got other bytes; they were thrown away"
                    );
                progress(-file.Size);
                continued = false;
            }
            File.Move(place.Partial, place.Final, overwrite: true);
        }
        catch (Exception error) when (AtomicFile.IsWriteError(error))
        {
            throw AtomicFile.Error(place.Final, error);
        }
    }

    /// <summary>Whether a file holds the bytes that the hub lists.</summary>
    public async Task<bool> IsRightAsync(string path, CancellationToken cancel)
    {
        if (new FileInfo(path).Length != file.Size)
            return false;
        using IncrementalHash hash = NewHash();
        using (FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0))
            await AppendAsync(hash, stream, cancel).ConfigureAwait(false);
        return Matches(hash);
    }

    // True: the bytes are right and on the disk. The position of the stream is always that of the hash.
    private async Task<bool> TryAsync(Action<long> progress, CancellationToken cancel)
    {
        using var stream = new FileStream(place.Partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
        if (stream.Length > file.Size)
            stream.SetLength(0);
        IncrementalHash hash = NewHash();
        try
        {
            progress(await AppendAsync(hash, stream, cancel).ConfigureAwait(false));
            void Restart()
            {
                progress(-stream.Length);
                stream.SetLength(0);
                hash.Dispose();
                hash = NewHash();
            }
            async ValueTask TakeAsync(ReadOnlyMemory<byte> bytes)
            {
                if (stream.Position + bytes.Length > file.Size)
                    throw new ToolkitException(
                        $"{repository.Name}/{file.Name}: expected {file.Size} bytes as the hub lists them, got more from it"
                    );
                try
                {
                    await stream.WriteAsync(bytes, cancel).ConfigureAwait(false);
                }
                catch (Exception error) when (AtomicFile.IsWriteError(error))
                {
                    throw AtomicFile.Error(place.Partial, error);
                }
                hash.AppendData(bytes.Span);
                progress(bytes.Length);
            }
            await client.ReadAsync(repository, commit, file, () => stream.Position, Restart, TakeAsync, cancel).ConfigureAwait(false);
            stream.Flush(flushToDisk: true);
            return Matches(hash);
        }
        finally
        {
            hash.Dispose();
        }
    }

    // The system drops the lock with the process, however that ends.
    private async Task<FileStream> LockAsync(CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                return new FileStream(place.Lock, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException error) when (error.GetType() == typeof(IOException))
            {
                await Task.Delay(LockPoll, cancel).ConfigureAwait(false); // another program fetches it
            }
        }
    }

    // A git blob is hashed with its kind and length before it.
    private IncrementalHash NewHash()
    {
        IncrementalHash hash = IncrementalHash.CreateHash(file.IsLarge ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1);
        if (!file.IsLarge)
            hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {file.Size}\0")));
        return hash;
    }

    private bool Matches(IncrementalHash hash) => Convert.ToHexStringLower(hash.GetHashAndReset()) == file.Tag;

    private static async Task<long> AppendAsync(IncrementalHash hash, Stream stream, CancellationToken cancel)
    {
        byte[] buffer = new byte[1 << 20];
        long total = 0;
        for (int count; (count = await stream.ReadAsync(buffer, cancel).ConfigureAwait(false)) > 0; total += count)
            hash.AppendData(buffer, 0, count);
        return total;
    }
}
