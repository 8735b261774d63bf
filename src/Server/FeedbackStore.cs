using System.Data.Common;
using System.Globalization;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Data.Sqlite;
using Npgsql;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Server;

/// <summary>One graded answer, as the store keeps it.</summary>
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
)
{
    /// <summary>Which default policy answered: its grades speak of that policy and of no other.</summary>
    public string PolicyKey { get; init; } = "";

    /// <summary>The probability with which the policy did what it did; null where that is not known.</summary>
    public double? Propensity { get; init; }

    /// <summary>The stages that ran, in order; empty where nobody logs decisions.</summary>
    public IReadOnlyList<LoggedStage> Turns { get; init; } = [];

    /// <summary>Which of the turns answered.</summary>
    public int Answered { get; init; }

    /// <summary>Which learner drew the policy; empty for none.</summary>
    public string LearnerKey { get; init; } = "";
}

/// <summary>
/// Grades, and the answers that wait for theirs, in a database: SQLite in a folder, or PostgreSQL, which several servers
/// share. A grade is acknowledged after its transaction is on the disk (grades that wait together share one). All servers
/// apply all grades in the order in which they were committed, so that they come to the same state.
/// </summary>
internal sealed class FeedbackStore : IAsyncDisposable
{
    private const int LargestBatch = 512;

    private readonly DbDataSource _source;
    private readonly bool _postgres;
    private readonly string _cascade;
    private readonly Func<GradedAnswer, bool> _apply;
    private readonly Channel<Item> _waiting = Channel.CreateUnbounded<Item>(new UnboundedChannelOptions { SingleReader = true });
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _worker;
    private long _applied; // number of the last grade that was applied

    private FeedbackStore(DbDataSource source, bool postgres, string cascade, Func<GradedAnswer, bool> apply)
    {
        (_source, _postgres, _cascade, _apply) = (source, postgres, cascade, apply);
        _worker = Task.Run(WorkAsync);
    }

    /// <summary>Opens the database, or makes it, and applies the grades that it holds.</summary>
    /// <param name="state">A folder, or the connection string of a PostgreSQL database (<c>Host=...</c>).</param>
    /// <param name="cascade">What the grades belong to: one database may hold those of several cascades.</param>
    /// <param name="apply">Called with each grade, in their order, never twice at once; returns whether a learner learnt from it.</param>
    /// <exception cref="ToolkitException">The database cannot be opened, or an old log in the folder is broken.</exception>
    public static FeedbackStore Open(string state, string cascade, IReadOnlyList<string> models, Func<GradedAnswer, bool> apply)
    {
        bool postgres = IsPostgres(state);
        DbDataSource? source = null;
        try
        {
            if (postgres)
                source = NpgsqlDataSource.Create(state);
            else
            {
                Directory.CreateDirectory(state);
                source = SqliteFactory.Instance.CreateDataSource(
                    new SqliteConnectionStringBuilder { DataSource = Path.Combine(state, "state.db"), DefaultTimeout = 30 }.ToString()
                );
            }
            using (DbConnection connection = source.OpenConnection())
            {
                Make(connection, postgres);
                if (!postgres)
                    Import(connection, Path.Combine(state, "feedback.jsonl"), cascade, models);
            }
            var store = new FeedbackStore(source, postgres, cascade, apply);
            store.CatchUpAsync(null).GetAwaiter().GetResult();
            return store;
        }
        catch (Exception fault) when (fault is DbException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            source?.Dispose();
            // A connection string holds a password.
            throw new ToolkitException(
                $"--state {(postgres ? "Host=..." : state)}: expected a database that can be opened, got: {fault.Message.ReplaceLineEndings(" ")}",
                fault
            );
        }
        catch
        {
            source?.Dispose();
            throw;
        }
    }

    /// <summary>Whether a state is a connection string and not a folder.</summary>
    public static bool IsPostgres(string state) => state.Contains("Host=", StringComparison.OrdinalIgnoreCase);

    /// <summary>Keeps an answer for its grade, which may come to another server or after a restart; soon, not at once.</summary>
    public void Remember(GradedAnswer answer) => _waiting.Writer.TryWrite(new Item(answer, null));

