using System.Text;
using System.Text.Json;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Asks every model of a cascade every query and appends what they did to a trace file, one line per query, in the
/// order of the queries. A file that an interrupted run left is gone on with: whole lines stay, a torn last line is
/// asked again. The lines depend on the queries and the models only, not on batches, threads or interruptions.
/// </summary>
public static class Collector
{
    private const int ChunkSize = 256;

    /// <summary>As <see cref="CollectAsync"/>, on the caller's thread and without a budget.</summary>
    public static void Run(
        Cascade cascade,
        IReadOnlyList<(Query Query, string Split)> queries,
        string path,
        IProgress<int>? progress = null,
        CancellationToken cancel = default
    ) => CollectAsync(cascade, queries, path, double.PositiveInfinity, progress, cancel: cancel).GetAwaiter().GetResult();

    /// <summary>
    /// Collects until the file holds every query. The file is held from the first look at it to the last record, so two
    /// processes never add to it at once; records reach the disk before more queries are asked: a chunk of them where all
    /// models run in this process, each one where a server is asked and paid.
    /// </summary>
    /// <param name="maxCost">Most that this call spends, in the cascade's units; no query is begun that may exceed it.</param>
    /// <param name="progress">Told how many queries are done.</param>
    /// <param name="times">Whether to record the seconds of each answer too; models in this process are then asked one question at a time.</param>
    /// <returns>Records in the file: fewer than the queries where the budget is used up.</returns>
    /// <exception cref="ToolkitException">
    /// The file holds something else than these queries' records (it is left as it is), is held by another process, or
    /// cannot be written to, or a stage keeps failing (what the file holds is kept, and the same call goes on with it).
    /// </exception>
    public static async Task<int> CollectAsync(
        Cascade cascade,
        IReadOnlyList<(Query Query, string Split)> queries,
        string path,
        double maxCost,
        IProgress<int>? progress = null,
        bool times = false,
        CancellationToken cancel = default
    )
    {
        try
        {
            using var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1);
            int done = Resume(file, path, queries, cascade);
            progress?.Report(done);
            using var writer = new TraceWriter(file);
            if (times || !cascade.File.Stages.All(stage => stage.IsLocal) || double.IsFinite(maxCost))
                return await AskEachAsync(cascade, queries, done, maxCost, times, Keep, cancel).ConfigureAwait(false);
            while (done < queries.Count)
            {
                int count = Math.Min(ChunkSize, queries.Count - done);
                foreach (TraceRecord record in Ask(cascade, queries, done, count, cancel))
                    writer.Write(record);
                file.Flush(flushToDisk: true);
                done += count;
                progress?.Report(done);
            }
            return done;

            void Keep(TraceRecord record)
            {
                writer.Write(record);
                file.Flush(flushToDisk: true);
                progress?.Report(++done);
            }
        }
        catch (StageException failure)
        {
            throw new ToolkitException($"{failure.Message}; {path} is kept: the same command goes on", failure);
        }
        catch (Exception fault) when (AtomicFile.IsWriteError(fault))
        {
            throw AtomicFile.Error(path, fault);
        }
    }

    // One query after another, as many under way as the busiest stage takes; kept in the order of the queries.
    private static async Task<int> AskEachAsync(
        Cascade cascade,
        IReadOnlyList<(Query Query, string Split)> queries,
        int from,
        double maxCost,
        bool times,
        Action<TraceRecord> keep,
        CancellationToken cancel
    )
    {
        // Answers that share processors would be timed together.
        int window = times && cascade.File.Stages.Any(stage => stage.IsLocal) ? 1 : cascade.Stages.Max(stage => stage.Concurrency),
            next = from,
            done = from;
        double spent = 0,
            dearest = cascade.Stages.Sum(stage => stage.CostOf(0, cascade.File.MaxTokens));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var underWay = new Queue<Task<(TraceRecord Record, double Cost)>>();
        try
        {
            while (true)
            {
                while (next < queries.Count && underWay.Count < window && spent + (underWay.Count + 1) * dearest <= maxCost)
                {
                    int query = next++;
                    underWay.Enqueue(Task.Run(() => AskOneAsync(cascade, queries[query], times, stop.Token), stop.Token));
                }
                if (underWay.Count == 0)
                    return done;
                var (record, cost) = await underWay.Dequeue().ConfigureAwait(false);
                keep(record);
                done++;
                spent += cost;
                dearest = Math.Max(dearest, cost);
            }
        }
        finally
        {
            // What is still under way is asked again by the next call; nothing of it may outlive this one.
            await stop.CancelAsync().ConfigureAwait(false);
            foreach (Task task in underWay)
                await task.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default)
                    .ConfigureAwait(false);
        }
    }

    private static async Task<(TraceRecord, double)> AskOneAsync(
        Cascade cascade,
        (Query Query, string Split) asked,
        bool times,
        CancellationToken cancel
    )
    {
        var request = new StageRequest(StagePrompt.FromQuestion(asked.Query.Prompt));
        var replies = new StageReply[cascade.Stages.Count];
        if (times && cascade.File.Stages.Any(stage => stage.IsLocal))
            for (int k = 0; k < replies.Length; k++)
                replies[k] = await AskStageAsync(cascade.Stages[k], request, cancel).ConfigureAwait(false);
        else
            replies = await Task.WhenAll(cascade.Stages.Select(stage => AskStageAsync(stage, request, cancel))).ConfigureAwait(false);
        string[] answers = [.. replies.Select(reply => cascade.File.Tasks.ExtractAnswer(reply.Text) ?? "")];
        for (int k = 0; k < replies.Length; k++)
            if (cascade.Stages[k].Confidence == ConfidenceSource.Agreement)
                replies[k] = replies[k] with
                {
                    Features = OtherConfidence.FromAgreement(
                        answers[..k].Count(answer => answer == answers[k]),
                        k,
                        replies[k].Features.Length
                    ),
                };
        return (
            Record(cascade, asked, replies.Max(reply => reply.PromptTokens), [.. replies.Select(reply => StageRecord.From(reply, times))]),
            replies.Sum(reply => reply.Cost)
        );
    }

    // A recording that takes hours outlives a server's bad minutes. A query that a server will not answer is recorded as wrong.
    private static async Task<StageReply> AskStageAsync(IStage stage, StageRequest request, CancellationToken cancel)
    {
        const int patience = 6;
        for (int tried = 0; ; tried++)
            try
            {
                return await stage.AnswerAsync(request, null, cancel).ConfigureAwait(false);
            }
            catch (StageException failure) when (failure.Kind is StageFailures.Rejected or StageFailures.Filtered)
            {
                return new StageReply("", [], new ConfidenceFeatures(-1, -1, -1, 0, 0, 1), false, 0, 0, stage.CostOf(0, 0), 0);
            }
            catch (StageException failure)
                when (tried < patience
                    && (failure.MayPass || failure.Kind is StageFailures.OpenCircuit or StageFailures.Overloaded or StageFailures.Timeout)
                )
            {
                TimeSpan pause =
                    failure.RetryAfter is { } asked && asked < TimeSpan.FromMinutes(5) ? asked : TimeSpan.FromSeconds(1 << tried);
                await Task.Delay(pause, cancel).ConfigureAwait(false);
            }
    }

    // What a record keeps of an answer.
    private readonly record struct StageRecord(
        string Text,
        ConfidenceFeatures Features,
        bool Ended,
        int Tokens,
        double Cost,
        double? Seconds
    )
    {
        public ServerIdentity? Server { get; init; }

        public static StageRecord From(StageReply reply, bool times) =>
            new(reply.Text, reply.Features, reply.Ended, reply.CompletionTokens, reply.Cost, times ? reply.Seconds : null)
            {
                Server = reply.Server,
            };
    }

    private static KeyValuePair<string, JsonElement> ServerField(ServerIdentity server) =>
        Field(
            ServerFingerprint.Field,
            new
            {
                model = server.Model,
                version = server.Version,
                log_probabilities = server.HasLogProbabilities,
            }
        );

    private static IEnumerable<TraceRecord> Ask(
        Cascade cascade,
        IReadOnlyList<(Query Query, string Split)> queries,
        int from,
        int count,
        CancellationToken cancel
    )
    {
        int[][] prompts = [.. Enumerable.Range(from, count).Select(i => cascade.EncodePrompt(queries[i].Query.Prompt))];
        var answers = new Generation[cascade.Models.Count][];
        // The largest model takes about half of the work, so it starts first.
        Parallel.For(0, cascade.Models.Count, new ParallelOptions { CancellationToken = cancel }, i =>
        {
            int stage = cascade.Models.Count - 1 - i;
            answers[stage] = cascade.Decoder(stage).DecodeAll(prompts, cancel: cancel);
        });
        return Enumerable
            .Range(0, count)
            .Select(i =>
                Record(
                    cascade,
                    queries[from + i],
                    prompts[i].Length,
                    [
                        .. answers.Select(
                            (stage, k) =>
                                new StageRecord(
                                    cascade.Tokenizer.Decode(stage[i].Tokens),
                                    stage[i].Features,
                                    stage[i].Ended,
                                    stage[i].Features.Length,
                                    cascade.File.Stages[k].CostOf(prompts[i].Length, stage[i].Features.Length),
                                    null
                                )
                        ),
                    ]
                )
            );
    }

    private static TraceRecord Record(Cascade cascade, (Query Query, string Split) asked, int promptTokens, StageRecord[] answers)
    {
        var (query, split) = asked;
        var stages = answers.Select(
            (answer, k) =>
            {
                string text = answer.Text;
                var signals = ConfidenceFeatures
                    .Names.Zip(answer.Features.ToVector(), (name, value) => KeyValuePair.Create(name, (float)value))
                    .ToDictionary();
                return new TraceStage(
                    cascade.File.Stages[k].Name,
                    answer.Cost,
                    cascade.Stages[k].Confidence == ConfidenceSource.None
                        ? null
                        : Math.Round(Math.Clamp(answer.Features.RawConfidence, 0, 1), 6),
                    answer.Ended ? query.Grade(text) : 0
                )
                {
                    Extra =
                    [
                        Field("answer", cascade.File.Tasks.ExtractAnswer(text) ?? ""),
                        Field("text", text),
                        Field("tokens", answer.Tokens),
                        Field("signals", signals),
                        .. answer.Seconds is { } seconds
                            ? (KeyValuePair<string, JsonElement>[])[Field("seconds", Math.Round(seconds, 6))]
                            : [],
                        .. answer.Ended ? (KeyValuePair<string, JsonElement>[])[] : [Field(CascadeRecords.CutField, true)],
                        .. answer.Server is { } server ? [ServerField(server)] : (KeyValuePair<string, JsonElement>[])[],
                    ],
                };
            }
        );
        return new TraceRecord(query.Id, cascade.File.Name, split, [.. stages])
        {
            Extra =
            [
                Field("prompt_tokens", promptTokens),
                Field("family", query.Family),
                Field("level", query.Level),
                Field("prompt", query.Prompt),
                Field("reference", query.Answer),
            ],
        };
    }

    private static KeyValuePair<string, JsonElement> Field<T>(string name, T value) => new(name, JsonSerializer.SerializeToElement(value));

    // Checks that the whole lines are these queries of this cascade, and cuts a torn last line off. Nothing is cut from a
    // file of something else: the torn line must begin as the next record does. Leaves the file at its end.
    private static int Resume(FileStream file, string path, IReadOnlyList<(Query Query, string Split)> queries, Cascade cascade)
    {
        var (end, torn) = WholeLines(file);
        string models = Models(cascade.File.Stages.Select(stage => (stage.Name, stage.Price is null ? (double?)stage.Cost : null)));
        int done = 0;
        file.Position = 0;
        foreach (TraceRecord record in TraceReader.ReadRecords(file, end, path))
        {
            if (done == queries.Count)
                throw TooMany();
            var (query, split) = queries[done++];
            string recorded = Models(
                record.Stages.Zip(cascade.File.Stages, (own, stage) => (own.Model, stage.Price is null ? (double?)own.Cost : null))
            );
            bool same =
                record.Id == query.Id
                && record.Split == split
                && recorded == models
                && record.Extra.Any(field =>
                    field.Key == "prompt" && field.Value.ValueKind == JsonValueKind.String && field.Value.ValueEquals(query.Prompt)
                );
            if (!same)
                throw new ToolkitException(
                    $"{path}:{done}: expected query '{query.Id}' ({query.Prompt}) of {models}, got '{record.Id}' of {recorded}; it is of another run, choose another folder or remove it"
                );
        }
        if (torn.Length > 0)
        {
            if (done == queries.Count)
                throw TooMany();
            byte[] start = Encoding.UTF8.GetBytes($"{{\"id\":\"{queries[done].Query.Id}\",");
            int known = Math.Min(torn.Length, start.Length);
            if (!torn.AsSpan(0, known).SequenceEqual(start.AsSpan(0, known)))
                throw new ToolkitException(
                    $"{path}:{done + 1}: expected query '{queries[done].Query.Id}', got a line that no run wrote; it is of something else, choose another file or remove it"
                );
            file.SetLength(end);
        }
        file.Position = end;
        return done;

        ToolkitException TooMany() =>
            new(
                $"{path}:{queries.Count + 1}: expected {queries.Count} records, got more; it is of another run, choose another folder or remove it"
            );
    }

    private static string Models(IEnumerable<(string Name, double? Cost)> stages) =>
        string.Join(
            ", ",
            stages.Select(stage => stage.Cost is { } cost ? FormattableString.Invariant($"{stage.Name} (cost {cost})") : stage.Name)
        );

    // Where the last line that ends does so, and the first bytes of what comes after. A device has no length and no lines.
    private static (long End, byte[] Torn) WholeLines(FileStream file)
    {
        var block = new byte[1 << 16];
        long end = 0,
            position = 0,
            length = file.Length;
        while (position < length && file.Read(block) is > 0 and int read)
        {
            if (block.AsSpan(0, read).LastIndexOf((byte)'\n') is >= 0 and int last)
                end = position + last + 1;
            position += read;
        }
        var torn = new byte[Math.Min(256, position - end)];
        file.Position = end;
        file.ReadExactly(torn);
        return (end, torn);
    }
}
