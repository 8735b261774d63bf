namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Text of tokens as they come, for display: a character whose bytes are spread over several tokens appears when its
/// last byte does. Joined, the pieces are the text of all tokens.
/// </summary>
public sealed class TextStream(ITokenizer tokenizer)
{
    private const int LongestWait = 8; // a character has at most four bytes; what is not whole by then is broken

    private readonly List<int> _waiting = [];

    /// <summary>The text that this token completes; may be empty.</summary>
    public string Add(int token)
    {
        _waiting.Add(token);
        string text = tokenizer.Decode([.. _waiting]);
        if (text.EndsWith('\uFFFD') && _waiting.Count < LongestWait)
            return "";
        _waiting.Clear();
        return text;
    }

    /// <summary>What is left when no token follows.</summary>
    public string End()
    {
        string text = tokenizer.Decode([.. _waiting]);
        _waiting.Clear();
        return text;
    }
}
