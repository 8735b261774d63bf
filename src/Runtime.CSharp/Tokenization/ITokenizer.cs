namespace OptimalStopping.Runtime.Tokenization;

/// <summary>Text to token ids and back.</summary>
public interface ITokenizer
{
    /// <summary>Number of distinct tokens; ids are 0 to one less.</summary>
    int VocabularySize { get; }

    /// <summary>The token after which a model's answer is complete.</summary>
    int EndOfText { get; }

    /// <summary>Every token that ends an answer; the first is <see cref="EndOfText"/>.</summary>
    IReadOnlyList<int> StopTokens => [EndOfText];

    /// <summary>Equal for tokenizers that give the same tokens.</summary>
    string Fingerprint { get; }

    /// <summary>The tokens of a text, without any start or end token.</summary>
    int[] Encode(string text);

    /// <summary>The text of tokens; end-of-text tokens are left out.</summary>
    string Decode(ReadOnlySpan<int> tokens);
}
