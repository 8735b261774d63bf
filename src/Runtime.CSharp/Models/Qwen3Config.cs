using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The shape of a dense Qwen3 model, as its <c>config.json</c> in Hugging Face form states it (Yang et al., "Qwen3
/// Technical Report", 2025). Settings that the engines would compute wrongly (biases, another activation, windowed
/// attention, other ways to stretch positions) are refused instead of being ignored.
/// </summary>
public sealed record Qwen3Config
{
    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Transformer layers.</summary>
    public required int Layers { get; init; }

    /// <summary>Heads of queries.</summary>
    public required int Heads { get; init; }

    /// <summary>Heads of keys and values; each serves <c>Heads / KeyValueHeads</c> query heads (grouped-query attention).</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Width of one head; even, and not necessarily <c>HiddenSize / Heads</c>.</summary>
    public required int HeadDimension { get; init; }

    /// <summary>Width of the feed-forward layer between its gate and down projections.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Rows of the embedding and of the head; at least the tokenizer's tokens.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Added to the mean square before its root is taken.</summary>
    public required float RmsNormEpsilon { get; init; }

    /// <summary>Base of the rotary frequencies.</summary>
    public required double RopeTheta { get; init; }

    /// <summary>How positions are stretched beyond those of training; null where they are not.</summary>
    public PositionScaling? Scaling { get; init; }

    /// <summary>True: the embedding is also the output head.</summary>
    public required bool TieWordEmbeddings { get; init; }

    /// <summary>The most tokens of one sequence.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Tokens that end an answer; at least one.</summary>
    public required int[] EndTokens { get; init; }

    /// <summary>How the checkpoint's matrices are stored; null where <c>config.json</c> says nothing of it.</summary>
    public WeightQuantisation? Quantisation { get; init; }

    /// <summary>
    /// Reads and checks a file. Keys that are missing have the values that transformers' <c>Qwen3Config</c> gives them. Tokens
    /// that end an answer come from <c>generation_config.json</c> beside it, or from the file itself where that names none.
    /// </summary>
    /// <exception cref="ToolkitException">The file is missing, is no JSON, or describes a model that the engines do not run.</exception>
    public static Qwen3Config Read(string file)
    {
        using JsonDocument document = Json.Open(file);
        JsonMap root = JsonMap.From(file, document.RootElement);
        CheckKind(root);
        int heads = root.Integer("num_attention_heads", 1, 4096),
            keyValueHeads = root.Integer("num_key_value_heads", 1, 4096);
        if (heads % keyValueHeads != 0)
            throw root.Error("num_key_value_heads", $"a divisor of num_attention_heads ({heads})", keyValueHeads.ToString());
        int headDimension = root.IntegerOrNull("head_dim", 1, 4096) ?? 128;
        if (headDimension % 2 != 0)
            throw root.Error("head_dim", "an even number", headDimension.ToString());
        int vocabulary = root.Integer("vocab_size", 1, 1 << 22),
            positions = root.Integer("max_position_embeddings", 1, 1 << 22);
        (double theta, PositionScaling? scaling) = PositionScaling.Read(root, positions);
        return new Qwen3Config
        {
            HiddenSize = root.Integer("hidden_size", 1, 1 << 16),
            Layers = root.Integer("num_hidden_layers", 1, 1024),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDimension = headDimension,
            IntermediateSize = root.Integer("intermediate_size", 1, 1 << 20),
            VocabularySize = vocabulary,
            RmsNormEpsilon = (float)root.NumberOr("rms_norm_eps", 1e-12, 1, 1e-6),
            RopeTheta = theta,
            Scaling = scaling,
            TieWordEmbeddings = root.FlagOr("tie_word_embeddings", false),
            MaxPositions = scaling?.Positions(positions) ?? positions,
            EndTokens = ReadEndTokens(Path.GetDirectoryName(file) ?? "", vocabulary),
            Quantisation = root.Has("quantization_config") ? WeightQuantisation.Read(root.Map("quantization_config")) : null,
        };
    }

    /// <summary>
    /// The tokens that end an answer, as a folder states them: <c>eos_token_id</c> of <c>generation_config.json</c>, or of
    /// <c>config.json</c> where the former is missing or null.
    /// </summary>
    /// <exception cref="ToolkitException">Neither file names one, or a number is no token of the vocabulary.</exception>
    public static int[] ReadEndTokens(string folder, int vocabulary)
    {
        foreach (string name in (string[])["generation_config.json", "config.json"])
        {
            string file = Path.Combine(folder, name);
            if (!File.Exists(file))
                continue;
            using JsonDocument document = Json.Open(file);
            JsonMap root = JsonMap.From(file, document.RootElement);
            if (root.Has("eos_token_id", out JsonElement value))
                return EndTokensOf(root, value, vocabulary);
        }
        throw Json.Error(
            Path.Combine(folder, "config.json"),
            "eos_token_id",
            "a token number or an array of them, here or in generation_config.json",
            "nothing"
        );
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
            Scaling?.Write(json);
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

    // What the model is for, and what its layers compute.
    private static void CheckKind(JsonMap root)
    {
        if (root.Text("model_type", "\"qwen3\"") is not "qwen3" and var type)
            throw root.Error(
                "model_type",
                "\"qwen3\"",
                type == "qwen3_moe" ? "\"qwen3_moe\", a mixture of experts" : $"\"{Json.Short(type)}\""
            );
        if (
            root.Has("architectures")
            && root.Texts("architectures") is { Length: > 0 } architectures
            && !architectures.Contains("Qwen3ForCausalLM")
        )
            throw root.Error(
                "architectures",
                "\"Qwen3ForCausalLM\", which writes text",
                $"\"{Json.Short(string.Join(", ", architectures))}\""
            );
        if (root.TextOr("hidden_act", "silu") is not "silu" and var activation)
            throw root.Error("hidden_act", "\"silu\"", $"\"{activation}\"");
        foreach (string key in (string[])["attention_bias", "use_sliding_window"])
            if (root.FlagOr(key, false))
                throw root.Error(key, "false", "true");
        if (root.Has("layer_types") && root.Texts("layer_types").FirstOrDefault(layer => layer != "full_attention") is { } other)
            throw root.Error("layer_types", "\"full_attention\" everywhere", $"\"{Json.Short(other)}\"");
    }

    private static int[] EndTokensOf(JsonMap root, JsonElement value, int vocabulary)
    {
        JsonElement[] items = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        var tokens = new int[items.Length];
        for (int i = 0; i < items.Length; i++)
            if (
                items[i].ValueKind != JsonValueKind.Number
                || !items[i].TryGetInt32(out tokens[i])
                || tokens[i] < 0
                || tokens[i] >= vocabulary
            )
                throw root.Error("eos_token_id", $"token numbers below vocab_size ({vocabulary})", Json.Show(items[i]));
        return tokens.Length > 0 ? tokens : throw root.Error("eos_token_id", "at least one token", "[]");
    }
}
