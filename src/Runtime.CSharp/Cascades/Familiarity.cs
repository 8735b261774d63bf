using System.IO.Compression;
using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Tells questions that are unlike all that a cascade was calibrated on: a calibrated confidence says nothing of those.
/// </summary>
/// <remarks>
/// A question's score is its mean log-probability per character under a model of the calibration questions' characters (up to
/// four in a row, each order smoothed by the one below), less a penalty for the share of its words that no calibration question
/// has: a rare subject is one word among known ones, another language is all unknown. It needs no language model, so that it works for stages
/// that run anywhere, and takes microseconds. The scores that it is compared with come from questions that their model did not
/// see (cross-fitting) and are about as long (short ones differ more), so that a new question of the same kind has a p-value below x
/// with probability about x (Mondrian conformal prediction, Vovk et al. 2005).
/// </remarks>
public sealed class Familiarity
{
    /// <summary>Questions with a p-value below this are outside what the cascade was calibrated on: one in 200 of those inside is called so.</summary>
    public const double Least = 0.005;

    /// <summary>What the confidence in an answer to a question from outside is capped at: nothing speaks for more.</summary>
    public const double ConfidenceOutside = 0.5;

    /// <summary>Fewer calibration questions than this cannot tell one in 200.</summary>
    public const int LeastQuestions = 400;

    private const int Order = 4,
        Buckets = 1 << 18,
        Folds = 5,
        MostGroups = 10;

    /// <summary>What a text of unknown words alone loses, in natural logarithms per character.</summary>
    private const double UnknownWords = 3;

    /// <summary>How many observations of a context count as much as all that shorter contexts say.</summary>
    private const double Smoothing = 2;

    private readonly ushort[] _counts;
    private readonly LengthGroup[] _groups;

    private Familiarity(ushort[] counts, LengthGroup[] groups) => (_counts, _groups) = (counts, groups);

    /// <summary>Scores of calibration questions, in order, of at most so many characters; the last group takes all longer ones too.</summary>
    private sealed record LengthGroup(int Longest, double[] Scores);

    /// <summary>Fits on calibration questions; null where they are fewer than <see cref="LeastQuestions"/>.</summary>
    public static Familiarity? Fit(IReadOnlyList<string> questions)
    {
        if (questions.Count < LeastQuestions)
            return null;
        var scores = new double[questions.Count];
        for (int fold = 0; fold < Folds; fold++)
        {
            ushort[] others = Count(questions.Where((_, i) => i % Folds != fold));
            for (int i = fold; i < scores.Length; i += Folds)
                scores[i] = Score(others, questions[i]);
        }
        int groups = Math.Min(MostGroups, questions.Count / LeastQuestions);
        int[] byLength = [.. Enumerable.Range(0, scores.Length).OrderBy(i => questions[i].Length)];
        return new Familiarity(
            Count(questions),
            [
                .. Enumerable
                    .Range(0, groups)
                    .Select(g => byLength[(g * scores.Length / groups)..((g + 1) * scores.Length / groups)])
                    .Select(members => new LengthGroup(questions[members[^1]].Length, [.. members.Select(i => scores[i]).Order()])),
            ]
        );
    }

    /// <summary>
    /// The share of calibration questions of about this length that are as unfamiliar as this one or more, the question itself
    /// counted in: in (0, 1].
    /// </summary>
    public double PValue(string question)
    {
        double score = Score(_counts, question);
        double[] scores = (_groups.FirstOrDefault(group => question.Length <= group.Longest) ?? _groups[^1]).Scores;
        int first = 0,
            end = scores.Length;
        while (first < end) // the number of scores that are at most this one
        {
            int middle = (first + end) / 2;
            if (scores[middle] <= score)
                first = middle + 1;
            else
                end = middle;
        }
        return (1.0 + first) / (1.0 + scores.Length);
    }

    /// <summary>Whether the cascade was calibrated on questions like this one.</summary>
    public bool Covers(string question) => PValue(question) >= Least;

