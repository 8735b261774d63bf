using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// The output of OpenAI's Batch interface and of vLLM's run_batch: a line for each request, joined by custom_id. It holds no
/// scores: the references grade the texts. The confidence is the geometric mean of the token probabilities, where they were asked for.
/// </summary>
internal sealed class BatchOutput : ITraceImporter
{
    public string Name => "batch";

    public bool Recognizes(string path) =>
        File.Exists(path)
        && LogJson.FirstObject(path) is { } first
        && first.At("custom_id") is not null
        && first.At("response") is not null;

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        foreach ((string place, JsonElement line) in LogJson.Lines(path, notes))
        {
            string id = line.Text("custom_id") ?? throw new ToolkitException($"{place}: custom_id: expected the query's name, got none");
            if (
                line.At("response", "body") is not { ValueKind: JsonValueKind.Object } body
                || line.At("response")?.Number("status_code") is >= 400
            )
            {
                notes.Add("requests that failed are left out", place);
                continue;
            }
            if (body.At("choices") is not { ValueKind: JsonValueKind.Array } choices || choices.GetArrayLength() == 0)
                throw new ToolkitException($"{place}: response.body.choices: expected an answer, got none");
            yield return new LoggedAnswer(place, id, "", body.Text("model") ?? Path.GetFileNameWithoutExtension(path))
            {
                Text = choices[0].At("message")?.Text("content") ?? choices[0].Text("text"),
                Confidence = LogJson.Confidence(choices[0], place, notes),
                PromptTokens = (long?)body.At("usage")?.Number("prompt_tokens"),
                AnswerTokens = (long?)body.At("usage")?.Number("completion_tokens"),
            };
        }
    }
}
