namespace OptimalStopping.Runtime.Cascades;

/// <summary>The stages of a cascade, ready to answer, each wherever the cascade file says that it runs.</summary>
public sealed class StageCascade : IAsyncDisposable
{
    private readonly ModelCascade? _models;

    /// <param name="stages">One for each stage of the file, in its order.</param>
    /// <param name="models">Disposed with the cascade; null when the caller keeps them.</param>
    public StageCascade(CascadeFile file, IReadOnlyList<IStageBackend> stages, ModelCascade? models = null)
    {
        if (stages.Count != file.Stages.Count)
            throw new ArgumentException($"expected {file.Stages.Count} stages, got {stages.Count}", nameof(stages));
        (File, Stages, _models) = (file, stages, models);
    }

    public CascadeFile File { get; }
    public IReadOnlyList<IStageBackend> Stages { get; }

    /// <summary>Loads the models that run in this process and prepares the clients of those that do not.</summary>
    /// <exception cref="ToolkitException">A folder or file is missing or broken, or a key is not in the environment.</exception>
    public static StageCascade Load(CascadeFile file)
    {
        CascadeStage[] local = [.. file.Stages.Where(stage => stage.Remote is null)];
        ModelCascade? models = local.Length == 0 ? null : ModelCascade.Load(file with { Stages = local });
        var stages = new List<IStageBackend>();
        try
        {
            foreach (CascadeStage stage in file.Stages)
                stages.Add(
                    stage.Remote is not null
                        ? OpenAiStage.FromEnvironment(file.File, stage, file.MaxTokens)
                        : new CpuStage(stage, models!.Models[Array.IndexOf(local, stage)], models.Tokenizer, file.MaxTokens)
                );
            return new StageCascade(file, stages, models);
        }
        catch
        {
            models?.Dispose();
            throw;
        }
    }

    /// <summary>Stages for models that are loaded already; disposing the cascade leaves them alone.</summary>
    public static StageCascade For(ModelCascade models) => new(models.File, Of(models));

    private static IStageBackend[] Of(ModelCascade models) =>
        [
            .. models.File.Stages.Select(
                (stage, k) => new CpuStage(stage, models.Models[k], models.Tokenizer, models.File.MaxTokens, models.File.Chat)
            ),
        ];

    public async ValueTask DisposeAsync()
    {
        foreach (IStageBackend stage in Stages)
            await stage.DisposeAsync();
        _models?.Dispose();
    }
}
