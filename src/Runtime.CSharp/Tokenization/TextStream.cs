using System.Text;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Text of tokens as they come, for display: a character whose bytes are spread over several tokens appears when its
/// last byte does, and nothing else waits. Joined, the pieces are the text of all tokens.
/// </summary>
public sealed class TextStream(ITokenizer tokenizer)
{
    // Keeps the bytes of a character that has begun; bytes that no character can have become U+FFFD.
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();

    /// <summary>The text that this token completes; may be empty.</summary>
    public string Add(int token) => Text(tokenizer.BytesOf(token), flush: false);

    /// <summary>What is left when no token follows: U+FFFD for a character that was not finished.</summary>
    public string End() => Text([], flush: true);

    private string Text(ReadOnlySpan<byte> bytes, bool flush)
    {
        var text = new char[_decoder.GetCharCount(bytes, flush)];
        return new string(text, 0, _decoder.GetChars(bytes, text, flush));
    }
}
