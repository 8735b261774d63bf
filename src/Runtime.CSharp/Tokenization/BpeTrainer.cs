namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Trains a byte-level byte-pair encoding (Sennrich et al. 2016): starting from the 256 bytes, the most frequent pair of
/// neighbours inside a piece becomes a token, again and again. Pieces are those of Qwen's pre-tokenizer.
/// </summary>
public static class BpeTrainer
{
    /// <summary>The vocabulary in the order of its numbers, and the merges in the order in which they were made.</summary>
    /// <param name="texts">What to encode well; a text counts as often as it comes.</param>
    /// <param name="tokens">Size of the vocabulary, at least 256. Fewer come out where no pair is left.</param>
    /// <returns>Tokens and merges as <c>tokenizer.json</c> writes them, bytes as visible characters.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 256 tokens.</exception>
    public static (IReadOnlyList<string> Tokens, IReadOnlyList<(string Left, string Right)> Merges) Train(
        IEnumerable<string> texts,
        int tokens
    )
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 256);
        // The published vocabularies begin with the bytes in this order.
        List<string> vocabulary = [.. ByteAlphabet.Characters.Order().Select(c => c.ToString())];
        var numbers = vocabulary.Select((token, i) => (token, i)).ToDictionary(item => item.token, item => item.i);
        (int[] Symbols, long Count)[] pieces =
        [
            .. Pieces(texts).Select(p => (p.Key.Select(c => numbers[c.ToString()]).ToArray(), p.Value)),
        ];
        var merges = new List<(string, string)>();
        var counts = new Dictionary<(int, int), long>();
        foreach (var (symbols, count) in pieces)
            CountPairs(symbols, count);
        while (vocabulary.Count < tokens)
        {
            ((int Left, int Right) best, long most) = ((-1, -1), 1);
            foreach (var (pair, count) in counts)
                if (count > most || (count == most && most > 1 && Before(pair, best)))
                    (best, most) = (pair, count);
            if (most < 2)
                break; // pairs seen once are no habit of the language
            int merged = vocabulary.Count;
            merges.Add((vocabulary[best.Left], vocabulary[best.Right]));
            vocabulary.Add(vocabulary[best.Left] + vocabulary[best.Right]);
            for (int i = 0; i < pieces.Length; i++)
            {
                var (symbols, count) = pieces[i];
                if (!Holds(symbols, best))
                    continue;
                CountPairs(symbols, -count);
                pieces[i].Symbols = Merge(symbols, best, merged);
                CountPairs(pieces[i].Symbols, count);
            }
        }
        return (vocabulary, merges);

        void CountPairs(int[] symbols, long count)
        {
            for (int i = 1; i < symbols.Length; i++)
                if ((counts[(symbols[i - 1], symbols[i])] = counts.GetValueOrDefault((symbols[i - 1], symbols[i])) + count) == 0)
                    counts.Remove((symbols[i - 1], symbols[i]));
        }
    }

    // Of pairs that are equally frequent the one of earlier tokens is taken, so that the result does not depend on hashing.
    private static bool Before((int Left, int Right) a, (int Left, int Right) b) => a.CompareTo(b) < 0;

    private static bool Holds(int[] symbols, (int Left, int Right) pair)
    {
        for (int i = 1; i < symbols.Length; i++)
            if (symbols[i - 1] == pair.Left && symbols[i] == pair.Right)
                return true;
        return false;
    }

    private static int[] Merge(int[] symbols, (int Left, int Right) pair, int merged)
    {
        var result = new List<int>(symbols.Length);
        for (int i = 0; i < symbols.Length; i++)
            if (i + 1 < symbols.Length && symbols[i] == pair.Left && symbols[i + 1] == pair.Right)
            {
                result.Add(merged);
                i++;
            }
            else
                result.Add(symbols[i]);
        return [.. result];
    }

    private static SortedDictionary<string, long> Pieces(IEnumerable<string> texts)
    {
        var pieces = new SortedDictionary<string, long>(StringComparer.Ordinal);
        foreach (string text in texts)
            for (int start = 0; start < text.Length; )
            {
                int end = QwenPreTokenizer.PieceEnd(text, start);
                string piece = ByteAlphabet.FromText(text.AsSpan(start, end - start));
                pieces[piece] = pieces.GetValueOrDefault(piece) + 1;
                start = end;
            }
        return pieces;
    }
}
