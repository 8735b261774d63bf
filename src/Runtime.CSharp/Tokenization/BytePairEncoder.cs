using System.Buffers;
using System.Collections.Concurrent;
using System.Text;

namespace OptimalStopping.Runtime.Tokenization;

/// <summary>
/// Byte-pair encoding of one piece of a text: the pair of neighbours with the best rank is merged, the leftmost of equals,
/// until no pair has a rank. A queue holds the pairs, so a piece of n bytes takes n log n steps however long it is. Pieces
/// seen before are remembered. Safe to use from several threads.
/// </summary>
internal sealed class BytePairEncoder
{
    private const int LongestRemembered = 32,
        MostRemembered = 1 << 16;

    private readonly record struct Merge(int Rank, int Token);

    private readonly int[] _bytes = new int[256];
    private readonly Dictionary<long, Merge> _merges;
    private readonly ConcurrentDictionary<string, int[]> _known = [];
    private int _count; // of those remembered, which the dictionary itself is slow to tell

    /// <param name="vocabulary">Tokens, their bytes written in <see cref="ByteAlphabet"/>; every single byte is one.</param>
    /// <param name="merges">Pairs of tokens with a space between, best first; their join is a token.</param>
    public BytePairEncoder(IReadOnlyDictionary<string, int> vocabulary, IReadOnlyList<string> merges)
    {
        foreach (char c in ByteAlphabet.Characters)
            _bytes[ByteAlphabet.ToBytes(c.ToString())[0]] = vocabulary[c.ToString()];
        _merges = new(merges.Count);
        for (int rank = 0; rank < merges.Count; rank++)
        {
            int space = merges[rank].IndexOf(' ');
            string left = merges[rank][..space],
                right = merges[rank][(space + 1)..];
            // A pair that is listed twice has the last of its ranks, as in Hugging Face's tokenizers.
            _merges[Pair(vocabulary[left], vocabulary[right])] = new Merge(rank, vocabulary[left + right]);
        }
    }

    /// <summary>Appends the tokens of a piece, which is not empty.</summary>
    public void Encode(ReadOnlySpan<char> piece, List<int> tokens)
    {
        if (piece.Length > LongestRemembered)
        {
            tokens.AddRange(Merged(piece));
            return;
        }
        var known = _known.GetAlternateLookup<ReadOnlySpan<char>>();
        if (!known.TryGetValue(piece, out int[]? found))
        {
            found = Merged(piece);
            if (_count < MostRemembered && known.TryAdd(piece, found))
                Interlocked.Increment(ref _count);
        }
        tokens.AddRange(found);
    }

    private static long Pair(int left, int right) => (long)left << 32 | (uint)right;

    private int[] Merged(ReadOnlySpan<char> piece)
    {
        int most = Encoding.UTF8.GetMaxByteCount(piece.Length);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(most);
        // A place's token (-1 once it has been merged into the one before it) and its neighbours.
        int[] token = ArrayPool<int>.Shared.Rent(most),
            before = ArrayPool<int>.Shared.Rent(most),
            behind = ArrayPool<int>.Shared.Rent(most);
        try
        {
            int count = Encoding.UTF8.GetBytes(piece, bytes);
            for (int i = 0; i < count; i++)
                (token[i], before[i], behind[i]) = (_bytes[bytes[i]], i - 1, i + 1);
            var queue = new PriorityQueue<(int Place, int Token), long>();
            void Offer(int place)
            {
                if (place >= 0 && behind[place] < count && _merges.TryGetValue(Pair(token[place], token[behind[place]]), out Merge merge))
                    queue.Enqueue((place, merge.Token), (long)merge.Rank << 32 | (uint)place);
            }
            for (int i = 0; i + 1 < count; i++)
                Offer(i);
            int left = count;
            while (queue.TryDequeue(out (int Place, int Token) best, out _))
            {
                int place = best.Place;
                // The pair may have gone since it was offered.
                if (
                    token[place] < 0
                    || behind[place] >= count
                    || !_merges.TryGetValue(Pair(token[place], token[behind[place]]), out Merge merge)
                    || merge.Token != best.Token
                )
                    continue;
                int gone = behind[place];
                (token[place], token[gone], behind[place]) = (best.Token, -1, behind[gone]);
                if (behind[place] < count)
                    before[behind[place]] = place;
                left--;
                Offer(before[place]);
                Offer(place);
            }
            var tokens = new int[left];
            for (int i = 0, place = 0; place < count; place = behind[place])
                tokens[i++] = token[place];
            return tokens;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
            ArrayPool<int>.Shared.Return(token);
            ArrayPool<int>.Shared.Return(before);
            ArrayPool<int>.Shared.Return(behind);
        }
    }
}
