using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>A loaded cascade: every model in memory and the tokenizer they share.</summary>
public sealed class ModelCascade : IDisposable
{
    private readonly ITokenModel[] _models;

    private ModelCascade(CascadeFile file, ITokenModel[] models, ITokenizer tokenizer)
    {
        File = file;
        _models = models;
        Tokenizer = tokenizer;
    }

    public CascadeFile File { get; }
    public IReadOnlyList<ITokenModel> Models => _models;
    public ITokenizer Tokenizer { get; }

    /// <summary>Loads every model of the file.</summary>
    /// <exception cref="ToolkitException">A folder or file is missing or broken, or the models do not share a vocabulary.</exception>
    public static ModelCascade Load(CascadeFile file)
    {
        var models = new List<ITokenModel>();
        try
        {
            ITokenizer? tokenizer = null;
            foreach (CascadeStage stage in file.Stages)
            {
                if (stage.Remote is not null)
                    throw new ToolkitException(
                        $"{file.File}: stage '{stage.Name}': expected a model that runs in this process, got backend openai; 'toolkit serve' takes it"
                    );
                if (!Directory.Exists(stage.Path) && !System.IO.File.Exists(stage.Path))
                    throw new ToolkitException($"{file.File}: stage '{stage.Name}': expected a model folder at {stage.Path}, got none");
                ITokenModel model = ModelBackends.Load(file.File, stage);
                models.Add(model);
                ITokenizer own = TokenizerFiles.Load(stage.Path);
                // Published models pad their vocabulary to a round number: more rows than tokens is in order.
                if (own.VocabularySize > model.VocabularySize || (own is CharacterTokenizer && own.VocabularySize != model.VocabularySize))
                    throw new ToolkitException(
                        $"{stage.Path}: tokenizer: expected the {model.VocabularySize} tokens of the model, got {own.VocabularySize}"
                    );
                if (tokenizer is not null && own.Fingerprint != tokenizer.Fingerprint)
                    throw new ToolkitException(
                        $"{stage.Path}: tokenizer: expected the vocabulary of stage '{file.Stages[0].Name}', got another"
                    );
                tokenizer ??= own;
            }
            return new ModelCascade(file, [.. models], tokenizer!);
        }
        catch
        {
            foreach (ITokenModel model in models)
                model.Dispose();
            throw;
        }
    }

    /// <summary>The tokens of a question, put as the cascade file's <c>chat</c> says.</summary>
    public int[] EncodePrompt(string question) => Tokenizer.Encode(Qwen3Chat.Render(question, File.Chat));

    /// <summary>The greedy decoder of a stage.</summary>
    public GreedyDecoder Decoder(int stage) => new(_models[stage], Tokenizer.StopTokens, File.MaxTokens);

    public void Dispose()
    {
        foreach (ITokenModel model in _models)
            model.Dispose();
    }
}
