using System.Text;
using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// The tokenizer of Qwen2, Qwen2.5 and Qwen3: added tokens are cut out first, the rest is brought to Unicode's NFC, cut
/// into pieces (<see cref="QwenPreTokenizer"/>) and byte-pair encoded over UTF-8 bytes. Half of a surrogate pair is read
/// as U+FFFD, as UTF-8 cannot hold it. Safe to use from several threads.
/// </summary>
public sealed class QwenTokenizer : ITokenizer
{
    private readonly BytePairEncoder _encoder;
    private readonly byte[]?[] _bytes; // of each token's text; null where the number is no token
    private readonly bool[] _special;
    private readonly Dictionary<string, int> _added;
    private readonly Regex? _addedPattern;

    internal QwenTokenizer(QwenTokenizerData data)
    {
        _encoder = new BytePairEncoder(data.Vocabulary, data.Merges);
        VocabularySize =
            1 + Math.Max(data.Vocabulary.Values.DefaultIfEmpty(-1).Max(), data.Added.Select(t => t.Id).DefaultIfEmpty(-1).Max());
        _bytes = new byte[VocabularySize][];
        _special = new bool[VocabularySize];
        foreach (var (text, id) in data.Vocabulary)
            _bytes[id] = ByteAlphabet.ToBytes(text);
        _added = [];
        foreach (AddedToken token in data.Added)
        {
            _bytes[token.Id] = Encoding.UTF8.GetBytes(token.Content);
            _special[token.Id] = token.Special;
            _added[token.Content] = token.Id;
        }
        // Of the added tokens that begin at one place the longest counts.
        string pattern = string.Join('|', _added.Keys.OrderByDescending(t => t.Length).Select(Regex.Escape));
        _addedPattern = pattern == "" ? null : new Regex(pattern, RegexOptions.CultureInvariant);
        StopTokens = data.StopTokens;
        Fingerprint = data.Fingerprint;
        LongestToken = _bytes.Max(bytes => bytes?.Length ?? 0);
    }

    private QwenTokenizer(QwenTokenizer other, IReadOnlyList<int> stopTokens)
    {
        (_encoder, _bytes, _special, _added, _addedPattern) = (
            other._encoder,
            other._bytes,
            other._special,
            other._added,
            other._addedPattern
        );
        (VocabularySize, Fingerprint, LongestToken) = (other.VocabularySize, other.Fingerprint, other.LongestToken);
        StopTokens = stopTokens;
    }

    /// <summary>The same tokenizer for a chat, where the end of a turn always ends an answer.</summary>
    /// <param name="place">The folder or file, for the error.</param>
    /// <exception cref="ToolkitException">It lacks the tokens of a chat.</exception>
    public QwenTokenizer ForChat(string place)
    {
        foreach (string token in (string[])["<|im_start|>", "<|im_end|>"])
            if (!_added.ContainsKey(token))
                throw new ToolkitException(
                    $"{place}: tokenizer: expected the token {token} for a chat, got none (key chat of the cascade file)"
                );
        int end = _added["<|im_end|>"];
        return StopTokens.Contains(end) ? this : new QwenTokenizer(this, [.. StopTokens, end]);
    }

    public int VocabularySize { get; }

    public int EndOfText => StopTokens[0];

    public IReadOnlyList<int> StopTokens { get; }

    public string Fingerprint { get; }

    /// <summary>The most bytes that one token stands for.</summary>
    public int LongestToken { get; }

    /// <summary>
    /// True where the same text is the same token numbers: the vocabularies are the same, and an added token that both have
    /// has one number. Which added tokens are special, and where answers end, does not matter.
    /// </summary>
    public bool SharesTokensWith(ITokenizer other) =>
        other is QwenTokenizer qwen
        && Fingerprint == qwen.Fingerprint
        && _added.All(token => !qwen._added.TryGetValue(token.Key, out int id) || id == token.Value)
        && Enumerable
            .Range(0, Math.Min(_bytes.Length, qwen._bytes.Length))
            .All(id => _bytes[id] is not { } a || qwen._bytes[id] is not { } b || a.AsSpan().SequenceEqual(b));

    /// <summary>The number of an added token such as <c>&lt;|im_start|&gt;</c>, or null where there is none.</summary>
    public int? TokenOf(string added) => _added.TryGetValue(added, out int id) ? id : null;

    public int[] Encode(string text) => EncodeWithin(text, int.MaxValue)!;

    /// <inheritdoc/>
    public int[]? EncodeWithin(string text, int most, CancellationToken cancel = default)
    {
        var tokens = new List<int>(Math.Min(text.Length / 3, most) + 1);
        text = WithoutLoneSurrogates(text);
        int from = 0;
        if (_addedPattern is not null)
            for (Match match = _addedPattern.Match(text); match.Success; match = match.NextMatch())
            {
                if (!EncodePlain(text[from..match.Index], tokens, most, cancel))
                    return null;
                tokens.Add(_added[match.Value]);
                from = match.Index + match.Length;
            }
        return EncodePlain(text[from..], tokens, most, cancel) && tokens.Count <= most ? [.. tokens] : null;
    }

    public string Decode(ReadOnlySpan<int> tokens) => Decode(tokens, keepSpecial: false);

    public ReadOnlySpan<byte> BytesOf(int token) =>
        (uint)token < (uint)_bytes.Length && !_special[token] ? _bytes[token] : default(ReadOnlySpan<byte>);

    /// <summary>
    /// The text of tokens. Bytes that are no UTF-8 (part of a character, when the tokens end inside it) become U+FFFD;
    /// numbers that are no token are left out, and special tokens too unless <paramref name="keepSpecial"/>.
    /// </summary>
    public string Decode(ReadOnlySpan<int> tokens, bool keepSpecial)
    {
        var bytes = new List<byte>(4 * tokens.Length);
        foreach (int token in tokens)
            if ((uint)token < (uint)_bytes.Length && (keepSpecial || !_special[token]))
                bytes.AddRange(_bytes[token] ?? []);
        return Encoding.UTF8.GetString([.. bytes]);
    }

    // False where there are more than so many tokens.
    private bool EncodePlain(string text, List<int> tokens, int most, CancellationToken cancel)
    {
        if (text.Length == 0)
            return tokens.Count <= most;
        text = CanonicalForm.Compose(text);
        for (int start = 0; start < text.Length; )
        {
            cancel.ThrowIfCancellationRequested();
            int end = QwenPreTokenizer.PieceEnd(text, start);
            // A character is a byte at least: a piece that cannot fit is not looked at.
            if ((end - start) / LongestToken > most - tokens.Count)
                return false;
            _encoder.Encode(text.AsSpan(start, end - start), tokens);
            if (tokens.Count > most)
                return false;
            start = end;
        }
        return true;
    }

    private static string WithoutLoneSurrogates(string text)
    {
        if (text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0)
            return text;
        var whole = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            whole.Append(rune);
        return whole.ToString();
    }
}
