using System.Text.RegularExpressions;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>
/// Where a cascade's queries come from, as its file says under <c>tasks</c> and <c>data</c>: the nano families, which are
/// generated, or files of the user's.
/// </summary>
/// <param name="Kind">nano, miniature, gsm8k, mmlu or jsonl.</param>
/// <param name="Path">
/// The file, as a full path (mmlu: also a folder of csv files; miniature: the folder of the knowledge); null for nano.
/// </param>
/// <param name="CalibrationPath">Where calibration queries come from, when not from <paramref name="Path"/>.</param>
/// <param name="PromptField">jsonl: the field with the question.</param>
/// <param name="ReferenceField">jsonl: the field with the right answer.</param>
/// <param name="Grading">How answers are graded.</param>
/// <param name="Pattern">regex: finds the answer in a text; its first group is compared (the whole match without groups).</param>
/// <param name="Instruction">Text put before each question, or null.</param>
public sealed record TaskSource(
    string Kind,
    string? Path,
    string? CalibrationPath,
    string PromptField,
    string ReferenceField,
    Grading Grading,
    string? Pattern,
    string? Instruction
)
{
    /// <summary>miniature: the test asks for every fact and explanation alike, so mostly for rare ones, not by popularity.</summary>
    public bool FlatTest { get; init; }

    /// <summary>The generated families of the embedded cascade.</summary>
    public static TaskSource Nano { get; } = new("nano", null, null, "", "", Grading.Marked, null, null);

    private AnswerGrader? _grader;

    /// <summary>The final answer in a text that a model wrote, or null where it gives none.</summary>
    public string? ExtractAnswer(string text) => (_grader ??= new AnswerGrader(Grading, Pattern)).Extract(text);

    private static readonly string[] Kinds = ["nano", "miniature", "gsm8k", "mmlu", "jsonl"];

    /// <summary>Reads <c>tasks</c> and <c>data</c> of a cascade file.</summary>
    /// <exception cref="ToolkitException">With file, line, key, what was expected and what was got.</exception>
    public static TaskSource Read(YamlMap root, string folder)
    {
        string kind = root.TextOr("tasks", "nano");
        if (!Kinds.Contains(kind))
            throw root.Error("tasks", string.Join(", ", Kinds[..^1]) + " or " + Kinds[^1], $"'{kind}'");
        if (kind == "nano")
        {
            if (root.Has("data"))
                throw root.Error("data", "no data with tasks: nano, which are generated", "data");
            return Nano;
        }
        if (!root.Has("data"))
            throw root.Error("data", $"the files of tasks '{kind}'", "nothing");
        YamlMap data = root.Map("data");
        string path = System.IO.Path.GetFullPath(data.Text("path"), folder),
            calibration = data.TextOr("calibration", "");
        string? instruction = data.Has("instruction") ? data.Text("instruction") : null;
        TaskSource source = new(
            kind,
            path,
            calibration == "" ? null : System.IO.Path.GetFullPath(calibration, folder),
            "question",
            "answer",
            kind switch
            {
                "mmlu" => Grading.Choice,
                "miniature" => Grading.Exact, // each question brings its own grader; answers are compared as texts
                _ => Grading.Numeric,
            },
            null,
            instruction
        );
        if (kind == "jsonl")
            source = ReadGrading(data, source);
        if (kind == "miniature" && data.Has("test"))
            source = source with { FlatTest = ReadFlat(data) };
        data.RejectUnknown();
        return source;
    }

    private static bool ReadFlat(YamlMap data) =>
        data.Text("test") switch
        {
            "popular" => false,
            "flat" => true,
            var other => throw data.Error("test", "popular or flat", $"'{other}'"),
        };

    private static TaskSource ReadGrading(YamlMap data, TaskSource source)
    {
        string name = data.TextOr("grading", "exact");
        if (
            !Enum.TryParse(name, ignoreCase: true, out Grading grading)
            || !Enum.IsDefined(grading)
            || grading is Grading.Key or Grading.Agreement or Grading.Marked // of generated questions
            || name.Any(char.IsUpper)
            || char.IsDigit(name[0])
        )
            throw data.Error("grading", "exact, numeric, choice or regex", $"'{name}'");
        string? pattern = null;
        if (grading == Grading.Regex)
        {
            pattern = data.Text("pattern");
            try
            {
                _ = new Regex(pattern, AnswerGrader.PatternOptions, AnswerGrader.PatternTimeout);
            }
            catch (Exception fault) when (fault is ArgumentException or NotSupportedException)
            {
                throw data.Error(
                    "pattern",
                    "a regular expression without look-around and back-references",
                    $"'{pattern}' ({fault.Message.ReplaceLineEndings(" ")})"
                );
            }
        }
        return source with
        {
            PromptField = data.TextOr("prompt", "prompt"),
            ReferenceField = data.TextOr("reference", "reference"),
            Grading = grading,
            Pattern = pattern,
        };
    }
}
