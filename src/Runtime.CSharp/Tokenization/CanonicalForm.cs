using System.Globalization;
using System.Text;
using ADRaffy.ENSNormalize;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Unicode's normal form C (Unicode Standard Annex 15), which Qwen's tokenizer files ask for, in time linear in the text.
/// </summary>
/// <remarks>
/// The tables are those of ENSNormalize, so that they are the same on every machine, with or without ICU. Its sort of
/// combining marks takes quadratic time in the length of a run of marks, so long runs are handed to it in canonical order.
/// </remarks>
internal static class CanonicalForm
{
    /// <summary>Runs of this many UTF-16 units or fewer are left to the library: real texts stack a handful of marks.</summary>
    private const int ShortRun = 64;

    /// <summary>U+0345, the only mark of the highest combining class, 240: every other mark that can move moves before it.</summary>
    private const int LastMark = 0x345;

    /// <summary>The text in normal form C. Surrogates must come in pairs.</summary>
    public static string Compose(string text) =>
        // Everything below U+0300 is in this form already; the tables of the rest are not loaded before they are needed.
        text.AsSpan().IndexOfAnyExceptInRange('\0', '\u02FF') < 0
            ? text
            : ENSNormalize.NF.NFC(WithSortedMarks(text));

    private static string WithSortedMarks(string text)
    {
        StringBuilder? sorted = null;
        int copied = 0;
        for (int start = 0; start < text.Length; start++)
        {
            int end = start;
            while (end < text.Length && IsMark(text, end))
                end++;
            if (end - start <= ShortRun)
            {
                start = end;
                continue;
            }
            sorted ??= new StringBuilder(text.Length);
            sorted.Append(text, copied, start - copied);
            AppendSorted(sorted, text[start..end]);
            copied = start = end;
        }
        return sorted is null ? text : sorted.Append(text, copied, text.Length - copied).ToString();
    }

    private static bool IsMark(string text, int index)
    {
        int at = char.IsLowSurrogate(text[index]) ? index - 1 : index;
        return CharUnicodeInfo.GetUnicodeCategory(text, at)
            is UnicodeCategory.NonSpacingMark
                or UnicodeCategory.SpacingCombiningMark
                or UnicodeCategory.EnclosingMark;
    }

    /// <summary>Sorts each stretch of marks that can change places by combining class; equal classes keep their order.</summary>
    private static void AppendSorted(StringBuilder output, string marks)
    {
        Rune[] runes = [.. NFDOfEach(marks)];
        Rune[] movable = [.. runes.Distinct().Where(IsMovable)];
        // Ranks in the place of classes, which the library does not tell: it does tell which of two marks goes first.
        Array.Sort(movable, Order);
        var rank = new Dictionary<Rune, int>(movable.Length);
        for (int i = 0, last = 0; i < movable.Length; i++)
            rank[movable[i]] = last = i > 0 && Order(movable[i - 1], movable[i]) == 0 ? last : i;
        for (int start = 0; start < runes.Length; )
        {
            int end = start;
            while (end < runes.Length && rank.ContainsKey(runes[end]))
                end++;
            foreach (Rune rune in runes[start..end].OrderBy(rune => rank[rune]))
                output.Append(rune);
            if (end < runes.Length)
                output.Append(runes[end++]);
            start = end;
        }
    }

    private static IEnumerable<Rune> NFDOfEach(string marks)
    {
        var decomposed = new Dictionary<Rune, Rune[]>();
        foreach (Rune rune in marks.EnumerateRunes())
        {
            if (!decomposed.TryGetValue(rune, out Rune[]? parts))
                decomposed[rune] = parts = [.. ENSNormalize.NF.NFD(rune.ToString()).EnumerateRunes()];
            foreach (Rune part in parts)
                yield return part;
        }
    }

    private static bool IsMovable(Rune mark) => mark.Value == LastMark || Swaps(new Rune(LastMark), mark);

    private static int Order(Rune a, Rune b) =>
        Swaps(a, b) ? 1
        : Swaps(b, a) ? -1
        : 0;

    private static bool Swaps(Rune first, Rune second)
    {
        string text = first.ToString() + second;
        return ENSNormalize.NF.NFD(text) != text;
    }
}