    /// <summary>An answer that waits for its grade; null for none.</summary>
    /// <exception cref="IOException">The database is away.</exception>
    public async Task<GradedAnswer?> FindAsync(string id)
    {
        try
        {
            await using DbConnection connection = await _source.OpenConnectionAsync().ConfigureAwait(false);
            await using DbCommand command = Command(
                connection,
                "SELECT answer FROM toolkit_answers WHERE id = @id AND cascade = @cascade",
                ("id", id),
                ("cascade", _cascade)
            );
            return await command.ExecuteScalarAsync().ConfigureAwait(false) is string json
                ? JsonSerializer.Deserialize<GradedAnswer>(json)
                : null;
        }
        catch (DbException fault)
        {
            throw Away(fault);
        }
    }

    /// <summary>Keeps a grade; returns when it is on the disk and has been applied.</summary>
    /// <returns>Whether a learner learnt from it; null where the answer has another grade already.</returns>
    /// <exception cref="IOException">It could not be kept.</exception>
    public Task<bool?> AppendAsync(GradedAnswer grade)
    {
        var done = new TaskCompletionSource<bool?>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!_waiting.Writer.TryWrite(new Item(grade, done)))
            done.SetException(new ObjectDisposedException(nameof(FeedbackStore)));
        return done.Task;
    }

    /// <summary>Every grade of the cascade, in order.</summary>
    public async IAsyncEnumerable<GradedAnswer> ReadAsync()
    {
        await using DbConnection connection = await _source.OpenConnectionAsync().ConfigureAwait(false);
        await using DbCommand command = Command(
            connection,
            "SELECT grade FROM toolkit_grades WHERE cascade = @cascade ORDER BY seq",
            ("cascade", _cascade)
        );
        await using DbDataReader reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        while (await reader.ReadAsync().ConfigureAwait(false))
            yield return JsonSerializer.Deserialize<GradedAnswer>(reader.GetString(0))!;
    }

    public async ValueTask DisposeAsync()
    {
        _waiting.Writer.TryComplete();
        await _stop.CancelAsync().ConfigureAwait(false);
        await _worker.ConfigureAwait(false);
        await _source.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    private readonly record struct Item(GradedAnswer Answer, TaskCompletionSource<bool?>? Done);

    // One batch after another; between them, once a second, the grades that other servers took.
    private async Task WorkAsync()
    {
        var batch = new List<Item>();
        bool open = true;
        while (open)
        {
            try
            {
                open = await _waiting.Reader.WaitToReadAsync(_stop.Token).AsTask().WaitAsync(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
            }
            catch (TimeoutException)
            {
                // time to look for the grades of others
            }
            catch (OperationCanceledException)
            {
                open = false; // what is waiting is still written
            }
            do
            {
                while (batch.Count < LargestBatch && _waiting.Reader.TryRead(out Item item))
                    batch.Add(item);
                await WriteAsync(batch).ConfigureAwait(false);
                batch.Clear();
            } while (_waiting.Reader.TryPeek(out _));
        }
    }

    private async Task WriteAsync(List<Item> batch)
    {
        var kept = new Dictionary<string, bool?>(); // of the batch's own grades: learnt from, or null where it is another's
        try
        {
            if (batch.Count > 0)
            {
                await using DbConnection connection = await _source.OpenConnectionAsync().ConfigureAwait(false);
                await using DbTransaction transaction = await connection.BeginTransactionAsync().ConfigureAwait(false);
                foreach ((GradedAnswer answer, TaskCompletionSource<bool?>? done) in batch)
                    if (done is null)
                        await KeepAnswerAsync(connection, transaction, answer).ConfigureAwait(false);
                if (batch.Exists(item => item.Done is not null))
                {
                    // Numbers are drawn before the commit; under the lock they are in the order of the commits.
                    if (_postgres)
                        await RunAsync(connection, transaction, "SELECT pg_advisory_xact_lock(7161)").ConfigureAwait(false);
                    foreach ((GradedAnswer grade, TaskCompletionSource<bool?>? done) in batch)
                        if (done is not null)
                            kept[grade.Id] = await KeepGradeAsync(connection, transaction, grade).ConfigureAwait(false) ? false : null;
                }
                await transaction.CommitAsync().ConfigureAwait(false);
            }
            await CatchUpAsync(kept).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is DbException or IOException or InvalidOperationException or TimeoutException)
        {
            foreach (Item item in batch)
                item.Done?.TrySetException(Away(fault));
            return;
        }
        foreach (Item item in batch)
            item.Done?.TrySetResult(kept[item.Answer.Id]);
    }

    private async Task KeepAnswerAsync(DbConnection connection, DbTransaction transaction, GradedAnswer answer)
    {
        await RunAsync(
                connection,
                transaction,
                "INSERT INTO toolkit_answers (id, cascade, answer, at) VALUES (@id, @cascade, @answer, @at) ON CONFLICT (id) DO NOTHING",
                ("id", answer.Id),
                ("cascade", _cascade),
                ("answer", JsonSerializer.Serialize(answer)),
                ("at", DateTimeOffset.UtcNow.ToUnixTimeSeconds())
            )
            .ConfigureAwait(false);
        if (Random.Shared.Next(10_000) == 0)
            await RunAsync(
                    connection,
                    transaction,
                    "DELETE FROM toolkit_answers WHERE at < @before",
                    ("before", DateTimeOffset.UtcNow.AddDays(-7).ToUnixTimeSeconds())
                )
                .ConfigureAwait(false);
    }

    // True where the grade is kept, now or by an earlier attempt whose acknowledgement was lost.
    private async Task<bool> KeepGradeAsync(DbConnection connection, DbTransaction transaction, GradedAnswer grade)
    {
        await RunAsync(connection, transaction, "DELETE FROM toolkit_answers WHERE id = @id", ("id", grade.Id)).ConfigureAwait(false);
        int rows = await RunAsync(
                connection,
                transaction,
                "INSERT INTO toolkit_grades (id, cascade, grade, quality) VALUES (@id, @cascade, @grade, @quality) ON CONFLICT (id) DO NOTHING",
                ("id", grade.Id),
                ("cascade", _cascade),
                ("grade", JsonSerializer.Serialize(grade)),
                ("quality", grade.Quality)
            )
            .ConfigureAwait(false);
        if (rows > 0)
            return true;
        await using DbCommand command = Command(connection, "SELECT quality FROM toolkit_grades WHERE id = @id", ("id", grade.Id));
        command.Transaction = transaction;
        return await command.ExecuteScalarAsync().ConfigureAwait(false) is double quality && quality == grade.Quality;
    }

    // Applies what was committed since, by whichever server.
    private async Task CatchUpAsync(Dictionary<string, bool?>? own)
    {
        await using DbConnection connection = await _source.OpenConnectionAsync().ConfigureAwait(false);
        await using DbCommand command = Command(
            connection,
            "SELECT seq, grade FROM toolkit_grades WHERE cascade = @cascade AND seq > @seq ORDER BY seq",
            ("cascade", _cascade),
            ("seq", _applied)
        );
        await using DbDataReader reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        while (await reader.ReadAsync().ConfigureAwait(false))
        {
            GradedAnswer grade = JsonSerializer.Deserialize<GradedAnswer>(reader.GetString(1))!;
            bool learned = _apply(grade);
            _applied = reader.GetInt64(0);
            if (own?.TryGetValue(grade.Id, out bool? kept) == true && kept is not null)
                own[grade.Id] = learned;
        }
    }

    private static void Make(DbConnection connection, bool postgres)
    {
        if (!postgres)
            Run(connection, null, "PRAGMA journal_mode = WAL");
        using DbTransaction transaction = connection.BeginTransaction();
        if (postgres)
            Run(connection, transaction, "SELECT pg_advisory_xact_lock(7161)"); // two servers that start at once
        string number = postgres ? "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY" : "INTEGER PRIMARY KEY AUTOINCREMENT";
        Run(
            connection,
            transaction,
            "CREATE TABLE IF NOT EXISTS toolkit_answers (id TEXT PRIMARY KEY, cascade TEXT NOT NULL, answer TEXT NOT NULL, at BIGINT NOT NULL)"
        );
        Run(
            connection,
            transaction,
            $"CREATE TABLE IF NOT EXISTS toolkit_grades (seq {number}, id TEXT NOT NULL UNIQUE, cascade TEXT NOT NULL, grade TEXT NOT NULL, quality DOUBLE PRECISION NOT NULL)"
        );
        Run(connection, transaction, "CREATE INDEX IF NOT EXISTS toolkit_grades_cascade ON toolkit_grades (cascade, seq)");
        transaction.Commit();
    }

    // The log that earlier versions appended to: a header, then a grade a line; a torn last line was never acknowledged.
    private static void Import(DbConnection connection, string path, string cascade, IReadOnlyList<string> models)
    {
        if (!File.Exists(path))
            return;
        string text = File.ReadAllText(path);
        string[] lines = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        using DbTransaction transaction = connection.BeginTransaction();
        var (policyKey, learnerKey) = lines.Length == 0 ? ("", "") : Header(path, lines[0], models);
        for (int i = 1; i < lines.Length; i++)
        {
            GradedAnswer? grade;
            try
            {
                grade = JsonSerializer.Deserialize<GradedAnswer>(lines[i]);
            }
            catch (JsonException)
            {
                grade = null;
            }
            if (grade is not { Id: not null, Bins: not null, Quality: >= 0 and <= 1 })
                throw new ToolkitException($"{path}:{i + 1}: expected a graded answer as the server writes it, got {Short(lines[i])}");
            Run(
                connection,
                transaction,
                "INSERT INTO toolkit_grades (id, cascade, grade, quality) VALUES (@id, @cascade, @grade, @quality) ON CONFLICT (id) DO NOTHING",
                ("id", grade.Id),
                ("cascade", cascade),
                ("grade", JsonSerializer.Serialize(grade with { PolicyKey = policyKey, LearnerKey = learnerKey })),
                ("quality", grade.Quality)
            );
        }
        transaction.Commit();
        File.Move(path, path + ".imported", overwrite: true);
    }

    private static (string Policy, string Learner) Header(string path, string line, IReadOnlyList<string> models)
    {
        try
        {
            using JsonDocument header = JsonDocument.Parse(line);
            JsonElement root = header.RootElement;
            if (root.GetProperty("models").EnumerateArray().Select(model => model.GetString()).SequenceEqual(models))
            {
                double lambda = root.GetProperty("lambda").GetDouble();
                double[] costs = [.. root.GetProperty("costs").EnumerateArray().Select(cost => cost.GetDouble())];
                bool learner = root.GetProperty("learner").GetBoolean();
                return (FeedbackKeys.Policy(learner ? "learner" : "lambda", lambda), learner ? FeedbackKeys.Learner(lambda, costs) : "");
            }
        }
        catch (Exception fault) when (fault is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            // told below
        }
        throw new ToolkitException(
            $"{path}:1: expected the grades of this cascade ({string.Join(", ", models)}), got {Short(line)}; choose another --state folder"
        );
    }

    private static string Short(string text) => text.Length <= 120 ? text : text[..117] + "...";

    private static IOException Away(Exception fault) => new($"the database failed: {fault.Message.ReplaceLineEndings(" ")}", fault);

    private static DbCommand Command(DbConnection connection, string text, params ReadOnlySpan<(string Name, object Value)> parameters)
    {
        DbCommand command = connection.CreateCommand();
        command.CommandText = text;
        foreach (var (name, value) in parameters)
        {
            DbParameter parameter = command.CreateParameter();
            (parameter.ParameterName, parameter.Value) = (name, value);
            command.Parameters.Add(parameter);
        }
        return command;
    }

    private static int Run(
        DbConnection connection,
        DbTransaction? transaction,
        string text,
        params ReadOnlySpan<(string, object)> parameters
    )
    {
        using DbCommand command = Command(connection, text, parameters);
        command.Transaction = transaction;
        return command.ExecuteNonQuery();
    }

    private static async Task<int> RunAsync(
        DbConnection connection,
        DbTransaction transaction,
        string text,
        params (string, object)[] parameters
    )
    {
        await using DbCommand command = Command(connection, text, parameters);
        command.Transaction = transaction;
        return await command.ExecuteNonQueryAsync().ConfigureAwait(false);
    }
}

/// <summary>Names of what a grade speaks of, so that a server with another price or policy keeps the grades and does not mix them.</summary>
internal static class FeedbackKeys
{
    /// <summary>A policy by its kind and its price of cost.</summary>
    public static string Policy(string kind, double lambda, string identity = "") =>
        string.Create(CultureInfo.InvariantCulture, $"{kind}:{lambda}:{identity}");

    /// <summary>A learner by its price of cost, the stages' costs and, below 1, the audit rate that its grades are weighted with.</summary>
    public static string Learner(double lambda, IEnumerable<double> costs, double auditRate = 1) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"nest:{lambda}:{string.Join(",", costs.Select(cost => cost.ToString(CultureInfo.InvariantCulture)))}{(auditRate < 1 ? $":{auditRate}" : "")}"
        );
}
