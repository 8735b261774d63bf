using OptimalStopping.Runtime.Configuration;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>One stage of the cascade file.</summary>
/// <param name="Name">Shown in reports; unique.</param>
/// <param name="Path">Folder of the model, as a full path; empty for a model behind a server.</param>
/// <param name="Cost">Cost of one answer, in the units of the cheapest stage.</param>
public sealed record CascadeStage(string Name, string Path, double Cost)
{
    /// <summary>What runs the model: <c>cpu</c>, the engine in managed code, <c>torch</c>, or <c>openai</c>, a server.</summary>
    public string Backend { get; init; } = "cpu";

    /// <summary>torch: the devices that the layers are spread over, in order (<c>cpu</c>, <c>cuda:0</c>, ...); one at least.</summary>
    public IReadOnlyList<string> Devices { get; init; } = OnlyCpu;

    internal static readonly IReadOnlyList<string> OnlyCpu = ["cpu"];

    /// <summary>Where the model is served; null for one that runs in this process.</summary>
    public RemoteStage? Remote { get; init; }
}

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
    private static readonly string[] Backends = ["cpu", "torch", "openai"];

    /// <summary>Where the queries come from.</summary>
    public TaskSource Tasks { get; init; } = TaskSource.Nano;

    /// <summary>How a question becomes a prompt: as it is, or as a turn of a Qwen3 chat.</summary>
    public ChatMode Chat { get; init; } = ChatMode.None;

    /// <summary>Reads and checks a cascade file. Paths in it are relative to the file.</summary>
    /// <exception cref="ToolkitException">With file, line, key, what was expected and what was got.</exception>
    public static CascadeFile Load(string file)
    {
        YamlMap root = YamlMap.Load(file);
        string folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        var stages = new List<CascadeStage>();
        string usual = Backend(root, "cpu");
        foreach (YamlMap stage in root.List("stages"))
        {
            string name = stage.Text("name");
            if (stages.Any(other => other.Name == name))
                throw stage.Error("name", "a name that no other stage has", $"'{name}' again");
            string backend = Backend(stage, usual);
            double cost = stage.Number("cost", 1e-9, 1e9);
            if (stages.Count > 0 && cost <= stages[^1].Cost)
                throw stage.Error("cost", $"more than the {stages[^1].Cost} of the stage before", $"{cost}");
            stages.Add(
                backend == "openai"
                    ? new CascadeStage(name, "", cost) { Backend = backend, Remote = RemoteStage.Read(stage) }
                    : new CascadeStage(name, Path.GetFullPath(stage.Text("path"), folder), cost)
                    {
                        Backend = backend,
                        Devices = Devices(stage, backend),
                    }
            );
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
        };
        root.RejectUnknown();
        return cascade;
    }

    private static string Backend(YamlMap map, string otherwise)
    {
        string backend = map.TextOr("backend", otherwise);
        return Backends.Contains(backend) ? backend : throw map.Error("backend", string.Join(" or ", Backends), $"'{backend}'");
    }

    private static IReadOnlyList<string> Devices(YamlMap stage, string backend)
    {
        if (!stage.Has("devices"))
            return CascadeStage.OnlyCpu;
        IReadOnlyList<string> devices = stage.Strings("devices");
        foreach (string device in devices)
            if (
                device != "cpu"
                && !(
                    device.StartsWith("cuda:", StringComparison.Ordinal)
                    && int.TryParse(device.AsSpan(5), System.Globalization.NumberStyles.None, null, out int n)
                    && n < 64
                )
            )
                throw stage.Error("devices", "cpu or cuda:0 to cuda:63", $"'{device}'");
        if (devices.Distinct().Count() != devices.Count)
            throw stage.Error("devices", "each device once", string.Join(", ", devices));
        if (backend != "torch" && !devices.SequenceEqual(CascadeStage.OnlyCpu))
            throw stage.Error("devices", $"only cpu with backend {backend}", string.Join(", ", devices));
        return devices;
    }

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
