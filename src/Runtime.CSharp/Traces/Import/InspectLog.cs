using System.IO.Compression;
using System.Text.Json;

namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>
/// Inspect: an `.eval` file (a zip with header.json and samples/*.json) or its JSON. The quality is a score ("C" 1, "P" 0.5, "I" and
/// "N" 0, or a number), the confidence the geometric mean of the token probabilities, the cost the model's total_cost. Of
/// repeated epochs the first counts.
/// </summary>
internal sealed class InspectLog : ITraceImporter
{
    public string Name => "inspect";

    public bool Recognizes(string path) =>
        Directory.Exists(path)
            ? Directory.EnumerateFiles(path, "*.eval").Any()
            : path.EndsWith(".eval", StringComparison.Ordinal) || IsJson(path);

    public IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes)
    {
        foreach (
            string file in Directory.Exists(path) ? [.. Directory.GetFiles(path, "*.eval").Order(StringComparer.Ordinal)] : new[] { path }
        )
        foreach (LoggedAnswer answer in IsZip(file) ? ReadZip(file, options, notes) : ReadJson(file, options, notes))
            yield return answer;
    }

    private static IEnumerable<LoggedAnswer> ReadZip(string file, ImportOptions options, ImportNotes notes)
    {
        using ZipArchive zip = OpenZip(file);
        ZipArchiveEntry header = zip.GetEntry("header.json")
            ?? zip.GetEntry("_journal/start.json")
            ?? throw new ToolkitException($"{file}: expected header.json in the zip, got none");
        using JsonDocument head = LogJson.Parse(Bytes(header, file), $"{file}: {header.FullName}", notes);
        foreach (ZipArchiveEntry entry in zip.Entries.Where(e => e.FullName.StartsWith("samples/", StringComparison.Ordinal)))
        {
            string place = $"{file}: {entry.FullName}";
            using JsonDocument sample = LogJson.Parse(Bytes(entry, file), place, notes);
            if (Sample(sample.RootElement, head.RootElement, place, options, notes) is { } answer)
                yield return answer;
        }
    }

    private static IEnumerable<LoggedAnswer> ReadJson(string file, ImportOptions options, ImportNotes notes)
    {
        using var memory = new MemoryStream();
        using (Stream stream = LogJson.OpenPlain(file))
            stream.CopyTo(memory);
        using JsonDocument log = LogJson.Parse(memory.ToArray(), file, notes);
        if (log.RootElement.At("samples") is not { ValueKind: JsonValueKind.Array } samples)
            throw new ToolkitException($"{file}: samples: expected an array, got none");
        int number = 0;
        foreach (JsonElement sample in samples.EnumerateArray())
            if (Sample(sample, log.RootElement, $"{file}: samples[{number++}]", options, notes) is { } answer)
                yield return answer;
    }

    private static LoggedAnswer? Sample(JsonElement sample, JsonElement header, string place, ImportOptions options, ImportNotes notes)
    {
        string model = header.At("eval")?.Text("model")
            ?? throw new ToolkitException($"{place}: eval.model: expected the model's name, got none");
        string id = sample.Text("id") ?? throw new ToolkitException($"{place}: id: expected the sample's id, got none");
        if (sample.Number("epoch") is > 1)
        {
            notes.Add("samples of later epochs are left out", place);
            return null;
        }
        JsonElement? choice =
            sample.At("output", "choices") is { ValueKind: JsonValueKind.Array } choices && choices.GetArrayLength() > 0
                ? choices[0]
                : null;
        JsonElement? usage = sample.At("model_usage", model);
        return new LoggedAnswer(place, id, header.At("eval")?.Text("task") ?? "", model)
        {
            Quality = Score(sample, options.Metric, place),
            Confidence = choice is { } c ? LogJson.Confidence(c, place, notes) : null,
            Cost = usage?.Number("total_cost"),
            PromptTokens = (long?)usage?.Number("input_tokens"),
            AnswerTokens = (long?)usage?.Number("output_tokens"),
            Text = choice?.At("message")?.Text("content"),
        };
    }

    private static double? Score(JsonElement sample, string? metric, string place)
    {
        if (sample.At("scores") is not { ValueKind: JsonValueKind.Object } scores)
            return null;
        foreach (JsonProperty score in scores.EnumerateObject())
        {
            if (metric is not null && score.Name != metric)
                continue;
            return score.Value.Text("value") switch
            {
                null or "" => null,
                "C" => 1,
                "P" => 0.5,
                "I" or "N" => 0,
                _ => score.Value.Number("value")
                    ?? throw new ToolkitException(
                        $"{place}: scores.{score.Name}.value: expected C, P, I, N or a number, got {TraceError.Shorten(score.Value.Text("value")!)}"
                    ),
            };
        }
        return metric is null
            ? null
            : throw new ToolkitException(
                $"{place}: scores.{metric}: expected the score that --metric names, got {string.Join(", ", scores.EnumerateObject().Select(s => s.Name))}"
            );
    }

    private static bool IsZip(string path)
    {
        using FileStream file = File.OpenRead(path);
        return file.ReadByte() == 'P' && file.ReadByte() == 'K';
    }

    private static bool IsJson(string path)
    {
        // Inspect's JSON is one object over many lines; its first keys are version, status, eval.
        if (!path.EndsWith(".json", StringComparison.Ordinal))
            return false;
        using var reader = new StreamReader(path);
        var head = new char[4096];
        string text = new(head, 0, reader.ReadBlock(head));
        return text.Contains("\"eval\"", StringComparison.Ordinal) && text.Contains("\"status\"", StringComparison.Ordinal);
    }

    private static ZipArchive OpenZip(string file)
    {
        try
        {
            return ZipFile.OpenRead(file);
        }
        catch (InvalidDataException fault)
        {
            throw new ToolkitException($"{file}: expected a zip, got: {TraceError.Shorten(fault.Message)}", fault);
        }
    }

    private static byte[] Bytes(ZipArchiveEntry entry, string file)
    {
        const long most = 1L << 30;
        if (entry.Length > most)
            throw new ToolkitException($"{file}: {entry.FullName}: expected at most {most} bytes, got {entry.Length}");
        using Stream stream = entry.Open();
        using var memory = new MemoryStream();
        stream.CopyTo(memory);
        return memory.ToArray();
    }
}
