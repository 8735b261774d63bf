namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// GPT-2's way to write any byte as a visible character, in which vocabularies of byte-level encodings are kept:
/// printable Latin-1 stands for itself, the other 68 bytes are U+0100 onwards in their order (Radford et al. 2019).
/// </summary>
internal static class ByteAlphabet
{
    private static readonly Dictionary<char, byte> Bytes = Build();

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

    private static Dictionary<char, byte> Build()
    {
        var bytes = new Dictionary<char, byte>();
        int next = 0x100;
        for (int b = 0; b < 256; b++)
            bytes[b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? (char)b : (char)next++] = (byte)b;
        return bytes;
    }
}
