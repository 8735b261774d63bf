using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// A cascade, ready to answer: its stages, each wherever the cascade file says that it runs. What works on tokens (batches,
/// speculation) takes the models of stages that run in this process.
/// </summary>
public sealed class Cascade : IAsyncDisposable, IDisposable
{
    private readonly bool _ownsStages;
    private readonly Lazy<LocalStage[]> _local;

    /// <param name="stages">One for each stage of the file, in its order; disposed with the cascade.</param>
    /// <exception cref="ArgumentException">The file has another number of stages.</exception>
    public Cascade(CascadeFile file, IReadOnlyList<IStage> stages)
        : this(file, stages, ownsStages: true) { }

    private Cascade(CascadeFile file, IReadOnlyList<IStage> stages, bool ownsStages)
    {
        if (stages.Count != file.Stages.Count)
            throw new ArgumentException($"expected {file.Stages.Count} stages, got {stages.Count}", nameof(stages));
        (File, Stages, _ownsStages) = (file, stages, ownsStages);
        _local = new Lazy<LocalStage[]>(() => [.. Stages.Select(Local)]);
    }

    /// <summary>What the cascade was built from.</summary>
    public CascadeFile File { get; }

    /// <summary>The stages, from the cheapest to the largest.</summary>
    public IReadOnlyList<IStage> Stages { get; }

    /// <summary>The model of each stage.</summary>
    /// <exception cref="ToolkitException">A stage runs elsewhere.</exception>
    public IReadOnlyList<ITokenModel> Models => [.. _local.Value.Select(stage => stage.Model)];

    /// <summary>The tokenizer that the models share.</summary>
    /// <exception cref="ToolkitException">A stage runs elsewhere.</exception>
    public ITokenizer Tokenizer => _local.Value[0].Tokenizer;

    /// <summary>Opens every stage of a file: loads the models that run in this process, prepares the clients of the others.</summary>
    /// <exception cref="ToolkitException">
    /// A folder or file is missing or broken, the models in this process do not share a vocabulary, or a key is not in the
    /// environment.
    /// </exception>
    public static Cascade Load(CascadeFile file)
    {
        var stages = new List<IStage>();
        try
        {
            LocalStage? first = null;
            foreach (CascadeStage stage in file.Stages)
            {
                StageBackend backend = StageBackends.Find(stage.Backend)
                    ?? throw new ToolkitException(
                        $"{file.File}: stage '{stage.Name}': expected the backend {string.Join(" or ", StageBackends.Names)}, got '{stage.Backend}'"
                    );
                stages.Add(
                    backend.Open(
                        new StageContext(file.File, stage, file.MaxTokens, file.Chat, file.Reuse)
                        {
                            ExtractAnswer = file.Tasks.ExtractAnswer,
                        }
                    )
                );
                if (stages[^1] is not LocalStage local)
                    continue;
                first ??= local;
                if (!local.Tokenizer.SharesTokensWith(first.Tokenizer))
                    throw new ToolkitException($"{stage.Path}: tokenizer: expected the vocabulary of stage '{first.Name}', got another");
            }
            return new Cascade(file, stages);
        }
        catch
        {
            foreach (IStage stage in stages)
                stage.DisposeAsync().AsTask().GetAwaiter().GetResult();
            throw;
        }
    }

    /// <summary>The same stages as another cascade; disposing it leaves them open.</summary>
    public Cascade Share() => new(File, Stages, ownsStages: false);

    /// <summary>The tokens of a question, put as the cascade file's <c>chat</c> says.</summary>
    /// <exception cref="ToolkitException">A stage runs elsewhere, or the question has characters that the tokenizer does not know.</exception>
    public int[] EncodePrompt(string question) => _local.Value[0].Encode(StagePrompt.FromQuestion(question));

    /// <summary>The greedy decoder of a stage.</summary>
    /// <exception cref="ToolkitException">A stage runs elsewhere.</exception>
    public GreedyDecoder Decoder(int stage) => new(_local.Value[stage].Model, _local.Value[stage].Tokenizer.StopTokens, File.MaxTokens);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_ownsStages)
            return;
        foreach (IStage stage in Stages)
            await stage.DisposeAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void Dispose() => DisposeAsync().AsTask().GetAwaiter().GetResult();

    private LocalStage Local(IStage stage, int index) =>
        stage as LocalStage
        ?? throw new ToolkitException(
            $"{File.File}: stage '{stage.Name}': expected a model that runs in this process, got backend {File.Stages[index].Backend}"
        );
}
