using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Hub;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The tensors of a model folder as Hugging Face publishes it: <c>model.safetensors</c>, or several shards with
/// <c>model.safetensors.index.json</c>; or of a <c>.gguf</c> file or its parts.
/// </summary>
public sealed class Checkpoint : IDisposable
{
    private readonly string _place;
    private readonly Dictionary<string, (ITensorFile File, TensorEntry Entry)> _tensors = [];
    private readonly List<ITensorFile> _files = [];

    private Checkpoint(string place) => _place = place;

    /// <summary>Opens the folder's files and checks their headers; no tensor is read yet.</summary>
    /// <exception cref="ToolkitException">A file is missing or malformed.</exception>
    public static Checkpoint Open(string folder, WeightQuantisation? quantisation = null)
    {
        string single = Path.Combine(folder, "model.safetensors"),
            index = single + ".index.json";
        if (!File.Exists(single) && !File.Exists(index))
            throw new ToolkitException($"{folder}: expected model.safetensors or model.safetensors.index.json, got neither");
        bool sharded = !File.Exists(single);
        var checkpoint = new Checkpoint(sharded ? index : single) { Quantisation = quantisation };
        try
        {
            if (sharded)
                checkpoint.AddShards(folder, index);
            else
            {
                SafeTensors file = checkpoint.Add(single);
                foreach (TensorEntry entry in file.Entries.Values)
                    checkpoint._tensors.Add(entry.Name, (file, entry));
            }
            return checkpoint;
        }
        catch
        {
            checkpoint.Dispose();
            throw;
        }
    }

    /// <summary>The tensors of one opened file; it is disposed with the checkpoint.</summary>
    internal static Checkpoint From(string place, ITensorFile file)
    {
        var checkpoint = new Checkpoint(place);
        checkpoint._files.Add(file);
        foreach (TensorEntry entry in file.Entries.Values)
            checkpoint._tensors.Add(entry.Name, (file, entry));
        return checkpoint;
    }

    /// <summary>True when the checkpoint has a tensor of this name.</summary>
    public bool Has(string name) => _tensors.ContainsKey(name);

    /// <summary>The type of a tensor.</summary>
    public TensorType TypeOf(string name) => Find(name).Entry.Type;

    /// <summary>How <c>config.json</c> says that matrices are stored; null where it does not.</summary>
    public WeightQuantisation? Quantisation { get; private set; }

    /// <summary>True where a projection is INT8 with one scale per row, as compressed-tensors stores W8A8.</summary>
    /// <exception cref="ToolkitException">It has zero points other than 0.</exception>
    internal bool IsInt8(string name)
    {
        if (!Has(name + ".weight") || TypeOf(name + ".weight") != TensorType.I8)
            return false;
        string zeros = name + ".weight_zero_point";
        if (Has(zeros) && !(TypeOf(zeros) == TensorType.I8 && Mapped(zeros, Find(zeros).Entry.Shape).AllBytes().All(zero => zero == 0)))
            throw new ToolkitException($"{zeros}: expected symmetric INT8 with zero points of 0, got others");
        return true;
    }

    /// <summary>Checks that there is a tensor of exactly this shape, before memory is taken for it.</summary>
    public void Require(string name, params long[] shape) => Find(name, shape);

    /// <summary>A floating-point tensor of exactly this shape, as float32.</summary>
    public float[] Floats(string name, params long[] shape) => Mapped(name, shape).AllFloats();

    /// <summary>An I8 tensor of exactly this shape.</summary>
    public sbyte[] Bytes(string name, params long[] shape) => Mapped(name, shape).AllBytes();

    /// <summary>A tensor of exactly this shape, in place; it stays until this is disposed.</summary>
    internal unsafe MappedTensor Mapped(string name, params long[] shape)
    {
        var (file, entry) = Find(name, shape);
        return new MappedTensor(entry, file.Bytes(entry));
    }

    public void Dispose()
    {
        foreach (ITensorFile file in _files)
            file.Dispose();
    }

    private (ITensorFile File, TensorEntry Entry) Find(string name, long[]? shape = null)
    {
        if (
            !_tensors.TryGetValue(name, out var found)
            && name.StartsWith("model.", StringComparison.Ordinal)
            && _tensors.ContainsKey(name["model.".Length..])
        )
            throw new ToolkitException(
                $"{_place}: {name}: expected a model that writes text, got names without 'model.', as embedding models have them"
            );
        if (found.Entry is null)
        {
            foreach (SafeTensors file in _files.OfType<SafeTensors>())
                if (file.OtherTypes.TryGetValue(name, out string? type))
                    throw SafeTensors.OtherType(_place, name, type);
            string reason = name == "lm_head.weight" ? " (tie_word_embeddings is false)" : "";
            throw new ToolkitException($"{_place}: {name}: expected a tensor{reason}, got nothing");
        }
        if (shape is not null && !found.Entry.Shape.AsSpan().SequenceEqual(shape))
            throw new ToolkitException(
                $"{found.Entry.File}: {name}: expected shape [{string.Join(", ", shape)}], got [{string.Join(", ", found.Entry.Shape)}]"
            );
        return found;
    }

    private SafeTensors Add(string path)
    {
        SafeTensors file = SafeTensors.Open(path);
        _files.Add(file);
        return file;
    }

    private void AddShards(string folder, string index)
    {
        using JsonDocument document = Json.Open(index);
        JsonElement map = JsonMap.From(index, document.RootElement).Map("weight_map").Element;
        var shards = new Dictionary<string, SafeTensors>();
        foreach (JsonProperty item in map.EnumerateObject())
        {
            string? shard = item.Value.ValueKind == JsonValueKind.String ? item.Value.GetString() : null;
            if (
                string.IsNullOrEmpty(shard)
                || shard.Length > 255
                || shard != Path.GetFileName(shard)
                || shard.Contains('\\')
                || shard.Any(char.IsControl)
            )
                throw Json.Error(index, $"weight_map.{item.Name}", "the name of a file in the same folder", Json.Show(item.Value));
            if (!shards.TryGetValue(shard, out SafeTensors? file))
                shards.Add(shard, file = Add(Path.Combine(folder, shard)));
            if (file.Entries.TryGetValue(item.Name, out TensorEntry? entry)) // what is missing matters where it is asked for
                _tensors.Add(item.Name, (file, entry));
        }
    }
}

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
            const string first = "model.layers.0.self_attn.q_proj.weight";
            return Config.Quantisation is { Method: not "compressed-tensors" } packed ? $"{packed.Method} {packed.Bits} bits"
                : Checkpoint.TypeOf(first) is not TensorType.I8 and var type ? type.ToString()
                : "W8A8 INT8";
        }
    }

    /// <summary>Opens a Hugging Face folder, or a <c>.gguf</c> file (of several parts the first).</summary>
    /// <exception cref="ToolkitException">A file is missing or malformed, or describes another kind of model.</exception>
    public static ModelSource Open(string path)
    {
        string name = HubCache.ModelName(path);
        if (GgufFile.Is(path))
        {
            GgufFile file = GgufFile.Open(path);
            try
            {
                return new ModelSource(name, GgufModel.Config(file), Checkpoint.From(path, file));
            }
            catch
            {
                file.Dispose();
                throw;
            }
        }
        Qwen3Config config = Qwen3Config.Read(Path.Combine(path, "config.json"));
        return new ModelSource(name, config, Checkpoint.Open(path, config.Quantisation));
    }

    public void Dispose() => Checkpoint.Dispose();
}
