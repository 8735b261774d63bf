using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// One token per character over the nano cascade's alphabet of 63 characters; token 0 ends a text. Kept beside the
/// model as a Hugging Face <c>tokenizer.json</c> (a BPE vocabulary without merges).
/// </summary>
public sealed class CharacterTokenizer : ITokenizer
{
    /// <summary>The nano cascade's alphabet; a character's token is one more than its place here.</summary>
    public const string NanoAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz +-*%=#,;:|&?()<>.^/!@$_~[]";

    private const string EndOfTextToken = "<eos>";

    private readonly Dictionary<char, int> _tokens = [];
    private readonly string[] _texts;

    private CharacterTokenizer(string[] texts, int endOfText)
    {
        _texts = texts;
        EndOfText = endOfText;
        for (int i = 0; i < texts.Length; i++)
            if (i != endOfText)
                _tokens[texts[i][0]] = i;
    }

    /// <summary>The tokenizer of the nano cascade.</summary>
    public static CharacterTokenizer Nano { get; } = new([EndOfTextToken, .. NanoAlphabet.Select(c => c.ToString())], 0);

    public int VocabularySize => _texts.Length;

    public int EndOfText { get; }

    public string Fingerprint => ToJson();

    /// <exception cref="ToolkitException">A character is outside the alphabet; the message names it and its place.</exception>
    public int[] Encode(string text)
    {
        var tokens = new int[text.Length];
        for (int i = 0; i < text.Length; i++)
        {
            if (!_tokens.TryGetValue(text[i], out tokens[i]))
                throw new ToolkitException(
                    $"prompt:{i + 1}: expected a character of the cascade's alphabet ({string.Concat(_texts.Where(t => t.Length == 1))}), got {Describe(text, i)}"
                );
        }
        return tokens;
    }

    public string Decode(ReadOnlySpan<int> tokens)
    {
        var text = new StringBuilder(tokens.Length);
        foreach (int token in tokens)
            if (token != EndOfText)
                text.Append(_texts[token]);
        return text.ToString();
    }

    /// <summary>Reads a <c>tokenizer.json</c> whose vocabulary is single characters and one end-of-text token.</summary>
    public static CharacterTokenizer Load(string path)
    {
        using JsonDocument document = Json.Open(path);
        if (
            !document.RootElement.TryGetProperty("model", out JsonElement model)
            || model.ValueKind != JsonValueKind.Object
            || !model.TryGetProperty("vocab", out JsonElement vocabulary)
            || vocabulary.ValueKind != JsonValueKind.Object
        )
            throw new ToolkitException($"{path}: key 'model.vocab': expected an object of token to id, got none");
        var texts = new string[vocabulary.GetPropertyCount()];
        int? end = null;
        foreach (JsonProperty token in vocabulary.EnumerateObject())
        {
            string text = token.Name;
            if (
                token.Value.ValueKind != JsonValueKind.Number
                || !token.Value.TryGetInt32(out int id)
                || id < 0
                || id >= texts.Length
                || texts[id] is not null
            )
                throw new ToolkitException(
                    $"{path}: key 'model.vocab': expected the ids 0 to {texts.Length - 1} once each, got '{text}': {Json.Show(token.Value)}"
                );
            texts[id] = text;
            if (text.Length == 1)
                continue;
            if (end is not null)
                throw new ToolkitException(
                    $"{path}: key 'model.vocab': expected single characters and one end-of-text token, got '{texts[end.Value]}' and '{text}'"
                );
            end = id;
        }
        return new CharacterTokenizer(
            texts,
            end ?? throw new ToolkitException($"{path}: key 'model.vocab': expected an end-of-text token, got none")
        );
    }

    /// <summary>The <c>tokenizer.json</c> that <see cref="Load"/> reads.</summary>
    public string ToJson()
    {
        var vocabulary = new JsonObject();
        for (int i = 0; i < _texts.Length; i++)
            vocabulary[_texts[i]] = i;
        var document = new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(
                new JsonObject
                {
                    ["id"] = EndOfText,
                    ["content"] = _texts[EndOfText],
                    ["single_word"] = false,
                    ["lstrip"] = false,
                    ["rstrip"] = false,
                    ["normalized"] = false,
                    ["special"] = true,
                }
            ),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray(),
            },
        };
        return document.ToJsonString(
                new JsonSerializerOptions
                {
                    WriteIndented = true,
                    Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
                }
            ) + "\n";
    }

    private static string Describe(string text, int at)
    {
        if (!Rune.TryGetRuneAt(text, at, out Rune rune))
            return $"a lone surrogate (U+{(int)text[at]:X4})";
        return $"'{rune}' (U+{rune.Value:X4})";
    }
}
