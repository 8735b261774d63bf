using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>A token that is cut out of a text before anything else; special ones are left out of decoded text.</summary>
internal readonly record struct AddedToken(string Content, int Id, bool Special);

/// <summary>
/// What a folder says of its byte-level BPE tokenizer: <c>tokenizer.json</c>, or the older <c>vocab.json</c> and
/// <c>merges.txt</c>, with the added tokens of the files beside them; and the tokens that end an answer, from
/// <c>generation_config.json</c>, else <c>config.json</c>.
/// </summary>
internal sealed class QwenTokenizerData
{
    private const int MostTokens = 1 << 22;

    public required Dictionary<string, int> Vocabulary { get; init; }
    public required IReadOnlyList<string> Merges { get; init; }
    public required IReadOnlyList<AddedToken> Added { get; init; }
    public required int[] StopTokens { get; init; }

    /// <summary>A hash of the vocabulary and the merges.</summary>
    public string Fingerprint { get; private set; } = "";

    /// <summary>Reads a folder.</summary>
    /// <exception cref="ToolkitException">A file is missing or malformed, or describes another kind of tokenizer.</exception>
    public static QwenTokenizerData Read(string folder)
    {
        string single = Path.Combine(folder, "tokenizer.json");
        return Finish(File.Exists(single) ? ReadSingle(single, folder) : ReadParts(folder));
    }

    /// <summary>The same from parts, checked; <paramref name="fault"/> makes the exception of key, expected and got.</summary>
    public static QwenTokenizerData Create(
        Func<string, string, string, ToolkitException> fault,
        Dictionary<string, int> vocabulary,
        List<string> merges,
        IReadOnlyList<AddedToken> added,
        int[] stops
    )
    {
        CheckBytes(fault, "vocabulary", vocabulary);
        return Finish(
            new QwenTokenizerData
            {
                Vocabulary = vocabulary,
                Merges = CheckMerges(fault, merges, vocabulary),
                Added = added,
                StopTokens = stops,
            }
        );
    }

