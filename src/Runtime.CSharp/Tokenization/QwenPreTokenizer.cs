using System.Globalization;
using System.Text;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Cuts a text into the pieces that byte-pair encoding never merges across, as Qwen's <c>tokenizer.json</c> asks with
/// the pattern <see cref="Pattern"/>. .NET's regular expressions see a character beyond U+FFFF as two halves, neither of
/// them a letter, so the pattern is followed by hand, rune by rune.
/// </summary>
internal static class QwenPreTokenizer
{
    /// <summary>The pattern of every Qwen2, Qwen2.5 and Qwen3 tokenizer.</summary>
    public const string Pattern =
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private enum Kind
    {
        Letter,
        Number,
        Space,
        Other,
        End,
    }

    /// <summary>Where the piece that begins at <paramref name="start"/> ends: the pattern's alternatives in their order.</summary>
    internal static int PieceEnd(ReadOnlySpan<char> text, int start)
    {
        char first = text[start];
        if (first == '\'' && Contraction(text[(start + 1)..]) is > 0 and int length)
            return start + 1 + length;

        // [^\r\n\p{L}\p{N}]?\p{L}+
        Kind kind = KindAt(text, start, out int next);
        if (kind == Kind.Letter)
            return Run(text, next, Kind.Letter);
        Kind second = KindAt(text, next, out int afterSecond);
        if (kind != Kind.Number && first is not ('\r' or '\n') && second == Kind.Letter)
            return Run(text, afterSecond, Kind.Letter);

        // \p{N}
        if (kind == Kind.Number)
            return next;

        // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
        if (kind == Kind.Other || (first == ' ' && second == Kind.Other))
        {
            int end = Run(text, next, Kind.Other);
            while (end < text.Length && text[end] is '\r' or '\n')
                end++;
            return end;
        }

        // \s*[\r\n]+ takes white space up to the last line break; \s+(?!\S) leaves the last space to the word behind it.
        int spaces = Run(text, next, Kind.Space);
        int lineBreak = text[start..spaces].LastIndexOfAny('\r', '\n');
        if (lineBreak >= 0)
            return start + lineBreak + 1;
        return spaces == text.Length || spaces == start + 1 ? spaces : spaces - 1;
    }

    // Characters behind an apostrophe that make one of 's 't 're 've 'm 'll 'd; 0 where they make none.
    private static int Contraction(ReadOnlySpan<char> behind)
    {
        if (behind.IsEmpty)
            return 0;
        char a = Lower(behind[0]),
            b = behind.Length > 1 ? Lower(behind[1]) : '\0';
        if (a is 's' or 't' or 'm' or 'd')
            return 1;
        return (a, b) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? 2 : 0;
    }

    private static char Lower(char c) => char.IsAsciiLetterUpper(c) ? (char)(c | 0x20) : c;

    private static int Run(ReadOnlySpan<char> text, int from, Kind kind)
    {
        while (KindAt(text, from, out int next) == kind)
            from = next;
        return from;
    }

    private static Kind KindAt(ReadOnlySpan<char> text, int at, out int next)
    {
        next = at;
        if (at >= text.Length)
            return Kind.End;
        Rune.DecodeFromUtf16(text[at..], out Rune rune, out int used); // a lone surrogate reads as U+FFFD, a symbol
        next = at + used;
        if (rune.IsAscii)
        {
            char c = (char)rune.Value;
            return char.IsAsciiLetter(c) ? Kind.Letter
                : char.IsAsciiDigit(c) ? Kind.Number
                : c is ' ' or >= '\t' and <= '\r' ? Kind.Space
                : Kind.Other;
        }
        if (Rune.IsWhiteSpace(rune))
            return Kind.Space;
        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.UppercaseLetter
            or UnicodeCategory.LowercaseLetter
            or UnicodeCategory.TitlecaseLetter
            or UnicodeCategory.ModifierLetter
            or UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
            _ => Kind.Other,
        };
    }
}

/// <summary>
/// GPT-2's way to write any byte as a visible character, in which vocabularies of byte-level encodings are kept:
/// printable Latin-1 stands for itself, the other 68 bytes are U+0100 onwards in their order (Radford et al. 2019).
/// </summary>
internal static class ByteAlphabet
{
    private static readonly Dictionary<char, byte> Bytes = Build();
    private static readonly char[] Visible = [.. Bytes.OrderBy(pair => pair.Value).Select(pair => pair.Key)];

    /// <summary>The 256 characters.</summary>
    public static IReadOnlyCollection<char> Characters => Bytes.Keys;

    /// <summary>The bytes that a vocabulary's text stands for; a character outside the alphabet stands for its UTF-8.</summary>
    public static byte[] ToBytes(string text)
    {
        var bytes = new List<byte>(text.Length);
        foreach (char c in text)
            if (Bytes.TryGetValue(c, out byte value))
                bytes.Add(value);
            else
                bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(c.ToString()));
        return [.. bytes];
    }

    /// <summary>The UTF-8 bytes of a text, each as its visible character.</summary>
    public static string FromText(ReadOnlySpan<char> text)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes);
        return string.Concat(bytes.Select(b => Visible[b]));
    }

    private static Dictionary<char, byte> Build()
    {
        var bytes = new Dictionary<char, byte>();
        int next = 0x100;
        for (int b = 0; b < 256; b++)
            bytes[b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? (char)b : (char)next++] = (byte)b;
        return bytes;
    }
}
