using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// The YAML file that describes a cascade: its models from the cheapest to the largest, where they are, what an answer
/// of each costs, and which queries calibrate and test it.
/// </summary>
public sealed record CascadeFile(
    string File,
    string Name,
    IReadOnlyList<CascadeStage> Stages,
    string? CalibrationTrace,
    bool Recall,
    int MaxTokens,
    int CalibrationQueries,
    int TestQueries
)
{
    /// <summary>Where the queries come from.</summary>
    public TaskSource Tasks { get; init; } = TaskSource.Nano;

    /// <summary>How a question becomes a prompt: as it is, or as a turn of a Qwen3 chat.</summary>
    public ChatMode Chat { get; init; } = ChatMode.None;

    /// <summary>Questions of the kinds that the cascade was calibrated on, shown to whoever does not know what to ask; empty for none.</summary>
    public IReadOnlyList<string> Examples { get; init; } = [];

    /// <summary>Whether stages verify the answer that is there instead of writing from nothing.</summary>
    public AnswerReuseMode Reuse { get; init; } = AnswerReuseMode.Auto;

    /// <summary>Reads and checks a cascade file. Paths in it are relative to the file.</summary>
    /// <exception cref="ToolkitException">With file, line, key, what was expected and what was got.</exception>
    public static CascadeFile Load(string file)
    {
        YamlMap root = YamlMap.Load(file);
        string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        var stages = new List<CascadeStage>();
        string usual = Backend(root, "cpu").Name;
        foreach (YamlMap stage in root.List("stages"))
        {
            string name = stage.Text("name");
            if (stages.Any(other => other.Name == name))
                throw stage.Error("name", "a name that no other stage has", $"'{name}' again");
            StageBackend backend = Backend(stage, usual);
            double cost = stage.Number("cost", 1e-9, 1e9);
            if (stages.Count > 0 && cost <= stages[^1].Cost)
                throw stage.Error("cost", $"more than the {stages[^1].Cost} of the stage before", $"{cost}");
            stages.Add(backend.Read(stage, new CascadeStage(name, "", cost) { Backend = backend.Name, Price = ReadPrice(stage) }, folder));
            stage.RejectUnknown();
        }
        if (stages.Count is < 2 or > 10)
            throw root.Error("stages", "2 to 10 stages", $"{stages.Count}");
        string calibration = root.TextOr("calibration_trace", "");
        var cascade = new CascadeFile(
            file,
            root.Text("name"),
            stages,
            calibration == "" ? null : Path.GetFullPath(calibration, folder),
            root.FlagOr("recall", true),
            root.Integer("max_tokens", 1, 100_000),
            root.Integer("calibration_queries", 100, 1_000_000),
            root.Integer("test_queries", 100, 1_000_000)
        )
        {
            Tasks = TaskSource.Read(root, folder),
            Chat = ReadChat(root),
            Reuse = ReadReuse(root),
            Examples = root.Has("examples") ? root.Strings("examples") : [],
        };
        root.RejectUnknown();
        return cascade;
    }

    private static StageBackend Backend(YamlMap map, string otherwise)
    {
        string name = map.TextOr("backend", otherwise);
        return StageBackends.Find(name) ?? throw map.Error("backend", string.Join(" or ", StageBackends.Names), $"'{name}'");
    }

    private static TokenPrice? ReadPrice(YamlMap stage)
    {
        if (stage.Has("input_cost") != stage.Has("output_cost"))
            throw stage.Error(stage.Has("input_cost") ? "input_cost" : "output_cost", "input_cost and output_cost together", "one of them");
        return stage.Has("input_cost") ? new TokenPrice(stage.Number("input_cost", 0, 1e9), stage.Number("output_cost", 0, 1e9)) : null;
    }

    private static AnswerReuseMode ReadReuse(YamlMap root) =>
        root.TextOr("reuse", "auto") switch
        {
            "auto" => AnswerReuseMode.Auto,
            "always" => AnswerReuseMode.Always,
            "never" => AnswerReuseMode.Never,
            var text => throw root.Error("reuse", "auto, always or never", $"'{text}'"),
        };

    private static ChatMode ReadChat(YamlMap root)
    {
        const string expected = "none, direct (thinking off) or thinking";
        return root.TextOr("chat", "none") switch
        {
            "none" => ChatMode.None,
            "direct" => ChatMode.Direct,
            "thinking" => ChatMode.Thinking,
            var text => throw root.Error("chat", expected, $"'{text}'"),
        };
    }
}