    private static QwenTokenizerData ReadSingle(string file, string folder)
    {
        using JsonDocument document = Json.Open(file);
        JsonElement root = document.RootElement;
        JsonElement model = Child(file, root, "model", "an object");
        Expect(file, model, "model.type", "type", "\"BPE\"", v => v.ValueKind == JsonValueKind.Null || Is(v, "BPE"));
        foreach (string key in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            Expect(file, model, "model." + key, key, "none", v => v.ValueKind == JsonValueKind.Null || Is(v, ""));
        Expect(file, model, "model.byte_fallback", "byte_fallback", "false", v => v.ValueKind is JsonValueKind.Null or JsonValueKind.False);
        Expect(file, model, "model.ignore_merges", "ignore_merges", "false", v => v.ValueKind is JsonValueKind.Null or JsonValueKind.False);
        Expect(file, root, "normalizer", "normalizer", "NFC", v => Is(Inner(v, "type"), "NFC"));
        CheckPreTokenizer(file, root);
        Dictionary<string, int> vocabulary = ReadVocabulary(
            file,
            "model.vocab",
            Child(file, model, "vocab", "an object of tokens and numbers")
        );
        JsonElement merges = Inner(model, "merges");
        if (merges.ValueKind != JsonValueKind.Array)
            throw Json.Error(file, "model.merges", "an array of pairs", Json.Show(merges));
        return new QwenTokenizerData
        {
            Vocabulary = vocabulary,
            Merges = CheckMerges(
                (key, expected, got) => Json.Error(file, key, expected, got),
                [.. merges.EnumerateArray().Select(pair => Pair(file, pair))],
                vocabulary
            ),
            Added = WithBeside(
                folder,
                root.TryGetProperty("added_tokens", out JsonElement added) ? ReadAdded(file, added, vocabulary) : [],
                vocabulary
            ),
            StopTokens = Qwen3Config.ReadEndTokens(folder, MostTokens),
        };
    }

    private static QwenTokenizerData ReadParts(string folder)
    {
        string vocabularyFile = Path.Combine(folder, "vocab.json"),
            mergesFile = Path.Combine(folder, "merges.txt");
        if (!File.Exists(vocabularyFile) || !File.Exists(mergesFile))
            throw new ToolkitException(
                $"{Path.Combine(folder, "tokenizer.json")}: expected this file, or vocab.json with merges.txt beside it, got neither"
            );
        using JsonDocument document = Json.Open(vocabularyFile);
        Dictionary<string, int> vocabulary = ReadVocabulary(vocabularyFile, "vocab", document.RootElement);
        string[] lines;
        try
        {
            lines = File.ReadAllLines(mergesFile);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{mergesFile}: expected a readable file, got: {fault.Message}", fault);
        }
        return new QwenTokenizerData
        {
            Vocabulary = vocabulary,
            Merges = CheckMerges(
                (key, expected, got) => Json.Error(mergesFile, key, expected, got),
                [.. lines.Where((line, i) => line.Length > 0 && !(i == 0 && line.StartsWith("#version", StringComparison.Ordinal)))],
                vocabulary
            ),
            Added = WithBeside(folder, [], vocabulary),
            StopTokens = Qwen3Config.ReadEndTokens(folder, MostTokens),
        };
    }

    /// <summary>
    /// Added tokens with those that other files of the folder name: <c>added_tokens_decoder</c> of
    /// <c>tokenizer_config.json</c>, and <c>added_tokens.json</c>, whose tokens are special where
    /// <c>special_tokens_map.json</c> has them. A file that lacks some is completed by the others.
    /// </summary>
    private static List<AddedToken> WithBeside(string folder, List<AddedToken> added, Dictionary<string, int> vocabulary)
    {
        string config = Path.Combine(folder, "tokenizer_config.json"),
            list = Path.Combine(folder, "added_tokens.json"),
            special = Path.Combine(folder, "special_tokens_map.json");
        if (File.Exists(config))
        {
            using JsonDocument settings = Json.Open(config);
            if (settings.RootElement.TryGetProperty("added_tokens_decoder", out JsonElement tokens))
                Join(config, ReadAddedDecoder(config, tokens, vocabulary));
        }
        if (File.Exists(list))
        {
            using JsonDocument map = Json.Open(list);
            HashSet<string> specials = File.Exists(special) ? ReadTexts(special) : [];
            var tokens = new List<AddedToken>();
            foreach (JsonProperty item in map.RootElement.EnumerateObject())
            {
                if (item.Value.ValueKind != JsonValueKind.Number || !item.Value.TryGetInt32(out int id) || id is < 0 or >= MostTokens)
                    throw Json.Error(list, item.Name, $"a number of 0 to {MostTokens - 1}", Json.Show(item.Value));
                tokens.Add(new AddedToken(item.Name, id, specials.Contains(item.Name)));
            }
            Join(list, tokens);
        }
        CheckNumbers(Path.Combine(folder, "tokenizer.json"), added, vocabulary);
        return added;

        void Join(string file, List<AddedToken> others)
        {
            foreach (AddedToken token in others)
            {
                int known = added.FindIndex(other => other.Content == token.Content);
                if (known < 0)
                    added.Add(token);
                else if (added[known].Id != token.Id)
                    throw Json.Error(file, Show(token.Content), $"the number {added[known].Id} as elsewhere", $"{token.Id}");
            }
        }
    }

    // One number for two texts would lose one of them without a word.
    private static void CheckNumbers(string file, List<AddedToken> added, Dictionary<string, int> vocabulary)
    {
        var numbers = new HashSet<int>(vocabulary.Values);
        foreach (AddedToken token in added)
            if (!numbers.Add(token.Id) && !vocabulary.ContainsKey(token.Content))
                throw Json.Error(file, "added_tokens", "each number for one token", $"{token.Id} again for {Show(token.Content)}");
    }

    // Every text of a file, as special_tokens_map.json has them: plain, in lists, or as the content of an object.
    private static HashSet<string> ReadTexts(string file)
    {
        using JsonDocument document = Json.Open(file);
        var texts = new HashSet<string>();
        void Collect(JsonElement value)
        {
            if (value.ValueKind == JsonValueKind.String)
                texts.Add(value.GetString()!);
            else if (value.ValueKind == JsonValueKind.Array)
                foreach (JsonElement item in value.EnumerateArray())
                    Collect(item);
            else if (value.ValueKind == JsonValueKind.Object)
                foreach (JsonProperty item in value.EnumerateObject())
                    Collect(item.Value);
        }
        Collect(document.RootElement);
        return texts;
    }

    private static void CheckPreTokenizer(string file, JsonElement root)
    {
        JsonElement top = Inner(root, "pre_tokenizer");
        JsonElement steps = Inner(top, "pretokenizers");
        bool qwen =
            Is(Inner(top, "type"), "Sequence")
            && steps.ValueKind == JsonValueKind.Array
            && steps.GetArrayLength() == 2
            && Is(Inner(steps[0], "type"), "Split")
            && Is(Inner(Inner(steps[0], "pattern"), "Regex"), QwenPreTokenizer.Pattern)
            && Is(Inner(steps[0], "behavior"), "Isolated")
            && Inner(steps[0], "invert").ValueKind is JsonValueKind.False or JsonValueKind.Undefined
            && Is(Inner(steps[1], "type"), "ByteLevel")
            && Inner(steps[1], "use_regex").ValueKind == JsonValueKind.False
            && Inner(steps[1], "add_prefix_space").ValueKind is JsonValueKind.False;
        if (!qwen)
            throw Json.Error(file, "pre_tokenizer", $"Qwen's: Split by {QwenPreTokenizer.Pattern}, then ByteLevel", Json.Show(top));
    }

    private static Dictionary<string, int> ReadVocabulary(string file, string key, JsonElement map)
    {
        var vocabulary = new Dictionary<string, int>();
        var used = new HashSet<int>();
        foreach (JsonProperty item in map.EnumerateObject())
        {
            if (
                item.Value.ValueKind != JsonValueKind.Number
                || !item.Value.TryGetInt32(out int id)
                || id < 0
                || id >= MostTokens
                || !used.Add(id)
            )
                throw Json.Error(file, key, $"numbers of 0 to {MostTokens - 1}, each once", $"{Show(item.Name)}: {Json.Show(item.Value)}");
            vocabulary.Add(item.Name, id);
        }
        CheckBytes((name, expected, got) => Json.Error(file, name, expected, got), key, vocabulary);
        return vocabulary;
    }

    // A byte that is missing would be dropped from texts without a word.
    private static void CheckBytes(Func<string, string, string, ToolkitException> fault, string key, Dictionary<string, int> vocabulary)
    {
        foreach (char c in ByteAlphabet.Characters)
            if (!vocabulary.ContainsKey(c.ToString()))
                throw fault(key, "every byte as a token", $"none for {Show(c.ToString())}");
    }

    private static string Pair(string file, JsonElement pair)
    {
        if (pair.ValueKind == JsonValueKind.String)
            return pair.GetString()!;
        if (
            pair.ValueKind == JsonValueKind.Array
            && pair.GetArrayLength() == 2
            && pair[0].ValueKind == JsonValueKind.String
            && pair[1].ValueKind == JsonValueKind.String
        )
            return $"{pair[0].GetString()} {pair[1].GetString()}";
        throw Json.Error(file, "model.merges", "pairs of tokens", Json.Show(pair));
    }

    private static List<string> CheckMerges(
        Func<string, string, string, ToolkitException> fault,
        List<string> merges,
        Dictionary<string, int> vocabulary
    )
    {
        for (int i = 0; i < merges.Count; i++)
        {
            string[] parts = merges[i].Split(' ');
            if (
                parts.Length != 2
                || !vocabulary.ContainsKey(parts[0])
                || !vocabulary.ContainsKey(parts[1])
                || !vocabulary.ContainsKey(parts[0] + parts[1])
            )
                throw fault($"merges[{i}]", "two tokens whose join is a token", Show(merges[i]));
        }
        return merges;
    }

    private static List<AddedToken> ReadAdded(string file, JsonElement list, Dictionary<string, int> vocabulary)
    {
        if (list.ValueKind != JsonValueKind.Array)
            throw Json.Error(file, "added_tokens", "an array of objects", Json.Show(list));
        var tokens = new List<AddedToken>();
        foreach (JsonElement item in list.EnumerateArray())
            tokens.Add(ReadAddedToken(file, $"added_tokens[{tokens.Count}]", item, Inner(item, "id"), vocabulary));
        return tokens;
    }

    private static List<AddedToken> ReadAddedDecoder(string file, JsonElement map, Dictionary<string, int> vocabulary)
    {
        if (map.ValueKind != JsonValueKind.Object)
            throw Json.Error(file, "added_tokens_decoder", "an object", Json.Show(map));
        var tokens = new List<AddedToken>();
        foreach (JsonProperty item in map.EnumerateObject())
        {
            using JsonDocument number = JsonDocument.Parse(int.TryParse(item.Name, out int id) ? $"{id}" : "null");
            tokens.Add(ReadAddedToken(file, $"added_tokens_decoder.{item.Name}", item.Value, number.RootElement, vocabulary));
        }
        return tokens;
    }

    private static AddedToken ReadAddedToken(string file, string key, JsonElement item, JsonElement id, Dictionary<string, int> vocabulary)
    {
        JsonElement content = Inner(item, "content");
        if (
            content.ValueKind != JsonValueKind.String
            || content.GetString() is not { Length: > 0 and < 1000 } text
            || id.ValueKind != JsonValueKind.Number
            || !id.TryGetInt32(out int number)
            || number < 0
            || number >= MostTokens
        )
            throw Json.Error(file, key, $"a content and a number of 0 to {MostTokens - 1}", Json.Show(item));
        foreach (string rule in (string[])["single_word", "lstrip", "rstrip", "normalized"])
            if (Inner(item, rule).ValueKind == JsonValueKind.True)
                throw Json.Error(file, $"{key}.{rule}", "false", "true");
        if (vocabulary.TryGetValue(text, out int other) && other != number)
            throw Json.Error(file, key, $"the number {other} of the vocabulary", $"{number}");
        return new AddedToken(text, number, Inner(item, "special").ValueKind == JsonValueKind.True);
    }

    private static QwenTokenizerData Finish(QwenTokenizerData data)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        void Add(string text) => hash.AppendData(Encoding.UTF8.GetBytes(text + "\n"));
        foreach (var (text, id) in data.Vocabulary.OrderBy(item => item.Value))
            Add($"{id} {text}");
        foreach (string merge in data.Merges)
            Add(merge);
        data.Fingerprint = Convert.ToHexString(hash.GetHashAndReset());
        return data;
    }

    private static JsonElement Child(string file, JsonElement root, string key, string expected)
    {
        JsonElement value = Inner(root, key);
        return value.ValueKind == JsonValueKind.Object ? value : throw Json.Error(file, key, expected, Json.Show(value));
    }

    private static void Expect(string file, JsonElement root, string name, string key, string expected, Func<JsonElement, bool> holds)
    {
        if (root.TryGetProperty(key, out JsonElement value) && !holds(value))
            throw Json.Error(file, name, expected, Json.Show(value));
    }

    private static JsonElement Inner(JsonElement value, string key) =>
        value.ValueKind == JsonValueKind.Object && value.TryGetProperty(key, out JsonElement inner) ? inner : default;

    private static bool Is(JsonElement value, string text) => value.ValueKind == JsonValueKind.String && value.ValueEquals(text);

    private static string Show(string text) => $"'{(text.Length <= 40 ? text : text[..37] + "...").ReplaceLineEndings(" ")}'";
}
