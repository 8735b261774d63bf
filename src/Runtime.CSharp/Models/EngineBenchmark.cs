using System.Diagnostics;
using System.Runtime.Intrinsics;
using MathNet.Numerics.Statistics;

namespace OptimalStopping.Runtime.Models;

/// <summary>One measured figure of the engine.</summary>
/// <param name="Kind"><c>prefill</c> or <c>decode</c>.</param>
/// <param name="Tokens">Tokens of the prompt, or tokens decoded per sequence and round.</param>
/// <param name="Context">Tokens that each sequence held before.</param>
/// <param name="Batch">Sequences.</param>
/// <param name="TokensPerSecond">Of all sequences together; the median over rounds.</param>
/// <param name="BytesPerSecond">Weights, and keys and values, that decoding reads; zero for prefill, where reading is not the limit.</param>
/// <param name="LookedAt">Greedy decoding of one sequence: share of the vocabulary head's rows that were looked at closer; NaN otherwise.</param>
public readonly record struct EngineFigure(
    string Kind,
    int Tokens,
    int Context,
    int Batch,
    double TokensPerSecond,
    double BytesPerSecond,
    double LookedAt = double.NaN
);

/// <summary>Measures prefill and decoding of one model. Earlier tokens are random keys and values: their speed is that of real ones.</summary>
public sealed class EngineBenchmark(CpuModel model)
{
    /// <summary>The median over <paramref name="rounds"/> of feeding a prompt of <paramref name="tokens"/> into an empty sequence.</summary>
    public EngineFigure Prefill(int tokens, int rounds)
    {
        using ITokenSequence sequence = model.NewSequence(tokens);
        var logits = new float[model.VocabularySize];
        int[] prompt = [.. Enumerable.Range(0, tokens).Select(i => (7 * i + 1) % model.VocabularySize)];
        double seconds = Median(rounds, () =>
        {
            sequence.Truncate(0);
            long start = Stopwatch.GetTimestamp();
            sequence.Forward(prompt, logits);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        });
        return new EngineFigure("prefill", tokens, 0, 1, tokens / seconds, 0);
    }

    /// <summary>The median over <paramref name="rounds"/> of decoding <paramref name="tokens"/> in each of <paramref name="batch"/> sequences, greedily.</summary>
    public EngineFigure Decode(int context, int batch, int tokens, int rounds)
    {
        int vocabulary = model.VocabularySize;
        var logits = new float[batch * vocabulary];
        var next = new int[batch][];
        var steps = new SequenceStep[batch];
        try
        {
            for (int b = 0; b < batch; b++)
            {
                var sequence = (CpuSequence)model.NewSequence(context + tokens);
                sequence.Pretend(context, new Random(b));
                next[b] = [b % vocabulary];
                steps[b] = new SequenceStep(sequence, next[b]);
            }
            long looked = 0,
                chosen = 0;
            double seconds = Median(rounds, () =>
            {
                foreach (SequenceStep step in steps)
                    step.Sequence.Truncate(context);
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < tokens; i++)
                {
                    if (batch == 1)
                    {
                        next[0][0] = steps[0].Sequence.ForwardGreedily(next[0], logits);
                        looked += model.LookedAt;
                        if (model.LookedAt > 0)
                            chosen++; // otherwise it took the whole head
                    }
                    else
                    {
                        model.ForwardBatch(steps, logits);
                        for (int b = 0; b < batch; b++)
                            next[b][0] = Greedy.Choose(logits.AsSpan(b * vocabulary, vocabulary));
                    }
                }
                return Stopwatch.GetElapsedTime(start).TotalSeconds;
            });
            double read =
                (batch == 1 ? model.BytesPerGreedyToken : model.BytesPerToken)
                + batch * (context + tokens / 2.0) * model.CacheBytesPerToken;
            return new EngineFigure(
                "decode",
                tokens,
                context,
                batch,
                tokens * batch / seconds,
                tokens * read / seconds,
                chosen > 0 ? looked / ((double)chosen * vocabulary) : double.NaN
            );
        }
        finally
        {
            foreach (SequenceStep step in steps)
                step.Sequence?.Dispose();
        }
    }

    private static double Median(int rounds, Func<double> run)
    {
        long warm = Stopwatch.GetTimestamp(); // until the compiler has replaced its first, quick code
        do run();
        while (Stopwatch.GetElapsedTime(warm).TotalSeconds < 0.7);
        return Enumerable.Range(0, rounds).Select(_ => run()).Median();
    }
}

/// <summary>How fast this machine's cores together read memory that no cache holds: the limit of decoding.</summary>
public sealed unsafe class MemoryBandwidth : IPartedWork, IDisposable
{
    private const long Block = 1 << 20;
    private readonly AlignedBuffer<byte> _memory;
    private long _sink;

    private MemoryBandwidth(long bytes) => _memory = new AlignedBuffer<byte>(bytes);

    /// <summary>
    /// Bytes per second of reading <paramref name="bytes"/> of memory in order, on as many threads as the engine uses; the
    /// best of <paramref name="rounds"/>, because whatever disturbs a round can only slow it.
    /// </summary>
    public static double Measure(long bytes = 1L << 30, int rounds = 7)
    {
        using var reader = new MemoryBandwidth(bytes);
        new Random(1).NextBytes(new Span<byte>(reader._memory.Pointer, (int)Block)); // and touch every page:
        for (long at = Block; at < bytes; at += Block)
            Buffer.MemoryCopy(reader._memory.Pointer, reader._memory.Pointer + at, Block, Block);
        double best = 0;
        for (int round = 0; round < rounds; round++)
        {
            long start = Stopwatch.GetTimestamp();
            WorkerPool.Shared.Run(reader, (int)(bytes / Block));
            best = Math.Max(best, bytes / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }

    void IDisposable.Dispose() => _memory.Dispose();

    void IPartedWork.RunPart(int part, int worker)
    {
        long* at = (long*)(_memory.Pointer + part * Block),
            end = at + Block / sizeof(long);
        Vector512<long> a = default,
            b = default,
            c = default,
            d = default;
        for (; at < end; at += 32)
        {
            a ^= Vector512.Load(at);
            b ^= Vector512.Load(at + 8);
            c ^= Vector512.Load(at + 16);
            d ^= Vector512.Load(at + 24);
        }
        Interlocked.Add(ref _sink, Vector512.Sum(a ^ b ^ c ^ d)); // or the compiler could drop the loads
    }
}