    /// <summary>The fitted state as text, for a policy file.</summary>
    public string Save()
    {
        using var bytes = new MemoryStream();
        using (var packed = new BrotliStream(bytes, CompressionLevel.Optimal, leaveOpen: true))
        {
            packed.Write(MemoryMarshal.AsBytes<ushort>(_counts));
            foreach (LengthGroup group in _groups)
            {
                packed.Write(MemoryMarshal.AsBytes<double>([group.Longest, group.Scores.Length]));
                packed.Write(MemoryMarshal.AsBytes<double>(group.Scores));
            }
        }
        return Convert.ToBase64String(bytes.ToArray());
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <exception cref="FormatException">The text is something else.</exception>
    public static Familiarity Load(string text)
    {
        var counts = new ushort[Buckets];
        byte[] rest;
        try
        {
            using var packed = new BrotliStream(new MemoryStream(Convert.FromBase64String(text)), CompressionMode.Decompress);
            packed.ReadExactly(MemoryMarshal.AsBytes(counts.AsSpan()));
            using var scores = new MemoryStream();
            packed.CopyTo(scores);
            rest = scores.ToArray();
        }
        catch (Exception error) when (error is FormatException or IOException or InvalidOperationException)
        {
            throw new FormatException("expected the counts and scores that calibration wrote");
        }
        double[] values = [.. MemoryMarshal.Cast<byte, double>(rest)];
        var groups = new List<LengthGroup>();
        for (int at = 0; at < values.Length; )
        {
            int longest = at + 1 < values.Length ? (int)values[at] : -1,
                count = at + 1 < values.Length ? (int)values[at + 1] : 0;
            if (longest < 0 || count < LeastQuestions || count > values.Length - at - 2)
                throw new FormatException($"expected groups of {LeastQuestions} scores or more");
            double[] scores = values[(at + 2)..(at + 2 + count)];
            if (!scores.Order().SequenceEqual(scores))
                throw new FormatException("expected scores in order");
            groups.Add(new LengthGroup(longest, scores));
            at += 2 + count;
        }
        return groups.Count > 0 && rest.Length % sizeof(double) == 0
            ? new Familiarity(counts, [.. groups])
            : throw new FormatException("expected scores of calibration questions, got none");
    }

    private static ushort[] Count(IEnumerable<string> questions)
    {
        var counts = new ushort[Buckets];
        foreach (string question in questions)
        {
            string text = Padded(question);
            for (int i = Order - 1; i < text.Length; i++)
            for (int length = 0; length < Order; length++)
            {
                Add(Bucket(text, i - length, i)); // the context,
                Add(~Bucket(text, i - length, i + 1)); // and what follows it
            }
            foreach (var (from, to) in Words(text))
                Add(Word(text, from, to));
        }
        return counts;

        void Add(int hash)
        {
            ref ushort count = ref counts[hash & (Buckets - 1)];
            count += count < ushort.MaxValue ? (ushort)1 : (ushort)0;
        }
    }

    private static double Score(ushort[] counts, string question)
    {
        string text = Padded(question);
        double sum = 0;
        for (int i = Order - 1; i < text.Length; i++)
        {
            double probability = 1.0 / 256;
            for (int length = 0; length < Order; length++)
            {
                double context = counts[Bucket(text, i - length, i) & (Buckets - 1)],
                    both = counts[~Bucket(text, i - length, i + 1) & (Buckets - 1)];
                // Where hashes collide more may seem to follow a context than there were.
                probability = (Math.Min(both, context) + Smoothing * probability) / (context + Smoothing);
            }
            sum += Math.Log(probability);
        }
        int words = 0,
            unknown = 0;
        foreach (var (from, to) in Words(text))
        {
            words++;
            unknown += counts[Word(text, from, to) & (Buckets - 1)] == 0 ? 1 : 0;
        }
        return sum / (text.Length - Order + 1) - (words == 0 ? 0 : UnknownWords * unknown / words);
    }

    /// <summary>Runs of letters, and runs of what is neither letter, digit nor space; numbers are new in every question.</summary>
    private static IEnumerable<(int From, int To)> Words(string text)
    {
        for (int i = Order - 1; i < text.Length - 1; )
        {
            int kind = Kind(text[i]),
                from = i;
            while (i < text.Length - 1 && Kind(text[i]) == kind)
                i++;
            if (kind > 0)
                yield return (from, i);
        }

        static int Kind(char c) =>
            char.IsLetter(c) || char.IsSurrogate(c) ? 1
            : char.IsDigit(c) || char.IsWhiteSpace(c) ? 0
            : 2;
    }

    private static int Word(string text, int from, int to) => Bucket(text[from..to].ToLowerInvariant(), 0, to - from) * 31 + 17;

    // Beginning and end are characters too: how a question starts and stops tells much.
    private static string Padded(string question) => new string('\u0002', Order - 1) + question + '\u0003';

    private static int Bucket(string text, int from, int to)
    {
        uint hash = 2166136261u + (uint)(to - from);
        for (int i = from; i < to; i++)
            hash = (hash ^ text[i]) * 16777619u;
        hash ^= hash >> 15;
        hash *= 0x2C1B3C6Du;
        hash ^= hash >> 13;
        return (int)hash;
    }
}
