using System.Text.Json;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The shape of a dense Qwen3 model, as its <c>config.json</c> in Hugging Face form states it (Yang et al., "Qwen3
/// Technical Report", 2025). Settings that this engine would compute wrongly (biases, another activation, stretched or
/// windowed positions) are refused instead of being ignored.
/// </summary>
public sealed record Qwen3Config
{
    public required int HiddenSize { get; init; }
    public required int Layers { get; init; }
    public required int Heads { get; init; }

    /// <summary>Heads of keys and values; each serves <c>Heads / KeyValueHeads</c> query heads (grouped-query attention).</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Width of one head; even, and not necessarily <c>HiddenSize / Heads</c>.</summary>
    public required int HeadDimension { get; init; }

    /// <summary>Width of the feed-forward layer between its gate and down projections.</summary>
    public required int IntermediateSize { get; init; }

    public required int VocabularySize { get; init; }
    public required float RmsNormEpsilon { get; init; }
    public required double RopeTheta { get; init; }

    /// <summary>True: the embedding is also the output head.</summary>
    public required bool TieWordEmbeddings { get; init; }

    public required int MaxPositions { get; init; }

    /// <summary>Tokens that end an answer; at least one.</summary>
    public required int[] EndTokens { get; init; }

    /// <summary>Reads and checks a file; a fault names the file, the key, what was expected and what was got.</summary>
    /// <exception cref="ToolkitException">The file is missing, is no JSON, or describes a model that this engine does not run.</exception>
    public static Qwen3Config Read(string file)
    {
        using JsonDocument document = Json.Open(file);
        JsonElement root = document.RootElement;
        Json.Expect(file, root, "model_type", "\"qwen3\"", v => v.ValueKind == JsonValueKind.String && v.ValueEquals("qwen3"));
        Refuse(file, root, "hidden_act", "\"silu\"", v => v.ValueKind == JsonValueKind.String && v.ValueEquals("silu"));
        Refuse(file, root, "attention_bias", "false", v => v.ValueKind == JsonValueKind.False);
        Refuse(file, root, "use_sliding_window", "false", v => v.ValueKind == JsonValueKind.False);
        Refuse(file, root, "rope_scaling", "null", v => v.ValueKind == JsonValueKind.Null);

        int Size(string key, int max) => (int)Json.Integer(file, root, key, 1, max);
        int heads = Size("num_attention_heads", 4096),
            keyValueHeads = Size("num_key_value_heads", 4096);
        if (heads % keyValueHeads != 0)
            throw Json.Error(file, "num_key_value_heads", $"a divisor of num_attention_heads ({heads})", keyValueHeads.ToString());
        int headDimension = Size("head_dim", 4096);
        if (headDimension % 2 != 0)
            throw Json.Error(file, "head_dim", "an even number", headDimension.ToString());
        int vocabulary = Size("vocab_size", 1 << 22);
        return new Qwen3Config
        {
            HiddenSize = Size("hidden_size", 1 << 16),
            Layers = Size("num_hidden_layers", 1024),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDimension = headDimension,
            IntermediateSize = Size("intermediate_size", 1 << 16),
            VocabularySize = vocabulary,
            RmsNormEpsilon = (float)Json.Number(file, root, "rms_norm_eps", 1e-12, 1),
            RopeTheta = Json.Number(file, RopeHolder(root), "rope_theta", 1, 1e12),
            TieWordEmbeddings = Json.Boolean(file, root, "tie_word_embeddings"),
            MaxPositions = Size("max_position_embeddings", 1 << 22),
            EndTokens = ReadEndTokens(file, root, vocabulary),
        };
    }

    /// <summary>The file that <see cref="Read"/> reads, as text; the same configuration gives the same bytes.</summary>
    public string ToJson()
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n" }))
        {
            json.WriteStartObject();
            json.WriteStartArray("architectures");
            json.WriteStringValue("Qwen3ForCausalLM");
            json.WriteEndArray();
            json.WriteString("model_type", "qwen3");
            json.WriteNumber("hidden_size", HiddenSize);
            json.WriteNumber("num_hidden_layers", Layers);
            json.WriteNumber("num_attention_heads", Heads);
            json.WriteNumber("num_key_value_heads", KeyValueHeads);
            json.WriteNumber("head_dim", HeadDimension);
            json.WriteNumber("intermediate_size", IntermediateSize);
            json.WriteNumber("vocab_size", VocabularySize);
            json.WriteNumber("rms_norm_eps", RmsNormEpsilon);
            json.WriteNumber("rope_theta", RopeTheta);
            json.WriteBoolean("tie_word_embeddings", TieWordEmbeddings);
            json.WriteNumber("max_position_embeddings", MaxPositions);
            json.WriteString("hidden_act", "silu");
            json.WriteStartArray("eos_token_id");
            foreach (int token in EndTokens)
                json.WriteNumberValue(token);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return System.Text.Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }

    /// <summary>Newer files keep <c>rope_theta</c> in an object <c>rope_parameters</c>.</summary>
    private static JsonElement RopeHolder(JsonElement root) =>
        !root.TryGetProperty("rope_theta", out _)
        && root.TryGetProperty("rope_parameters", out JsonElement nested)
        && nested.ValueKind == JsonValueKind.Object
            ? nested
            : root;

    private static void Refuse(string file, JsonElement root, string key, string expected, Func<JsonElement, bool> holds)
    {
        if (root.TryGetProperty(key, out _))
            Json.Expect(file, root, key, expected, holds);
    }

    internal static int[] ReadEndTokens(string file, JsonElement root, int vocabulary)
    {
        JsonElement value = Json.Get(file, root, "eos_token_id", "a token number or an array of them");
        JsonElement[] items = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        var tokens = new int[items.Length];
        for (int i = 0; i < items.Length; i++)
            if (
                items[i].ValueKind != JsonValueKind.Number
                || !items[i].TryGetInt32(out tokens[i])
                || tokens[i] < 0
                || tokens[i] >= vocabulary
            )
                throw Json.Error(file, "eos_token_id", $"token numbers below vocab_size ({vocabulary})", Json.Show(items[i]));
        return tokens.Length > 0 ? tokens : throw Json.Error(file, "eos_token_id", "at least one token", "[]");
    }
}
