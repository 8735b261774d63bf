using OptimalStopping.Runtime.Models.Gguf;

namespace OptimalStopping.Runtime.Models;

/// <summary>A model on disk, opened: its shape, and its tensors by their Hugging Face names.</summary>
public sealed class ModelSource : IDisposable
{
    private ModelSource(string name, Qwen3Config config, Checkpoint checkpoint) => (Name, Config, Checkpoint) = (name, config, checkpoint);

    /// <summary>The folder's or file's name.</summary>
    public string Name { get; }
    public Qwen3Config Config { get; }
    public Checkpoint Checkpoint { get; }

    /// <summary>Bytes of one value of the embedding as an engine may keep it without loss.</summary>
    public int EmbeddingBytes => Checkpoint.TypeOf("model.embed_tokens.weight") is TensorType.BF16 or TensorType.F16 ? 2 : 4;

    /// <summary>How the matrices are kept on disk: <c>F32</c>, <c>F16</c>, <c>BF16</c>, <c>W8A8 INT8</c> or <c>Q8_0</c>.</summary>
    public string Format
    {
        get
        {
            TensorType type = Checkpoint.TypeOf("model.layers.0.self_attn.q_proj.weight");
            return type != TensorType.I8 ? type.ToString()
                : GgufFile.Is(Name) ? "Q8_0"
                : "W8A8 INT8";
        }
    }

    /// <summary>Opens a Hugging Face folder, or a <c>.gguf</c> file in F32, F16, BF16 or Q8_0.</summary>
    /// <exception cref="ToolkitException">A file is missing or malformed, or describes another kind of model.</exception>
    public static ModelSource Open(string path)
    {
        string name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        if (GgufFile.Is(path))
        {
            GgufFile file = GgufFile.Open(path);
            try
            {
                return new ModelSource(name, GgufModel.Config(file), Checkpoint.Of(path, file));
            }
            catch
            {
                file.Dispose();
                throw;
            }
        }
        Qwen3Config config = Qwen3Config.Read(Path.Combine(path, "config.json"));
        return new ModelSource(name, config, Checkpoint.Open(path));
    }

    public void Dispose() => Checkpoint.Dispose();
}
