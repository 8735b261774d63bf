using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>Qwen3 models as GGUF with matrices in Q8_0, so that llama.cpp can run the same weights.</summary>
public static class GgufExport
{
    /// <summary>
    /// Writes a checkpoint. INT8 weights keep their bytes, and each block of 32 gets its row's scale; only that scale is
    /// rounded, to float16. Float weights are first rounded per row, as <see cref="CpuModel"/> does. The embedding and the
    /// norms stay float32. No tokenizer is written: such a file takes and gives token numbers.
    /// </summary>
    /// <exception cref="ToolkitException">The folder holds no model that the engine runs, or a row is no multiple of 32 wide.</exception>
    public static void Write(string folder, string file)
    {
        using ModelSource model = ModelSource.Open(folder);
        (Qwen3Config config, Checkpoint source) = (model.Config, model.Checkpoint);
        var tensors = new List<GgufTensor>();
        foreach ((string name, string from, long[] shape) in Names(config))
            tensors.Add(
                shape.Length == 1 || name.StartsWith("token_embd")
                    ? new GgufTensor(name, GgufType.F32, shape, stream =>
                        stream.Write(MemoryMarshal.AsBytes(source.Floats(from + ".weight", shape).AsSpan()))
                    )
                    : new GgufTensor(name, GgufType.Q8_0, shape, stream => WriteRows(stream, source, from, shape))
            );
        GgufWriter.Write(file, Metadata(config), tensors);
    }

    /// <summary>
    /// Writes any model that the engine loads as one file that llama.cpp runs and <see cref="ModelSource.Open"/> reads, with
    /// its tokenizer. Matrices and the embedding are in Q8_0 (each block of 32 rounded for itself: d = max|w| / 127 in float16,
    /// and INT8 weights of the source keep their bytes) or in F16; norms are in float32. A tied head is not written twice.
    /// </summary>
    /// <param name="path">The folder or <c>.gguf</c> file.</param>
    /// <param name="file">What is written; an existing file is replaced.</param>
    /// <param name="type">F16 or Q8_0.</param>
    /// <param name="tokenizer">The keys of the tokenizer (<c>TokenizerFiles.GgufKeys</c>).</param>
    /// <exception cref="ToolkitException">The model cannot be read, or a row is no multiple of 32 wide.</exception>
    public static void WriteModel(string path, string file, GgufType type, IEnumerable<KeyValuePair<string, object>> tokenizer)
    {
        using ModelSource model = ModelSource.Open(path);
        (Qwen3Config config, Checkpoint source) = (model.Config, model.Checkpoint);
        var tensors = new List<GgufTensor>();
        foreach ((string name, string from, long[] shape) in Names(config))
        {
            if (name == "output.weight" && config.TieWordEmbeddings)
                continue;
            if (type == GgufType.Q8_0 && shape.Length == 2 && shape[1] % GgufTensor.BlockWeights != 0)
                throw new ToolkitException(
                    $"{path}: {from}: expected rows of a multiple of {GgufTensor.BlockWeights} for Q8_0, got {shape[1]}; choose F16"
                );
            tensors.Add(
                shape.Length == 1
                    ? new GgufTensor(name, GgufType.F32, shape, stream =>
                        stream.Write(MemoryMarshal.AsBytes(source.Floats(from + ".weight", shape).AsSpan()))
                    )
                    : new GgufTensor(name, type, shape, stream => WriteMatrix(stream, source, from, (int)shape[0], (int)shape[1], type))
            );
        }
        List<KeyValuePair<string, object>> metadata = Metadata(config);
        metadata.RemoveAll(pair => pair.Key is "tokenizer.ggml.model" or "general.name");
        metadata.Add(new("general.name", model.Name));
        metadata.Add(new("general.file_type", type == GgufType.F16 ? 1u : 7u));
        metadata.Add(new("general.quantization_version", 2u));
        if (config.Scaling is { } scaling)
        {
            metadata.Add(new("qwen3.rope.scaling.type", scaling.IsYarn ? "yarn" : "linear"));
            metadata.Add(new("qwen3.rope.scaling.factor", (float)scaling.Factor));
            metadata.Add(new("qwen3.rope.scaling.original_context_length", (uint)scaling.OriginalPositions));
            if (scaling.IsYarn)
            {
                metadata.Add(
                    new("qwen3.rope.scaling.attn_factor", (float)(scaling.Attention / PositionScaling.UsualAttention(scaling.Factor)))
                );
                metadata.Add(new("qwen3.rope.scaling.yarn_beta_fast", (float)scaling.BetaFast));
                metadata.Add(new("qwen3.rope.scaling.yarn_beta_slow", (float)scaling.BetaSlow));
            }
        }
        GgufWriter.Write(file, [.. metadata, .. tokenizer], tensors);
    }

