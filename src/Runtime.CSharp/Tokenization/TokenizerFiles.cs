using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>Finds out which tokenizer a model folder holds.</summary>
public static class TokenizerFiles
{
    // llama.cpp's kinds of tokens.
    private const long ControlToken = 3,
        UserToken = 4;

    private const int UnusedToken = 5;

    /// <summary>
    /// Reads a folder (or a <c>.gguf</c> file): byte-level BPE as Qwen's, or a vocabulary of single characters (a <c>tokenizer.json</c> without a
    /// pre-tokenizer).
    /// </summary>
    /// <exception cref="ToolkitException">A file is missing or malformed, or describes another kind of tokenizer.</exception>
    public static ITokenizer Load(string folder)
    {
        if (GgufFile.Is(folder))
        {
            using GgufFile gguf = GgufFile.Open(folder);
            return new QwenTokenizer(ReadGguf(gguf));
        }
        string file = Path.Combine(folder, "tokenizer.json");
        return File.Exists(file) && IsCharacters(file) ? CharacterTokenizer.Load(file) : new QwenTokenizer(QwenTokenizerData.Read(folder));
    }

    /// <summary>
    /// The chat template of a folder or <c>.gguf</c> file: <c>chat_template.jinja</c>, else <c>chat_template</c> of
    /// <c>tokenizer_config.json</c> (of several the one named <c>default</c>), or <c>tokenizer.chat_template</c>.
    /// </summary>
    /// <exception cref="ToolkitException">There is none, or one that is not known: the message names the key to state it by.</exception>
    public static ChatTemplate LoadChatTemplate(string path)
    {
        (string place, string? jinja) = ReadJinja(path);
        string names = string.Join(", ", ChatTemplate.All.Select(template => template.Name));
        return jinja is null
            ? throw new ToolkitException(
                $"{place}: expected a chat template, got none; name one with the stage's key chat_template: {names}"
            )
            : ChatTemplate.Recognise(jinja)
                ?? throw new ToolkitException(
                    $"{place}: expected the chat template of a published Qwen3 model, got another (hash {ChatTemplate.Hash(jinja)[..12]}); if it means the same as one of them, name that with the stage's key chat_template: {names}"
                );
    }

    private static (string Place, string? Jinja) ReadJinja(string path)
    {
        if (GgufFile.Is(path))
        {
            using GgufFile gguf = GgufFile.Open(path);
            const string key = "tokenizer.chat_template";
            return ($"{path}: {key}", gguf.Has(key) ? gguf.Text(key) : null);
        }
        string own = Path.Combine(path, "chat_template.jinja"),
            config = Path.Combine(path, "tokenizer_config.json");
        if (File.Exists(own))
            return (own, File.ReadAllText(own));
        if (!File.Exists(config))
            return (path, null);
        using JsonDocument document = Json.Open(config);
        JsonMap root = JsonMap.From(config, document.RootElement);
        string place = $"{config}: chat_template";
        if (!root.Has("chat_template", out JsonElement value) || value.ValueKind == JsonValueKind.String)
            return (place, root.TextOr("chat_template", null));
        JsonMap? chosen = root.Maps("chat_template").FirstOrDefault(map => map.Text("name") == "default");
        return (place, chosen?.Text("template"));
    }

    /// <summary>
    /// The keys by which a GGUF file states the tokenizer and the chat template of a folder or another GGUF file. Numbers
    /// that are no token get a name of their own, as llama.cpp's converter gives them.
    /// </summary>
    /// <param name="path">The folder or file.</param>
    /// <param name="vocabulary">Rows of the model's embedding.</param>
    /// <exception cref="ToolkitException">The tokenizer is another than Qwen's, or malformed.</exception>
    public static IReadOnlyList<KeyValuePair<string, object>> GgufKeys(string path, int vocabulary)
    {
        QwenTokenizerData data;
        if (GgufFile.Is(path))
        {
            using GgufFile gguf = GgufFile.Open(path);
            data = ReadGguf(gguf);
        }
        else if (File.Exists(Path.Combine(path, "tokenizer.json")) && IsCharacters(Path.Combine(path, "tokenizer.json")))
            throw new ToolkitException(
                $"{path}: tokenizer: expected byte-level BPE, got single characters, which GGUF has no way to state"
            );
        else
            data = QwenTokenizerData.Read(path);
        string[] tokens = [.. Enumerable.Range(0, vocabulary).Select(id => $"[PAD{id}]")];
        var kinds = new int[vocabulary];
        Array.Fill(kinds, UnusedToken);
        void Set(string text, int id, int kind)
        {
            if (id >= vocabulary)
                throw new ToolkitException($"{path}: tokenizer: expected tokens below {vocabulary}, the rows of the embedding, got {id}");
            (tokens[id], kinds[id]) = (text, kind);
        }
        foreach (var (text, id) in data.Vocabulary)
            Set(text, id, 1);
        foreach (AddedToken token in data.Added)
            Set(token.Content, token.Id, (int)(token.Special ? ControlToken : UserToken));
        int end = Array.FindIndex(data.StopTokens, id => id < vocabulary && tokens[id] == "<|im_end|>");
        var keys = new List<KeyValuePair<string, object>>
        {
            new("tokenizer.ggml.model", "gpt2"),
            new("tokenizer.ggml.pre", "qwen2"),
            new("tokenizer.ggml.tokens", tokens),
            new("tokenizer.ggml.token_type", kinds),
            new("tokenizer.ggml.merges", data.Merges.ToArray()),
            new("tokenizer.ggml.eos_token_id", (uint)data.StopTokens[Math.Max(end, 0)]),
            new("tokenizer.ggml.add_bos_token", false),
        };
        if (ReadJinja(path).Jinja is { } jinja)
            keys.Add(new("tokenizer.chat_template", jinja));
        return keys;
    }

    internal static QwenTokenizerData ReadGguf(GgufFile file)
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
        return QwenTokenizerData.Create(file.Error, vocabulary, [.. merges], added, GgufModel.EndTokens(file, tokens.Length));
    }

    private static bool IsCharacters(string file)
    {
        using JsonDocument document = Json.Open(file);
        return !document.RootElement.TryGetProperty("pre_tokenizer", out _)
            && document.RootElement.TryGetProperty("model", out JsonElement model)
            && model.ValueKind == JsonValueKind.Object
            && (
                !model.TryGetProperty("merges", out JsonElement merges)
                || merges.ValueKind != JsonValueKind.Array
                || merges.GetArrayLength() == 0
            );
    }
}
