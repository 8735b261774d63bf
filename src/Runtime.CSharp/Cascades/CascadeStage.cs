using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Hub;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What a stage's tokens cost, in the cascade's unit.</summary>
/// <param name="Input">A million tokens of prompts; at least 0.</param>
/// <param name="Output">A million tokens of answers, the one that ends an answer included; at least 0.</param>
public readonly record struct TokenPrice(double Input, double Output)
{
    /// <summary>What an answer costs.</summary>
    public double For(int promptTokens, double completionTokens) => (promptTokens * Input + completionTokens * Output) / 1e6;
}

/// <summary>One stage of the cascade file.</summary>
/// <param name="Name">Shown in reports; unique.</param>
/// <param name="Path">Folder of the model, as a full path; empty for a model that does not run in this process.</param>
/// <param name="Cost">Cost of one answer, in the cascade's unit: what every answer is charged where tokens have no price,
/// and what is planned with before any answer was recorded.</param>
public sealed record CascadeStage(string Name, string Path, double Cost)
{
    /// <summary>The processor alone.</summary>
    public static readonly IReadOnlyList<string> Cpu = ["cpu"];

    /// <summary>What runs the model: the name of a <see cref="StageBackend"/>.</summary>
    public string Backend { get; init; } = "cpu";

    /// <summary>The devices that the layers are spread over, in order (<c>cpu</c>, <c>cuda:0</c>, ...); one at least.</summary>
    public IReadOnlyList<string> Devices { get; init; } = Cpu;

    /// <summary>What its tokens cost; null where every answer is charged <see cref="Cost"/>.</summary>
    public TokenPrice? Price { get; init; }

    /// <summary>What an answer costs, in the cascade's unit.</summary>
    public double CostOf(int promptTokens, double completionTokens) => Price?.For(promptTokens, completionTokens) ?? Cost;

    /// <summary>The name of the model's chat template (<see cref="ChatTemplate.All"/>); null where its files say it.</summary>
    public string? ChatTemplate { get; init; }

    /// <summary>Where the model's files come from; null where the file names only a path.</summary>
    public HubRepository? Repository { get; init; }

    /// <summary>Whether <see cref="Path"/> is the place of the hub's cache, because the file names no path.</summary>
    public bool IsInCache { get; init; }

    /// <summary>What else the backend read from the stage's keys; null for nothing.</summary>
    public object? Settings { get; init; }

    /// <summary>Whether the model runs in this process, from the files at <see cref="Path"/>.</summary>
    public bool IsLocal => Path != "";
}

/// <summary>What a backend needs to open a stage.</summary>
/// <param name="File">The cascade file, to name it in errors.</param>
/// <param name="MaxTokens">The cascade's limit of tokens per answer.</param>
/// <param name="Chat">How a conversation becomes a prompt.</param>
/// <param name="Reuse">Whether an earlier answer is verified instead of writing from nothing.</param>
public sealed record StageContext(
    string File,
    CascadeStage Stage,
    int MaxTokens,
    ChatMode Chat,
    AnswerReuseMode Reuse = AnswerReuseMode.Auto
)
{
    /// <summary>From a text to the answer in it, as the cascade's tasks define it; null for none.</summary>
    public Func<string, string?> ExtractAnswer { get; init; } = text => text.Trim();
}

/// <summary>
/// What runs models: an engine in this process, or a kind of server. It reads its own keys of a stage in the cascade file
/// and opens the stage. <see cref="StageBackends.Register"/> makes one known.
/// </summary>
/// <param name="name">Its name in the cascade file, key <c>backend</c>.</param>
public abstract class StageBackend(string name)
{
    /// <summary>Its name in the cascade file, key <c>backend</c>.</summary>
    public string Name { get; } = name;

    /// <summary>Reads the backend's own keys; each key that it asks for counts as known.</summary>
    /// <param name="stage">The stage as far as it is read: name, cost and backend.</param>
    /// <param name="folder">What paths in the file are relative to.</param>
    /// <exception cref="ToolkitException">With file, line, key, what was expected and what was got.</exception>
    public abstract CascadeStage Read(YamlMap keys, CascadeStage stage, string folder);

    /// <summary>Loads the model, or prepares the client of a server.</summary>
    /// <exception cref="ToolkitException">The model, or something else that the stage needs, is missing or faulty.</exception>
    public abstract IStage Open(StageContext context);
}
