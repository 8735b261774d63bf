using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Models.Gguf;

/// <summary>What a GGUF header says of the model's shape and of its tokenizer.</summary>
internal static class GgufModel
{
    private const long ControlToken = 3,
        UserToken = 4;

    /// <summary>The shape.</summary>
    /// <exception cref="ToolkitException">A key is missing or out of range, or asks for what the engines do not do.</exception>
    public static Qwen3Config Config(GgufFile file)
    {
        int Size(string key, long max) => (int)file.Integer("qwen3." + key, 1, max);
        if (file.Has("qwen3.rope.scaling.type") && file.Text("qwen3.rope.scaling.type") is not "none" and var scaling)
            throw file.Error("qwen3.rope.scaling.type", "none", $"'{scaling}'");
        int heads = Size("attention.head_count", 4096),
            keyValueHeads = Size("attention.head_count_kv", 4096),
            width = Size("attention.key_length", 4096);
        if (heads % keyValueHeads != 0)
            throw file.Error("qwen3.attention.head_count_kv", $"a divisor of attention.head_count ({heads})", $"{keyValueHeads}");
        if (width % 2 != 0)
            throw file.Error("qwen3.attention.key_length", "an even number", $"{width}");
        if (file.Has("qwen3.attention.value_length") && Size("attention.value_length", 4096) is var values && values != width)
            throw file.Error("qwen3.attention.value_length", $"attention.key_length ({width})", $"{values}");
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
            RopeTheta = file.Number("qwen3.rope.freq_base", 1, 1e12),
            TieWordEmbeddings = !file.Entries.ContainsKey("lm_head.weight"),
            MaxPositions = Size("context_length", 1 << 22),
            EndTokens = EndTokens(file, vocabulary),
        };
    }

    /// <summary>The tokenizer.</summary>
    /// <exception cref="ToolkitException">It is another than Qwen's, or malformed.</exception>
    public static QwenTokenizerData Tokenizer(GgufFile file)
    {
        if (file.Text("tokenizer.ggml.model") is not "gpt2" and var model)
            throw file.Error("tokenizer.ggml.model", "gpt2", $"'{model}'");
        if (file.Text("tokenizer.ggml.pre") is not "qwen2" and var pre)
            throw file.Error("tokenizer.ggml.pre", "qwen2", $"'{pre}'");
        string[] tokens = file.Array<string>("tokenizer.ggml.tokens"),
            merges = file.Array<string>("tokenizer.ggml.merges");
        long[] types = file.Array<long>("tokenizer.ggml.token_type");
        if (types.Length != tokens.Length)
            throw file.Error("tokenizer.ggml.token_type", $"{tokens.Length} numbers", $"{types.Length}");
        var vocabulary = new Dictionary<string, int>();
        var added = new List<AddedToken>();
        for (int i = 0; i < tokens.Length; i++)
        {
            if (types[i] is ControlToken or UserToken)
                added.Add(new AddedToken(tokens[i], i, types[i] == ControlToken));
            else if (types[i] == 1 && !vocabulary.TryAdd(tokens[i], i))
                throw file.Error("tokenizer.ggml.tokens", "each token once", $"number {i} again");
        }
        return QwenTokenizerData.Create(file.Error, vocabulary, [.. merges], added, EndTokens(file, tokens.Length));
    }

    private static int[] EndTokens(GgufFile file, int vocabulary)
    {
        int end = (int)file.Integer("tokenizer.ggml.eos_token_id", 0, vocabulary - 1);
        // Chat models end a turn with one token and a text with another; llama.cpp stops at both.
        int text = file.Has("tokenizer.ggml.tokens")
            ? System.Array.IndexOf(file.Array<string>("tokenizer.ggml.tokens"), "<|endoftext|>")
            : -1;
        return text < 0 || text == end || text >= vocabulary ? [end] : [end, text];
    }
}
