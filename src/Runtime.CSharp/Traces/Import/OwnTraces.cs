using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>Trace files of the toolkit, plain or gzipped: for a choice of models, other costs, or several files in one.</summary>
internal sealed class OwnTraces : ITraceImporter
{
    public string Name => "traces";

    public bool Recognizes(string path) => File.Exists(path) && LogJson.FirstObject(path)?.At("stages") is not null;

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        foreach ((string place, JsonElement line) in LogJson.Lines(path, notes))
        {
            string id = line.Text("id") ?? throw new ToolkitException($"{place}: id: expected a string, got none");
            if (line.At("stages") is not { ValueKind: JsonValueKind.Array } stages)
                throw new ToolkitException($"{place}: stages: expected an array, got none");
            foreach (JsonElement stage in stages.EnumerateArray())
                yield return new LoggedAnswer(
                    place,
                    id,
                    line.Text("dataset") ?? "",
                    stage.Text("model") ?? throw new ToolkitException($"{place}: stages.model: expected a string, got none")
                )
                {
                    Cost = stage.Number("cost"),
                    Confidence = stage.Number("confidence"),
                    Quality = stage.Number("quality"),
                    Text = stage.Text("answer"),
                };
        }
    }
}
