using OptimalStopping.Runtime.Configuration;

namespace OptimalStopping.Runtime.Ladder;

/// <summary>One rung of the ladder file.</summary>
/// <param name="Name">Shown in reports; unique.</param>
/// <param name="Path">Folder of the model, as a full path.</param>
/// <param name="Cost">Cost of one answer, in the units of the cheapest rung.</param>
public sealed record LadderStage(string Name, string Path, double Cost);

/// <summary>
/// The YAML file that describes a ladder: its models from the cheapest to the largest, where they are, what an answer
/// of each costs, and which queries calibrate and test it.
/// </summary>
public sealed record LadderFile(
    string File, string Name, IReadOnlyList<LadderStage> Stages, string? CalibrationTrace,
    bool Recall, int MaxTokens, int CalibrationQueries, int TestQueries)
{
    /// <summary>Reads and checks a ladder file. Paths in it are relative to the file.</summary>
    /// <exception cref="ToolkitException">With file, line, key, what was expected and what was got.</exception>
    public static LadderFile Load(string file)
    {
        YamlMap root = YamlMap.Load(file);
        string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        var stages = new List<LadderStage>();
        foreach (YamlMap stage in root.List("stages"))
        {
            string name = stage.Text("name");
            if (stages.Any(other => other.Name == name)) throw stage.Fault("name", "a name that no other stage has", $"'{name}' again");
            string backend = stage.TextOr("backend", "cpu");
            if (backend != "cpu") throw stage.Fault("backend", "cpu (the only backend of this version)", $"'{backend}'");
            double cost = stage.Number("cost", 1e-9, 1e9);
            if (stages.Count > 0 && cost <= stages[^1].Cost)
                throw stage.Fault("cost", $"more than the {stages[^1].Cost} of the stage before", $"{cost}");
            stages.Add(new LadderStage(name, Path.GetFullPath(stage.Text("path"), folder), cost));
            stage.RejectUnknown();
        }
        if (stages.Count is < 2 or > 10) throw root.Fault("stages", "2 to 10 stages", $"{stages.Count}");
        string tasks = root.TextOr("tasks", "nano");
        if (tasks != "nano") throw root.Fault("tasks", "nano (the only task set of this version)", $"'{tasks}'");
        string calibration = root.TextOr("calibration_trace", "");
        var ladder = new LadderFile(file, root.Text("name"), stages,
            calibration == "" ? null : Path.GetFullPath(calibration, folder),
            root.FlagOr("recall", true),
            root.Integer("max_tokens", 1, 100_000),
            root.Integer("calibration_queries", 100, 1_000_000),
            root.Integer("test_queries", 100, 1_000_000));
        root.RejectUnknown();
        return ladder;
    }
}
