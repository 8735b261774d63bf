namespace OptimalStopping.Runtime.Ladder;

/// <summary>The stages of a ladder, ready to answer, each wherever the ladder file says that it runs.</summary>
public sealed class StageLadder : IAsyncDisposable
{
    private readonly ModelLadder? _models;

    /// <param name="stages">One for each stage of the file, in its order.</param>
    /// <param name="models">Disposed with the ladder; null when the caller keeps them.</param>
    public StageLadder(LadderFile file, IReadOnlyList<IStageBackend> stages, ModelLadder? models = null)
    {
        if (stages.Count != file.Stages.Count)
            throw new ArgumentException($"expected {file.Stages.Count} stages, got {stages.Count}", nameof(stages));
        (File, Stages, _models) = (file, stages, models);
    }

    public LadderFile File { get; }
    public IReadOnlyList<IStageBackend> Stages { get; }

    /// <summary>Loads the models that run in this process and prepares the clients of those that do not.</summary>
    /// <exception cref="ToolkitException">A folder or file is missing or broken, or a key is not in the environment.</exception>
    public static StageLadder Load(LadderFile file)
    {
        LadderStage[] local = [.. file.Stages.Where(stage => stage.Remote is null)];
        ModelLadder? models = local.Length == 0 ? null : ModelLadder.Load(file with { Stages = local });
        var stages = new List<IStageBackend>();
        try
        {
            foreach (LadderStage stage in file.Stages)
                stages.Add(stage.Remote is not null ? OpenAiStage.FromEnvironment(file.File, stage, file.MaxTokens)
                    : new CpuStage(stage, models!.Models[Array.IndexOf(local, stage)], models.Tokenizer, file.MaxTokens));
            return new StageLadder(file, stages, models);
        }
        catch
        {
            models?.Dispose();
            throw;
        }
    }

    /// <summary>Stages for models that are loaded already; disposing the ladder leaves them alone.</summary>
    public static StageLadder For(ModelLadder models) => new(models.File, Of(models));

    private static IStageBackend[] Of(ModelLadder models) =>
        [.. models.File.Stages.Select((stage, k) => new CpuStage(stage, models.Models[k], models.Tokenizer, models.File.MaxTokens, models.File.Chat))];

    public async ValueTask DisposeAsync()
    {
        foreach (IStageBackend stage in Stages) await stage.DisposeAsync();
        _models?.Dispose();
    }
}
