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

    /// <summary>Equal for tokenizers that give a text the same tokens, but for those that were added to the vocabulary.</summary>
    string Fingerprint { get; }

    /// <summary>The most bytes of UTF-8 that one token stands for.</summary>
    int LongestToken => 4;

    /// <summary>True where the same text is the same token numbers, so that one model may read what the other's wrote.</summary>
    bool SharesTokensWith(ITokenizer other) => Fingerprint == other.Fingerprint;

    /// <summary>The tokens of a text, without any start or end token.</summary>
    int[] Encode(string text);

    /// <summary>The tokens of a text, or null where there are more than <paramref name="most"/>; then the work ends early.</summary>
    /// <exception cref="OperationCanceledException">Whoever asked no longer waits.</exception>
    int[]? EncodeWithin(string text, int most, CancellationToken cancel = default)
    {
        cancel.ThrowIfCancellationRequested();
        int[] tokens = Encode(text);
        return tokens.Length <= most ? tokens : null;
    }

    /// <summary>The text of tokens; end-of-text tokens are left out.</summary>
    string Decode(ReadOnlySpan<int> tokens);

    /// <summary>The bytes of UTF-8 that a token stands for, which need not be whole characters; none for end-of-text tokens.</summary>
    ReadOnlySpan<byte> BytesOf(int token) => System.Text.Encoding.UTF8.GetBytes(Decode([token]));
}
