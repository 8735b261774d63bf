using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>How fast this machine's cores together read memory that no cache holds: the limit of decoding.</summary>
public sealed unsafe class MemoryBandwidth : IPartedWork
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
        var reader = new MemoryBandwidth(bytes);
        try
        {
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
        finally
        {
            reader._memory.Dispose();
        }
    }

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
