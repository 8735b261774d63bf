using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// LiteLLM's spend logs as JSON lines: one model a query, with its cost. Quality comes from references by trace_id, or by id where
/// there is none.
/// </summary>
internal sealed class LiteLlm : ITraceImporter
{
    public string Name => "litellm";

    public bool Recognizes(string path) =>
        File.Exists(path)
        && LogJson.FirstObject(path) is { } first
        && first.At("response_cost") is not null
        && first.At("model") is not null;

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        foreach ((string place, JsonElement line) in LogJson.Lines(path, notes))
        {
            if (line.Text("status") is "failure")
            {
                notes.Add("requests that failed are left out", place);
                continue;
            }
            yield return new LoggedAnswer(
                place,
                line.Text("trace_id") ?? line.Text("id") ?? throw new ToolkitException($"{place}: id: expected the request's id, got none"),
                "",
                line.Text("model_group") is { Length: > 0 } group ? group : line.Text("model")!
            )
            {
                Cost = line.Number("response_cost"),
                PromptTokens = (long?)line.Number("prompt_tokens"),
                AnswerTokens = (long?)line.Number("completion_tokens"),
                Text =
                    line.At("response", "choices") is { ValueKind: JsonValueKind.Array } choices && choices.GetArrayLength() > 0
                        ? choices[0].At("message")?.Text("content")
                        : null,
            };
        }
    }
}

/// <summary>
/// A Langfuse export: a folder with `observations*` and `scores*` (files or folders of JSON lines). An observation is one answer; its
/// quality is the score of the observation, or else of its trace, in [0,1].
/// </summary>
internal sealed class Langfuse : ITraceImporter
{
    public string Name => "langfuse";

    public bool Recognizes(string path) => Directory.Exists(path) && Files(path, "observations").Any() && Files(path, "scores").Any();

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        var scores = new Dictionary<string, double>();
        foreach (string file in Files(path, "scores"))
        foreach ((string place, JsonElement line) in LogJson.Lines(file, notes))
        {
            if (options.Metric is not null && line.Text("name") != options.Metric)
                continue;
            string? of = line.Text("observation_id") ?? line.Text("trace_id");
            if (of is null || line.Number("value") is not { } value)
                notes.Add("scores without a number or an id are left out", place);
            else if (!scores.TryAdd(of, value))
                notes.Add("second scores of the same answer are left out; --metric chooses one by name", place);
        }
        foreach (string file in Files(path, "observations"))
        foreach ((string place, JsonElement line) in LogJson.Lines(file, notes))
        {
            if (line.Text("provided_model_name") is not { Length: > 0 } model)
            {
                notes.Add("observations without a model are left out", place);
                continue;
            }
            string id = line.Text("id") ?? throw new ToolkitException($"{place}: id: expected the observation's id, got none");
            string trace = line.Text("trace_id") ?? id;
            yield return new LoggedAnswer(place, trace, "", model)
            {
                Cost = line.Number("total_cost"),
                Quality =
                    scores.TryGetValue(id, out double own) ? own
                    : scores.TryGetValue(trace, out double whole) ? whole
                    : null,
                PromptTokens = (long?)line.At("usage_details")?.Number("input"),
                AnswerTokens = (long?)line.At("usage_details")?.Number("output"),
                Text = line.Text("output"),
            };
        }
    }

    private static IEnumerable<string> Files(string folder, string name) =>
        Directory
            .EnumerateFiles(folder, "*.jsonl*", SearchOption.AllDirectories)
            .Where(file => Path.GetRelativePath(folder, file).StartsWith(name, StringComparison.Ordinal))
            .Order(StringComparer.Ordinal);
}
