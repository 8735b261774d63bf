using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// LLMRouterBench: `DATASET/SPLIT/MODEL/TIME.json` with records of index, score and cost. Queries are joined by dataset and index. Its
/// scores say how good an answer was, but nothing how sure the model was.
/// </summary>
internal sealed class LlmRouterBench : ITraceImporter
{
    public string Name => "llmrouterbench";

    public bool Recognizes(string path) => Files(path).FirstOrDefault() is { } file && HasRecords(file);

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        foreach (string file in Files(path))
        {
            DirectoryInfo model = Directory.GetParent(Path.GetFullPath(file))!;
            string dataset = model.Parent?.Parent?.Name ?? "";
            using JsonDocument document = LogJson.Parse(File.ReadAllBytes(file), file, notes);
            if (document.RootElement.At("records") is not { ValueKind: JsonValueKind.Array } records)
                throw new ToolkitException($"{file}: records: expected an array, got none");
            int number = 0;
            foreach (JsonElement record in records.EnumerateArray())
            {
                string place = $"{file}: records[{number++}]";
                yield return new LoggedAnswer(
                    place,
                    record.Text("index") ?? throw new ToolkitException($"{place}: index: expected the query's number, got none"),
                    dataset,
                    model.Name
                )
                {
                    Quality = record.Number("score"),
                    Cost = record.Number("cost"),
                    PromptTokens = (long?)record.Number("prompt_tokens"),
                    AnswerTokens = (long?)record.Number("completion_tokens"),
                };
            }
        }
    }

    private static IEnumerable<string> Files(string path) =>
        Directory.Exists(path) ? Directory.EnumerateFiles(path, "*.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
        : path.EndsWith(".json", StringComparison.Ordinal) && File.Exists(path) ? [path]
        : [];

    private static bool HasRecords(string file)
    {
        using var reader = new StreamReader(file);
        var head = new char[1 << 16];
        string text = new(head, 0, reader.ReadBlock(head));
        return text.Contains("\"records\"", StringComparison.Ordinal) && text.Contains("\"score\"", StringComparison.Ordinal);
    }
}
