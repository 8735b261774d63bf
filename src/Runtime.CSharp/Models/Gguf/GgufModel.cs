namespace OptimalStopping.Runtime.Models;

/// <summary>What a GGUF header says of the model's shape.</summary>
internal static class GgufModel
{
    /// <summary>The shape.</summary>
    /// <exception cref="ToolkitException">A key is missing or out of range, or asks for what the engines do not do.</exception>
    public static Qwen3Config Config(GgufFile file)
    {
        int Size(string key, long max) => (int)file.Integer("qwen3." + key, 1, max);
        int heads = Size("attention.head_count", 4096),
            keyValueHeads = Size("attention.head_count_kv", 4096),
            width = Size("attention.key_length", 4096);
        if (heads % keyValueHeads != 0)
            throw file.Error("qwen3.attention.head_count_kv", $"a divisor of attention.head_count ({heads})", $"{keyValueHeads}");
        if (width % 2 != 0)
            throw file.Error("qwen3.attention.key_length", "an even number", $"{width}");
        if (file.Has("qwen3.attention.value_length") && Size("attention.value_length", 4096) is var values && values != width)
            throw file.Error("qwen3.attention.value_length", $"attention.key_length ({width})", $"{values}");
        if (file.Has("qwen3.rope.dimension_count") && Size("rope.dimension_count", 4096) is var turned && turned != width)
            throw file.Error("qwen3.rope.dimension_count", $"attention.key_length ({width})", $"{turned}");
        if (file.Entries.ContainsKey("rope_freqs.weight"))
            throw file.Error("rope_freqs.weight", "no frequencies of its own (Llama's way to stretch positions)", "a tensor");
        int positions = Size("context_length", 1 << 22);
        PositionScaling? scaling = Scaling(file, positions);
        if (!file.Entries.TryGetValue("model.embed_tokens.weight", out TensorEntry? embedding) || embedding.Shape.Length != 2)
            throw file.Error("token_embd.weight", "a matrix", "nothing");
        int vocabulary = (int)Math.Min(embedding.Shape[0], 1 << 22);
        return new Qwen3Config
        {
            HiddenSize = Size("embedding_length", 1 << 16),
            Layers = Size("block_count", 1024),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDimension = width,
            IntermediateSize = Size("feed_forward_length", 1 << 16),
            VocabularySize = vocabulary,
            RmsNormEpsilon = (float)file.Number("qwen3.attention.layer_norm_rms_epsilon", 1e-12, 1),
            RopeTheta = file.Has("qwen3.rope.freq_base") ? file.Number("qwen3.rope.freq_base", 1, 1e12) : 10_000,
            TieWordEmbeddings = !file.Entries.ContainsKey("lm_head.weight"),
            Scaling = scaling,
            MaxPositions = scaling?.Positions(positions) ?? positions,
            EndTokens = EndTokens(file, vocabulary),
        };
    }

    // llama.cpp's keys; its factor of attention is multiplied with YaRN's own.
    private static PositionScaling? Scaling(GgufFile file, int positions)
    {
        const string prefix = "qwen3.rope.scaling.";
        double Real(string key, double min, double max, double otherwise) =>
            file.Has(prefix + key) ? file.Number(prefix + key, min, max) : otherwise;
        string type = file.Has(prefix + "type") ? file.Text(prefix + "type") : "none";
        bool hasOldKey = file.Has("qwen3.rope.scale_linear");
        if (type is not ("none" or "linear" or "yarn"))
            throw file.Error(prefix + "type", "none, linear or yarn", $"'{type}'");
        double factor =
            hasOldKey ? file.Number("qwen3.rope.scale_linear", 1e-6, 1024)
            : type == "none" ? 1
            : file.Number(prefix + "factor", 0, 1024);
        if (factor is 0 or 1 || type == "none" && !hasOldKey)
            return null;
        if (factor < 1)
            throw file.Error(prefix + "factor", "at least 1", FormattableString.Invariant($"{factor}"));
        if (type != "yarn")
            return new PositionScaling(false, factor, positions, 1);
        if (Real("yarn_log_multiplier", double.MinValue, double.MaxValue, 0) != 0)
            throw file.Error(prefix + "yarn_log_multiplier", "0", "another");
        if (Real("yarn_ext_factor", double.MinValue, double.MaxValue, 1) is not (1 or -1))
            throw file.Error(prefix + "yarn_ext_factor", "1", "another");
        return new PositionScaling(
            true,
            factor,
            file.Has(prefix + "original_context_length") ? (int)file.Integer(prefix + "original_context_length", 1, 1 << 22) : positions,
            Real("attn_factor", 1e-6, 100, 1) * PositionScaling.UsualAttention(factor),
            Real("yarn_beta_fast", 1e-6, 1e6, 32),
            Real("yarn_beta_slow", 1e-6, 1e6, 1)
        );
    }

    /// <summary>The tokens that end an answer.</summary>
    public static int[] EndTokens(GgufFile file, int vocabulary)
    {
        int end = (int)file.Integer("tokenizer.ggml.eos_token_id", 0, vocabulary - 1);
        // Chat models end a turn with one token and a text with another; llama.cpp stops at both.
        int text = file.Has("tokenizer.ggml.tokens")
            ? System.Array.IndexOf(file.Array<string>("tokenizer.ggml.tokens"), "<|endoftext|>")
            : -1;
        return text < 0 || text == end || text >= vocabulary ? [end] : [end, text];
    }
}
