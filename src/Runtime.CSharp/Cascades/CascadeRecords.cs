using System.Text.Json;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>One recorded query with the confidence features of every stage.</summary>
public sealed record CascadeRecord(
    string Split,
    string Family,
    int Level,
    double[] Cost,
    double[] Quality,
    string[] Answer,
    ConfidenceFeatures[] Features
)
{
    /// <summary>Stages whose answer the limit of tokens cut short: they have confidence 0, as they have live.</summary>
    public IReadOnlySet<int> Cut { get; init; } = new HashSet<int>();

    /// <summary>The question; null where the record does not tell.</summary>
    public string? Prompt { get; init; }
}

/// <summary>The records that <see cref="Collector"/> wrote, in memory, and their form for the stopping policies.</summary>
public sealed record CascadeRecords(IReadOnlyList<string> Models, IReadOnlyList<CascadeRecord> Records)
{
    public const string Calibration = "calibration",
        Test = "test";

    internal const string CutField = "cut";

    /// <summary>Lines whose id an earlier line has; see <see cref="TraceTable.RepeatedIds"/>.</summary>
    public int RepeatedIds { get; init; }

    /// <summary>Reads a file of records with confidence features.</summary>
    /// <exception cref="ToolkitException">A line is malformed, or lacks the fields that a collected record has.</exception>
    public static CascadeRecords Load(string path)
    {
        var records = new List<CascadeRecord>();
        string[] models = [];
        int line = 0,
            repeated = 0;
        var ids = new HashSet<string>();
        foreach (TraceRecord trace in TraceReader.ReadRecords(path))
        {
            line++;
            if (!ids.Add(trace.Id))
                repeated++;
            if (records.Count == 0)
            {
                models = [.. trace.Stages.Select(stage => stage.Model)];
            }
            string[] own = [.. trace.Stages.Select(stage => stage.Model)];
            if (!own.SequenceEqual(models))
                throw new ToolkitException(
                    $"{path}:{line}: key 'stages': expected {string.Join(", ", models)} as on the first line, got {string.Join(", ", own)}"
                );
            records.Add(
                new CascadeRecord(
                    trace.Split,
                    Text(trace.Extra, "family"),
                    (int)Number(trace.Extra, "level"),
                    [.. trace.Stages.Select(stage => stage.Cost)],
                    [.. trace.Stages.Select(stage => stage.Quality)],
                    [.. trace.Stages.Select(stage => Text(stage.Extra, "answer"))],
                    [.. trace.Stages.Select(stage => Features(stage.Extra))]
                )
                {
                    Prompt = trace.Extra.FirstOrDefault(field => field.Key == "prompt") is { Value.ValueKind: JsonValueKind.String } prompt
                        ? prompt.Value.GetString()
                        : null,
                    Cut = trace
                        .Stages.Index()
                        .Where(stage => stage.Item.Extra.Any(field => field.Key == CutField && field.Value.ValueKind == JsonValueKind.True))
                        .Select(stage => stage.Index)
                        .ToHashSet(),
                }
            );
        }
        if (records.Count == 0)
            throw new ToolkitException($"{path}: expected at least one record, got none");
        if (models.Length < 2)
            throw new ToolkitException($"{path}: expected at least 2 models, got {models.Length} ({string.Join(", ", models)})");
        return new CascadeRecords(models, records) { RepeatedIds = repeated };

        JsonElement Field(IReadOnlyList<KeyValuePair<string, JsonElement>> extra, string key, JsonValueKind kind)
        {
            foreach (var (name, value) in extra)
                if (name == key && value.ValueKind == kind)
                    return value;
            throw new ToolkitException(
                $"{path}:{line}: key '{key}': expected a {kind.ToString().ToLowerInvariant()} as 'toolkit collect' writes it, got none"
            );
        }
        string Text(IReadOnlyList<KeyValuePair<string, JsonElement>> extra, string key) =>
            Field(extra, key, JsonValueKind.String).GetString()!;
        double Number(IReadOnlyList<KeyValuePair<string, JsonElement>> extra, string key) =>
            Field(extra, key, JsonValueKind.Number).GetDouble();
        ConfidenceFeatures Features(IReadOnlyList<KeyValuePair<string, JsonElement>> extra)
        {
            List<KeyValuePair<string, JsonElement>> signals =
            [
                .. Field(extra, "signals", JsonValueKind.Object).EnumerateObject().Select(p => KeyValuePair.Create(p.Name, p.Value)),
            ];
            return ConfidenceFeatures.FromVector([.. ConfidenceFeatures.Names.Select(name => Number(signals, name))]);
        }
    }

    /// <summary>Whether the first line of a trace file holds what `toolkit collect` writes: confidence features of every stage.</summary>
    public static bool AreIn(string path) =>
        TraceReader.ReadRecords(path).FirstOrDefault() is { } first
        && first.Extra.Any(field => field.Key == "family")
        && first.Stages.All(stage => stage.Extra.Any(field => field.Key == "signals"));

    /// <summary>What else a trace file records of its queries and answers, with the stages in the given order; null for nothing.</summary>
    public static TraceFeatures? FeaturesOf(string path, IReadOnlyList<string> models)
    {
        TraceTable table = TraceReader.ReadTable(path);
        int[] from = [.. models.Select(model => table.Models.ToList().IndexOf(model))];
        return table.Features?.Reordered(from);
    }

    /// <summary>The records of one split, in their order.</summary>
    public CascadeRecords Of(string split) => this with { Records = [.. Records.Where(record => record.Split == split)] };

    /// <summary>What tells questions that are unlike all of these; null where the texts are missing, or too few.</summary>
    public Familiarity? FitFamiliarity() => Familiarity.Fit([.. Records.Select(record => record.Prompt).OfType<string>()]);

    /// <summary>
    /// The questions' texts and the confidence features of all answers, as a live cascade would tell them; null where a record
    /// lacks its question.
    /// </summary>
    public TraceFeatures? ToFeatures() =>
        Records.Any(record => record.Prompt is null)
            ? null
            : TraceFeatures.From(
                [.. Records.Select(record => record.Prompt!)],
                [.. ConfidenceFeatures.Names],
                [.. Records.SelectMany(record => record.Features).SelectMany(answer => answer.ToVector()).Select(value => (float)value)]
            );

    /// <summary>The arrays that policies are fitted on and replayed on, with confidences and answer labels.</summary>
    /// <param name="confidenceOf">From a stage and the features of its answer to a confidence in [0,1]: calibrated, or as recorded.</param>
    public RecordedCascade ToRecordedCascade(Func<int, ConfidenceFeatures, double> confidenceOf)
    {
        int stages = Models.Count;
        double[] cost = new double[Records.Count * stages],
            confidence = new double[cost.Length],
            quality = new double[cost.Length];
        var answer = new int[cost.Length];
        for (int q = 0; q < Records.Count; q++)
        for (int k = 0; k < stages; k++)
        {
            int i = q * stages + k;
            cost[i] = Records[q].Cost[k];
            confidence[i] = Records[q].Cut.Contains(k) ? 0 : confidenceOf(k, Records[q].Features[k]);
            quality[i] = Records[q].Quality[k];
            // The label of an answer is the first stage that gave it.
            answer[i] = Array.IndexOf(Records[q].Answer, Records[q].Answer[k]);
        }
        return RecordedCascade.Create(Records.Count, stages, cost, confidence, quality, answer, 0, []);
    }
}
