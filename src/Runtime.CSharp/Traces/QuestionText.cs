using System.Text;

namespace OptimalStopping.Runtime.Traces;

/// <summary>
/// What can be read off the text of a question before any model runs: a few measures of its form, and its words and
/// characters as hashed n-grams. The same text gives the same numbers on every machine.
/// </summary>
public static class QuestionText
{
    /// <summary>Bins that n-grams are hashed to.</summary>
    public const int Bins = 1 << 14;

    /// <summary>Characters of a text that are looked at, from its start.</summary>
    public const int MostCharacters = 4000;

    private const uint Offset = 2166136261,
        Prime = 16777619;

    /// <summary>Names of the measures, in the order of <see cref="Measure"/>.</summary>
    public static IReadOnlyList<string> Measures { get; } =
    [
        "log_length",
        "log_words",
        "word_length",
        "digits",
        "capitals",
        "symbols",
        "lines",
        "longest_number",
        "latex",
        "code",
        "questions",
        "cyrillic",
        "cjk",
        "other_script",
    ];

    /// <summary>Writes the measures of a text; shares are of its characters, in [0,1].</summary>
    /// <param name="into">As many places as <see cref="Measures"/> has names.</param>
    public static void Measure(ReadOnlySpan<char> text, Span<double> into)
    {
        if (text.Length > MostCharacters)
            text = text[..MostCharacters];
        int words = 0,
            letters = 0,
            digits = 0,
            capitals = 0,
            symbols = 0,
            lines = 0,
            longest = 0,
            run = 0,
            latex = 0,
            code = 0,
            questions = 0,
            cyrillic = 0,
            cjk = 0,
            other = 0;
        bool inside = false;
        foreach (char c in text)
        {
            bool word = char.IsLetterOrDigit(c);
            if (word && !inside)
                words++;
            inside = word;
            run = char.IsAsciiDigit(c) ? run + 1 : 0;
            longest = Math.Max(longest, run);
            if (char.IsLetter(c))
            {
                letters++;
                if (char.IsUpper(c))
                    capitals++;
                if (c is >= '\u0400' and < '\u0530')
                    cyrillic++;
                else if (c is >= '\u3040' and < '\uA000' or >= '\uAC00' and < '\uD7B0')
                    cjk++;
                else if (c >= '\u0370')
                    other++;
            }
            else if (char.IsDigit(c))
                digits++;
            else if (c == '\n')
                lines++;
            else if (!char.IsWhiteSpace(c))
            {
                symbols++;
                if (c is '\\' or '^' or '$')
                    latex++;
                else if (c is '{' or '}' or ';' or '`' or '=' or '<' or '>')
                    code++;
                else if (c is '?' or '\uFF1F')
                    questions++;
            }
        }
        double all = Math.Max(1, text.Length);
        ReadOnlySpan<double> values =
        [
            Math.Log(1 + text.Length),
            Math.Log(1 + words),
            letters / (double)Math.Max(1, words),
            digits / all,
            capitals / all,
            symbols / all,
            Math.Log(1 + lines),
            Math.Log(1 + longest),
            latex / all,
            code / all,
            Math.Log(1 + questions),
            cyrillic / all,
            cjk / all,
            other / all,
        ];
        values.CopyTo(into);
    }

    /// <summary>
    /// The n-grams of a text: single words, pairs of neighbouring words, and runs of four characters within words, lower
    /// case, hashed to <see cref="Bins"/> bins.
    /// </summary>
    /// <returns>Bins, increasing, each with 1 + log of how often it occurs; runs of characters count half.</returns>
    public static (ushort[] Bin, float[] Weight) Grams(string text)
    {
        var counts = new Dictionary<ushort, float>();
        string lower = (text.Length > MostCharacters ? text[..MostCharacters] : text).ToLowerInvariant();
        uint previous = 0;
        for (int i = 0; i < lower.Length; )
        {
            if (!char.IsLetterOrDigit(lower[i]))
            {
                i++;
                continue;
            }
            int end = i;
            uint hash = Offset;
            while (end < lower.Length && char.IsLetterOrDigit(lower[end]))
                hash = (hash ^ lower[end++]) * Prime;
            Count(hash, 1);
            if (previous != 0)
                Count((previous * 31 ^ hash) * Prime, 1);
            for (int c = i; c + 4 <= end && end - i > 4; c++)
            {
                uint run = Offset ^ 0x9E3779B9;
                for (int j = c; j < c + 4; j++)
                    run = (run ^ lower[j]) * Prime;
                Count(run, 0.5f);
            }
            previous = hash;
            i = end;
        }
        ushort[] bins = [.. counts.Keys.Order()];
        // A run of characters is counted in halves; two of them are worth as much as one word.
        return (bins, [.. bins.Select(b => counts[b] >= 1 ? 1 + MathF.Log(counts[b]) : counts[b])]);

        void Count(uint hash, float weight)
        {
            // FNV's low bits are the weak ones: fold the high half in.
            var bin = (ushort)((hash ^ hash >> 15) % Bins);
            counts[bin] = counts.GetValueOrDefault(bin) + weight;
        }
    }

    /// <summary>
    /// An answer in the form in which answers are compared: trimmed, lower case, without the punctuation and the currency
    /// around it, numbers without separators of thousands and closing zeros ("$18.00" is "18").
    /// </summary>
    public static string Normalise(string answer)
    {
        string text = answer.Normalize(NormalizationForm.FormKC).Trim().ToLowerInvariant();
        text = text.Trim(
            ' ',
            '.',
            ',',
            ';',
            ':',
            '!',
            '"',
            '\'',
            '(',
            ')',
            '[',
            ']',
            '*',
            '`',
            '$',
            '\u20AC',
            '\u00A3',
            '%',
            '\n',
            '\r',
            '\t'
        );
        if (
            text.Length is > 0 and < 32
            && double.TryParse(
                text,
                System.Globalization.NumberStyles.Float | System.Globalization.NumberStyles.AllowThousands,
                System.Globalization.CultureInfo.InvariantCulture,
                out double number
            )
            && double.IsFinite(number)
        )
            return number.ToString("G12", System.Globalization.CultureInfo.InvariantCulture);
        return text.Length == 0 ? answer.Trim() : text;
    }
}
