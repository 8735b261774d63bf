using System.Text;
using System.Text.Json;
using System.Threading.Channels;

namespace OptimalStopping.Server;

/// <summary>One graded answer, as the log keeps it.</summary>
/// <param name="Id">The response that was graded.</param>
/// <param name="Policy">Kind of the policy that answered.</param>
/// <param name="Default">Whether it was the server's own choice: those answers are what the guarantee speaks of.</param>
/// <param name="Version">State of the learner that drew it; -1 for none.</param>
/// <param name="Stage">The stage that answered.</param>
/// <param name="Bins">Bins of the confidences of the stages that ran; empty where no learner is concerned.</param>
/// <param name="Confidence">Calibrated confidence of the answer.</param>
/// <param name="Quality">The grade, in [0,1].</param>
internal sealed record GradedAnswer(
    string Id,
    string Policy,
    bool Default,
    int Version,
    int Stage,
    int[] Bins,
    double Confidence,
    double Quality
);

/// <summary>
/// The log of graded answers: one JSON object per line, only ever appended to. A grade is acknowledged after it is on the
/// disk (fsync; grades that wait together share one). A line that a crash left unfinished was never acknowledged and is
/// cut off at the next start.
/// </summary>
internal sealed class FeedbackLog : IAsyncDisposable
{
    private readonly FileStream _file,
        _lock;
    private readonly Channel<(byte[] Line, Func<bool> Apply, TaskCompletionSource<bool> Done)> _waiting = Channel.CreateUnbounded<(
        byte[],
        Func<bool>,
        TaskCompletionSource<bool>
    )>(new UnboundedChannelOptions { SingleReader = true });
    private readonly Task _writer;

    private FeedbackLog(FileStream file, FileStream @lock)
    {
        (_file, _lock) = (file, @lock);
        _writer = Task.Run(Write);
    }

    /// <summary>Opens a log, or begins one, and hands over what it holds.</summary>
    /// <param name="header">What the grades belong to; a log of something else is refused.</param>
    /// <exception cref="ToolkitException">The log cannot be opened, is in use, is of another cascade, or holds a line that no server wrote.</exception>
    public static FeedbackLog Open(string path, string header, Action<GradedAnswer> replay)
    {
        FileStream? file = null,
            @lock = null;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            // Others may read the log while the server writes to it, so what keeps a second server out is a file beside it.
            @lock = new FileStream(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            @lock?.Dispose();
            throw new ToolkitException(
                $"{path}: expected a file that only this server writes to, got: {fault.Message.ReplaceLineEndings(" ")}",
                fault
            );
        }
        try
        {
            long end = Replay(path, file, header, replay);
            file.SetLength(end);
            file.Position = end;
            if (end == 0)
                file.Write(Encoding.UTF8.GetBytes(header + "\n"));
            file.Flush(flushToDisk: true);
            return new FeedbackLog(file, @lock);
        }
        catch
        {
            file.Dispose();
            @lock.Dispose();
            throw;
        }
    }

    /// <summary>Returns when the grade is on the disk and has been applied.</summary>
    /// <param name="apply">Called once the grade is on the disk, in the order of the log: a replay must come to the same state.</param>
    public Task<bool> AppendAsync(GradedAnswer grade, Func<bool> apply)
    {
        var done = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(grade), (byte)'\n'];
        if (!_waiting.Writer.TryWrite((line, apply, done)))
            done.SetException(new ObjectDisposedException(nameof(FeedbackLog)));
        return done.Task;
    }

    public async ValueTask DisposeAsync()
    {
        _waiting.Writer.Complete();
        await _writer.ConfigureAwait(false);
        await _file.DisposeAsync().ConfigureAwait(false);
        await _lock.DisposeAsync().ConfigureAwait(false);
    }

    private async Task Write()
    {
        var batch = new List<(Func<bool> Apply, TaskCompletionSource<bool> Done)>();
        while (await _waiting.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            long before = _file.Position;
            try
            {
                while (_waiting.Reader.TryRead(out var item))
                {
                    batch.Add((item.Apply, item.Done));
                    _file.Write(item.Line);
                }
                _file.Flush(flushToDisk: true);
                foreach (var (apply, done) in batch)
                    done.SetResult(apply());
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                // A full disk: what may be half written is taken back, and nobody is told that it is kept.
                try
                {
                    _file.SetLength(before);
                    _file.Position = before;
                }
                catch (IOException) { }
                foreach (var (_, done) in batch)
                    done.TrySetException(fault);
            }
            batch.Clear();
        }
    }

    // Returns where the last whole line ends.
    private static long Replay(string path, FileStream file, string header, Action<GradedAnswer> replay)
    {
        using var reader = new StreamReader(file, Encoding.UTF8, false, 1 << 16, leaveOpen: true);
        long end = 0;
        int number = 0;
        var line = new StringBuilder();
        var block = new char[1 << 16];
        for (int read; (read = reader.Read(block)) > 0; )
            foreach (char c in block.AsSpan(0, read))
            {
                if (c != '\n')
                {
                    line.Append(c);
                    continue;
                }
                string text = line.ToString();
                line.Clear();
                end += Encoding.UTF8.GetByteCount(text) + 1;
                if (++number == 1)
                {
                    if (text != header)
                        throw new ToolkitException(
                            $"{path}:1: expected the grades of this cascade ({header}), got {Short(text)}; choose another --state folder"
                        );
                    continue;
                }
                GradedAnswer? grade;
                try
                {
                    grade = JsonSerializer.Deserialize<GradedAnswer>(text);
                }
                catch (JsonException)
                {
                    grade = null;
                }
                replay(
                    grade is { Id: not null, Bins: not null, Quality: >= 0 and <= 1 }
                        ? grade
                        : throw new ToolkitException(
                            $"{path}:{number}: expected a graded answer as the server writes it, got {Short(text)}"
                        )
                );
            }
        return end;

        static string Short(string text) => text.Length <= 120 ? text : text[..117] + "...";
    }
}
