namespace OptimalStopping.Runtime.Traces.Import;

/// <summary>How logs of other tools are read, and what they do not tell.</summary>
public sealed record ImportOptions
{
    /// <summary>Name of the format (<see cref="TraceImport.Formats"/>); null to look at the files.</summary>
    public string? Format { get; init; }

    /// <summary>Cost of one answer of a model, by its name; it stands for whatever the log says.</summary>
    public IReadOnlyDictionary<string, double> Costs { get; init; } = new Dictionary<string, double>();

    /// <summary>Price of a million tokens of a model, of the prompt and of the answer, for logs that count tokens.</summary>
    public IReadOnlyDictionary<string, (double Prompt, double Answer)> Prices { get; init; } = new Dictionary<string, (double, double)>();

    /// <summary>Only these models; null for all.</summary>
    public IReadOnlyCollection<string>? Models { get; init; }

    /// <summary>The metric or score that is the quality; null for the log's first.</summary>
    public string? Metric { get; init; }

    /// <summary>lm-evaluation-harness: the filter whose lines count; null for the first of each file.</summary>
    public string? Filter { get; init; }

    /// <summary>A file with a reference answer or a quality for each query, for logs without scores.</summary>
    public string? References { get; init; }

    /// <summary>CSV: which column holds what (id, model, cost, quality, confidence, dataset, answer), where its name is another.</summary>
    public IReadOnlyDictionary<string, string> Columns { get; init; } = new Dictionary<string, string>();
}

/// <summary>One model's answer to one query, as a log tells it. What the log does not tell is null.</summary>
/// <param name="Place">Where it stands, for messages: file:line or file and key.</param>
/// <param name="Query">Name of the query; the same for all models.</param>
/// <param name="Dataset">Where the query comes from; may be empty.</param>
/// <param name="Model">Name of the model.</param>
internal sealed record LoggedAnswer(string Place, string Query, string Dataset, string Model)
{
    public double? Cost { get; init; }
    public double? Confidence { get; init; }
    public double? Quality { get; init; }
    public long? PromptTokens { get; init; }
    public long? AnswerTokens { get; init; }

    /// <summary>The text, where a reference may have to grade it.</summary>
    public string? Text { get; init; }
}

/// <summary>One format of logs.</summary>
internal interface ITraceImporter
{
    /// <summary>Name on the command line.</summary>
    string Name { get; }

    /// <summary>Whether a file or folder looks like this format; must not throw for one that exists.</summary>
    bool Recognizes(string path);

    /// <summary>The answers in a file or folder, in the order of the log.</summary>
    IEnumerable<LoggedAnswer> Read(string path, ImportOptions options, ImportNotes notes);
}
