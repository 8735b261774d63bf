using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Writes the tokenizer files of a Qwen3 folder as they are published: <c>tokenizer.json</c>,
/// <c>tokenizer_config.json</c> with the chat template, and <c>generation_config.json</c> with the tokens that end an answer.
/// </summary>
public static class QwenTokenizerWriter
{
    /// <summary>The added tokens of Qwen3 in the order of their numbers, and whether they are special.</summary>
    public static IReadOnlyList<(string Content, bool Special)> AddedTokens { get; } =
    [
        ("<|endoftext|>", true),
        ("<|im_start|>", true),
        ("<|im_end|>", true),
        ("<|object_ref_start|>", true),
        ("<|object_ref_end|>", true),
        ("<|box_start|>", true),
        ("<|box_end|>", true),
        ("<|quad_start|>", true),
        ("<|quad_end|>", true),
        ("<|vision_start|>", true),
        ("<|vision_end|>", true),
        ("<|vision_pad|>", true),
        ("<|image_pad|>", true),
        ("<|video_pad|>", true),
        ("<tool_call>", false),
        ("</tool_call>", false),
        ("<|fim_prefix|>", false),
        ("<|fim_middle|>", false),
        ("<|fim_suffix|>", false),
        ("<|fim_pad|>", false),
        ("<|repo_name|>", false),
        ("<|file_sep|>", false),
        ("<tool_response>", false),
        ("</tool_response>", false),
        ("<think>", false),
        ("</think>", false),
    ];

    private static readonly JsonSerializerOptions Layout = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Writes the three files; the same input gives the same bytes.</summary>
    /// <param name="tokens">The vocabulary without the added tokens, which are numbered behind it.</param>
    /// <param name="chatTemplate">The Jinja template of Qwen3.</param>
    public static void Write(
        string folder,
        IReadOnlyList<string> tokens,
        IReadOnlyList<(string Left, string Right)> merges,
        string chatTemplate,
        int maxLength
    )
    {
        Directory.CreateDirectory(folder);
        int Number(string added) => tokens.Count + AddedTokens.TakeWhile(token => token.Content != added).Count();
        var vocabulary = new JsonObject();
        for (int i = 0; i < tokens.Count; i++)
            vocabulary[tokens[i]] = i;
        JsonObject ByteLevel() =>
            new()
            {
                ["type"] = "ByteLevel",
                ["add_prefix_space"] = false,
                ["trim_offsets"] = false,
                ["use_regex"] = false,
            };
        Save(
            folder,
            "tokenizer.json",
            new JsonObject
            {
                ["version"] = "1.0",
                ["truncation"] = null,
                ["padding"] = null,
                ["added_tokens"] = new JsonArray([.. AddedTokens.Select(token => Added(token, Number(token.Content)))]),
                ["normalizer"] = new JsonObject { ["type"] = "NFC" },
                ["pre_tokenizer"] = new JsonObject
                {
                    ["type"] = "Sequence",
                    ["pretokenizers"] = new JsonArray(
                        new JsonObject
                        {
                            ["type"] = "Split",
                            ["pattern"] = new JsonObject { ["Regex"] = QwenPreTokenizer.Pattern },
                            ["behavior"] = "Isolated",
                            ["invert"] = false,
                        },
                        ByteLevel()
                    ),
                },
                ["post_processor"] = ByteLevel(),
                ["decoder"] = ByteLevel(),
                ["model"] = new JsonObject
                {
                    ["type"] = "BPE",
                    ["dropout"] = null,
                    ["unk_token"] = null,
                    ["continuing_subword_prefix"] = "",
                    ["end_of_word_suffix"] = "",
                    ["fuse_unk"] = false,
                    ["byte_fallback"] = false,
                    ["ignore_merges"] = false,
                    ["vocab"] = vocabulary,
                    ["merges"] = new JsonArray([.. merges.Select(merge => JsonValue.Create($"{merge.Left} {merge.Right}"))]),
                },
            }
        );
        var decoder = new JsonObject();
        foreach (var token in AddedTokens)
            decoder[$"{Number(token.Content)}"] = Added(token, null);
        Save(
            folder,
            "tokenizer_config.json",
            new JsonObject
            {
                ["add_bos_token"] = false,
                ["add_prefix_space"] = false,
                ["added_tokens_decoder"] = decoder,
                ["additional_special_tokens"] = new JsonArray([
                    .. AddedTokens.Where(token => token.Special).Skip(1).Select(token => JsonValue.Create(token.Content)),
                ]),
                ["bos_token"] = null,
                ["chat_template"] = chatTemplate,
                ["clean_up_tokenization_spaces"] = false,
                ["eos_token"] = "<|im_end|>",
                ["errors"] = "replace",
                ["model_max_length"] = maxLength,
                ["pad_token"] = "<|endoftext|>",
                ["split_special_tokens"] = false,
                ["tokenizer_class"] = "Qwen2Tokenizer",
                ["unk_token"] = null,
            }
        );
        Save(
            folder,
            "generation_config.json",
            new JsonObject
            {
                ["bos_token_id"] = Number("<|endoftext|>"),
                ["do_sample"] = false,
                ["eos_token_id"] = new JsonArray(Number("<|im_end|>"), Number("<|endoftext|>")),
                ["pad_token_id"] = Number("<|endoftext|>"),
            }
        );
    }

    private static JsonObject Added((string Content, bool Special) token, int? number)
    {
        var json = new JsonObject
        {
            ["content"] = token.Content,
            ["single_word"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["normalized"] = false,
            ["special"] = token.Special,
        };
        if (number is { } id)
            json.Insert(0, "id", id);
        return json;
    }

    private static void Save(string folder, string name, JsonObject json) =>
        File.WriteAllText(Path.Combine(folder, name), json.ToJsonString(Layout) + "\n");
}
