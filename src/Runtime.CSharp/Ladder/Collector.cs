using System.Text.Json;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Runtime.Ladder;

/// <summary>
/// Asks every model of a ladder every query and appends what they did to a trace file, one line per query, in the
/// order of the queries. A file that an interrupted run left is gone on with: whole lines stay, a torn last line is
/// asked again. The lines depend on the queries and the models only, not on batches, threads or interruptions.
/// </summary>
public static class Collector
{
    private const int ChunkSize = 256;

    /// <summary>Collects until the file holds every query.</summary>
    /// <param name="progress">Told how many queries are done.</param>
    /// <exception cref="ToolkitException">The file holds a record of something else than these queries.</exception>
    public static void Run(ModelLadder ladder, IReadOnlyList<(Query Query, string Split)> queries, string path,
        IProgress<int>? progress = null, CancellationToken cancel = default)
    {
        int done = Resume(path, queries, ladder);
        progress?.Report(done);
        using TraceWriter writer = TraceWriter.Open(path, append: true);
        while (done < queries.Count)
        {
            int count = Math.Min(ChunkSize, queries.Count - done), from = done;
            int[][] prompts = [.. Enumerable.Range(from, count).Select(i => ladder.Tokenizer.Encode(queries[i].Query.Prompt))];
            var answers = new Generation[ladder.Models.Count][];
            // The largest model takes about half of the work, so it starts first.
            Parallel.For(0, ladder.Models.Count, new ParallelOptions { CancellationToken = cancel }, i =>
            {
                int stage = ladder.Models.Count - 1 - i;
                answers[stage] = ladder.Decoder(stage).DecodeAll(prompts, cancel: cancel);
            });
            for (int i = 0; i < count; i++)
                writer.Write(Record(ladder, queries[from + i], [.. answers.Select(stage => stage[i])]));
            writer.Flush();
            done += count;
            progress?.Report(done);
        }
    }

    private static TraceRecord Record(ModelLadder ladder, (Query Query, string Split) asked, Generation[] answers)
    {
        var (query, split) = asked;
        var stages = answers.Select((answer, k) =>
        {
            string text = ladder.Tokenizer.Decode(answer.Tokens);
            var signals = AnswerSignals.Names.Zip(answer.Signals.ToFeatures(), (name, value) => KeyValuePair.Create(name, (float)value)).ToDictionary();
            return new TraceStage(ladder.File.Stages[k].Name, ladder.File.Stages[k].Cost,
                Math.Round(Math.Clamp(answer.Signals.RawConfidence, 0, 1), 6), answer.Ended ? Grader.Grade(query, text) : 0)
            {
                Extra = [Field("answer", Grader.ExtractAnswer(text) ?? ""), Field("text", text), Field("tokens", answer.Signals.Length), Field("signals", signals)],
            };
        });
        return new TraceRecord(query.Id, ladder.File.Name, split, [.. stages])
        {
            Extra = [Field("family", query.Family), Field("level", query.Level), Field("prompt", query.Prompt), Field("reference", query.Answer)],
        };
    }

    private static KeyValuePair<string, JsonElement> Field<T>(string name, T value) => new(name, JsonSerializer.SerializeToElement(value));

    // Counts the whole lines, checks that they are these queries of this ladder, and cuts a torn last line off.
    private static int Resume(string path, IReadOnlyList<(Query Query, string Split)> queries, ModelLadder ladder)
    {
        if (!System.IO.File.Exists(path)) return 0;
        CutTornLine(path);
        int done = 0;
        foreach (TraceRecord record in TraceReader.ReadRecords(path))
        {
            if (done == queries.Count)
                throw new ToolkitException($"{path}:{done + 1}: expected {queries.Count} records, got more; it is of another run, choose another folder or remove it");
            var (query, split) = queries[done++];
            string models = string.Join(", ", ladder.File.Stages.Select(stage => stage.Name));
            bool same = record.Id == query.Id && record.Split == split
                && record.Extra.Any(field => field.Key == "prompt" && field.Value.ValueEquals(query.Prompt))
                && string.Join(", ", record.Stages.Select(stage => stage.Model)) == models;
            if (!same)
                throw new ToolkitException($"{path}:{done}: expected query '{query.Id}' ({query.Prompt}) of {models}, got '{record.Id}'; it is of another run, choose another folder or remove it");
        }
        return done;
    }

    private static void CutTornLine(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        long end = file.Length;
        var block = new byte[4096];
        while (end > 0)
        {
            int size = (int)Math.Min(block.Length, end);
            file.Position = end - size;
            file.ReadExactly(block, 0, size);
            int newline = Array.LastIndexOf(block, (byte)'\n', size - 1);
            if (newline >= 0)
            {
                end = end - size + newline + 1;
                break;
            }
            end -= size;
        }
        file.SetLength(end);
    }
}