    private static void WriteMatrix(Stream stream, Checkpoint source, string name, int rows, int columns, GgufType type)
    {
        bool isInt8 = source.IsInt8(name);
        if (isInt8 && type == GgufType.Q8_0)
        {
            WriteRows(stream, source, name, [rows, columns]);
            return;
        }
        float[]? scales = isInt8 ? source.Floats(name + ".weight_scale", rows, 1) : null;
        MappedTensor bytes = isInt8 ? source.Mapped(name + ".weight", rows, columns) : default;
        IMatrixRows matrix = isInt8 ? bytes : PackedMatrices.Open(source, name, rows, columns);
        var floats = new float[columns];
        var halves = new Half[columns];
        var block = new byte[GgufTensor.BlockBytes];
        for (int row = 0; row < rows; row++)
        {
            if (isInt8)
                for (int c = 0; c < columns; c++)
                    floats[c] = bytes.Bytes(row)[c] * scales![row];
            else
                matrix.Floats(row, floats);
            if (type == GgufType.F16)
            {
                System.Numerics.Tensors.TensorPrimitives.ConvertToHalf(floats, halves);
                stream.Write(MemoryMarshal.AsBytes(halves.AsSpan()));
                continue;
            }
            for (int start = 0; start < columns; start += GgufTensor.BlockWeights)
            {
                ReadOnlySpan<float> values = floats.AsSpan(start, GgufTensor.BlockWeights);
                var scale = (Half)(MathF.Abs(System.Numerics.Tensors.TensorPrimitives.MaxMagnitude(values)) / 127);
                BinaryPrimitives.WriteHalfLittleEndian(block, scale);
                for (int i = 0; i < values.Length; i++)
                    block[2 + i] = scale == (Half)0 ? (byte)0 : (byte)(sbyte)Math.Clamp(MathF.Round(values[i] / (float)scale), -127, 127);
                stream.Write(block);
            }
        }
    }

    /// <summary>Random weights of a shape, for measuring speed. The output head is the embedding in Q8_0, as in the published files.</summary>
    public static void WriteRandom(Qwen3Config config, string file, int seed = 1)
    {
        var random = new Random(seed);
        var tensors = new List<GgufTensor>();
        foreach ((string name, _, long[] shape) in Names(config))
            if (name != "output.weight")
                tensors.Add(
                    shape.Length == 1
                        ? new GgufTensor(name, GgufType.F32, shape, stream => WriteOnes(stream, shape[0]))
                        : new GgufTensor(name, GgufType.Q8_0, shape, stream => WriteRandomRows(stream, random, shape))
                );
        GgufWriter.Write(file, Metadata(config), tensors);
    }

    private static List<KeyValuePair<string, object>> Metadata(Qwen3Config config) =>
        [
            new("general.architecture", "qwen3"),
            new("general.name", "exported by the Optimal Stopping Toolkit"),
            new("qwen3.context_length", (uint)config.MaxPositions),
            new("qwen3.embedding_length", (uint)config.HiddenSize),
            new("qwen3.block_count", (uint)config.Layers),
            new("qwen3.feed_forward_length", (uint)config.IntermediateSize),
            new("qwen3.attention.head_count", (uint)config.Heads),
            new("qwen3.attention.head_count_kv", (uint)config.KeyValueHeads),
            new("qwen3.attention.key_length", (uint)config.HeadDimension),
            new("qwen3.attention.value_length", (uint)config.HeadDimension),
            new("qwen3.attention.layer_norm_rms_epsilon", config.RmsNormEpsilon),
            new("qwen3.rope.freq_base", (float)config.RopeTheta),
            new("qwen3.vocab_size", (uint)config.VocabularySize),
            new("tokenizer.ggml.model", "none"),
        ];

