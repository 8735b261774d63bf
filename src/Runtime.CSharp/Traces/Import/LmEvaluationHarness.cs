using System.Text.Json;
using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// lm-evaluation-harness with --log_samples: `OUT/MODEL/samples_TASK_DATE.jsonl`, a line for each document and filter. The model is
/// the folder; queries are joined by doc_hash. Multiple choice: the confidence is the probability of the likeliest option, from the
/// options' log-likelihoods in filtered_resps.
/// </summary>
internal sealed partial class LmEvaluationHarness : ITraceImporter
{
    public string Name => "lm-eval";

    [GeneratedRegex(@"^samples_(?<task>.+?)_\d{4}-\d\d-\d\dT[^/]*\.jsonl(\.gz)?$")]
    private static partial Regex SamplesName();

    public bool Recognizes(string path) =>
        Directory.Exists(path)
            ? Files(path).Length > 0
            : SamplesName().IsMatch(Path.GetFileName(path)) && LogJson.FirstObject(path)?.At("doc_hash") is not null;

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        foreach (string file in Directory.Exists(path) ? Files(path) : [path])
        {
            string model = Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(file))) ?? "model";
            Match name = SamplesName().Match(Path.GetFileName(file));
            string task = name.Success ? name.Groups["task"].Value : Path.GetFileNameWithoutExtension(file);
            string? filter = options.Filter;
            foreach ((string place, JsonElement line) in LogJson.Lines(file, notes))
            {
                string own = line.Text("filter") ?? "none";
                filter ??= own;
                if (own != filter)
                {
                    notes.Add($"lines of other filters than '{filter}' are left out; --filter chooses", place);
                    continue;
                }
                string id = line.Text("doc_hash")
                    ?? throw new ToolkitException($"{place}: doc_hash: expected the document's hash, by which models are joined, got none");
                yield return new LoggedAnswer(place, id, task, model)
                {
                    Quality = Metric(line, options.Metric, place),
                    Confidence = Likeliest(line),
                    Text =
                        line.At("filtered_resps") is { ValueKind: JsonValueKind.Array } answers && answers.GetArrayLength() > 0
                            ? answers[0].ValueKind == JsonValueKind.String
                                ? answers[0].GetString()
                                : null
                            : null,
                };
            }
        }
    }

    private static string[] Files(string folder) =>
        [
            .. Directory
                .EnumerateFiles(folder, "samples_*.jsonl*", SearchOption.AllDirectories)
                .Where(file => SamplesName().IsMatch(Path.GetFileName(file)))
                .Order(StringComparer.Ordinal),
        ];

    private static double? Metric(JsonElement line, string? wanted, string place)
    {
        string? metric = wanted;
        if (metric is null && line.At("metrics") is { ValueKind: JsonValueKind.Array } names && names.GetArrayLength() > 0)
            metric = names[0].GetString();
        if (metric is null)
            throw new ToolkitException($"{place}: metrics: expected the names of the metrics, got none; --metric NAME names one");
        return line.TryGetProperty(metric, out JsonElement value)
            ? LogJson.Number(value)
            : throw new ToolkitException($"{place}: {metric}: expected the metric that --metric or 'metrics' names, got none");
    }

    // filtered_resps of multiple choice: [["-1.23", "False"], ...], one pair of log-likelihood and greediness for each option.
    private static double? Likeliest(JsonElement line)
    {
        if (line.At("filtered_resps") is not { ValueKind: JsonValueKind.Array } options || options.GetArrayLength() < 2)
            return null;
        var scores = new List<double>();
        foreach (JsonElement option in options.EnumerateArray())
        {
            if (option.ValueKind != JsonValueKind.Array || option.GetArrayLength() != 2 || LogJson.Number(option[0]) is not { } score)
                return null;
            scores.Add(score);
        }
        double most = scores.Max();
        return 1 / scores.Sum(score => Math.Exp(score - most));
    }
}
