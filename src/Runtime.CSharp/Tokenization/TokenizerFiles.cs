using System.Text.Json;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Models.Gguf;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>Finds out which tokenizer a model folder holds.</summary>
public static class TokenizerFiles
{
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
            return new QwenTokenizer(GgufModel.Tokenizer(gguf));
        }
        string file = Path.Combine(folder, "tokenizer.json");
        return File.Exists(file) && IsCharacters(file) ? CharacterTokenizer.Load(file) : new QwenTokenizer(QwenTokenizerData.Read(folder));
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