    /// <summary>llama.cpp's names, those of Hugging Face, and the shapes.</summary>
    private static IEnumerable<(string Name, string From, long[] Shape)> Names(Qwen3Config c)
    {
        long hidden = c.HiddenSize,
            queries = c.Heads * c.HeadDimension,
            keys = c.KeyValueHeads * c.HeadDimension,
            inner = c.IntermediateSize;
        string embedding = "model.embed_tokens";
        yield return ("token_embd.weight", embedding, [c.VocabularySize, hidden]);
        yield return ("output_norm.weight", "model.norm", [hidden]);
        yield return ("output.weight", c.TieWordEmbeddings ? embedding : "lm_head", [c.VocabularySize, hidden]);
        for (int i = 0; i < c.Layers; i++)
        {
            string to = $"blk.{i}.",
                from = $"model.layers.{i}.";
            yield return (to + "attn_norm.weight", from + "input_layernorm", [hidden]);
            yield return (to + "attn_q.weight", from + "self_attn.q_proj", [queries, hidden]);
            yield return (to + "attn_k.weight", from + "self_attn.k_proj", [keys, hidden]);
            yield return (to + "attn_v.weight", from + "self_attn.v_proj", [keys, hidden]);
            yield return (to + "attn_q_norm.weight", from + "self_attn.q_norm", [c.HeadDimension]);
            yield return (to + "attn_k_norm.weight", from + "self_attn.k_norm", [c.HeadDimension]);
            yield return (to + "attn_output.weight", from + "self_attn.o_proj", [hidden, queries]);
            yield return (to + "ffn_norm.weight", from + "post_attention_layernorm", [hidden]);
            yield return (to + "ffn_gate.weight", from + "mlp.gate_proj", [inner, hidden]);
            yield return (to + "ffn_up.weight", from + "mlp.up_proj", [inner, hidden]);
            yield return (to + "ffn_down.weight", from + "mlp.down_proj", [hidden, inner]);
        }
    }

    private static void WriteRows(Stream stream, Checkpoint source, string name, long[] shape)
    {
        int rows = (int)shape[0],
            columns = (int)shape[1];
        bool isInt8 = source.IsInt8(name);
        MappedTensor bytes = isInt8 ? source.Mapped(name + ".weight", shape) : default;
        IMatrixRows matrix = isInt8 ? bytes : PackedMatrices.Open(source, name, rows, columns);
        float[]? scales = isInt8 ? source.Floats(name + ".weight_scale", rows, 1) : null;
        var floats = new float[columns];
        var values = new sbyte[columns];
        var block = new byte[GgufTensor.BlockBytes];
        for (int row = 0; row < rows; row++)
        {
            float scale;
            if (isInt8)
            {
                bytes.Bytes(row).CopyTo(values);
                scale = scales![row];
            }
            else
            {
                matrix.Floats(row, floats);
                scale = Int8Matrix.Round(floats, values);
            }
            WriteRow(stream, values, scale, block);
        }
    }

    private static void WriteRow(Stream stream, ReadOnlySpan<sbyte> values, float scale, Span<byte> block)
    {
        BinaryPrimitives.WriteHalfLittleEndian(block, (Half)scale);
        for (int start = 0; start < values.Length; start += GgufTensor.BlockWeights)
        {
            MemoryMarshal.AsBytes(values.Slice(start, GgufTensor.BlockWeights)).CopyTo(block[2..]);
            stream.Write(block);
        }
    }

    private static void WriteRandomRows(Stream stream, Random random, long[] shape)
    {
        var values = new sbyte[shape[1]];
        var block = new byte[GgufTensor.BlockBytes];
        for (long row = 0; row < shape[0]; row++)
        {
            random.NextBytes(MemoryMarshal.AsBytes(values.AsSpan()));
            WriteRow(stream, values, 1 / (74 * MathF.Sqrt(shape[1])), block); // 74: the bytes' standard deviation
        }
    }

    private static void WriteOnes(Stream stream, long count)
    {
        var ones = new float[count];
        ones.AsSpan().Fill(1);
        stream.Write(MemoryMarshal.AsBytes(ones.AsSpan()));
    }
}
