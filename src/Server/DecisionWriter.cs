using System.Buffers;
using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Server;

/// <summary>
/// Appends graded decisions to a log, one line each, which `toolkit evaluate --off-policy` reads. Decisions whose probability is not
/// known are left out. May be used from several threads at once.
/// </summary>
internal sealed class DecisionWriter : IDisposable
{
    private readonly Lock _lock = new();
    private readonly FileStream _file;

    private DecisionWriter(FileStream file) => _file = file;

    /// <summary>Opens a log to append to, or makes it.</summary>
    /// <exception cref="ToolkitException">It cannot be written to.</exception>
    public static DecisionWriter Open(string path)
    {
        try
        {
            return new DecisionWriter(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read));
        }
        catch (Exception error) when (AtomicFile.IsWriteError(error))
        {
            throw AtomicFile.Error(path, error);
        }
    }

    /// <summary>Appends a graded answer.</summary>
    /// <exception cref="IOException">It could not be written.</exception>
    public void Write(GradedAnswer grade)
    {
        if (grade.Propensity is not { } propensity || !(propensity > 0) || grade.Turns.Count == 0)
            return;
        var line = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(line, ServerJson.Options))
            new LoggedDecision(grade.Id, grade.Policy, Math.Min(1, propensity), grade.Turns, grade.Answered, grade.Quality).Write(json);
        line.Write("\n"u8);
        lock (_lock)
        {
            _file.Write(line.WrittenSpan);
            _file.Flush();
        }
    }

    public void Dispose() => _file.Dispose();
}
