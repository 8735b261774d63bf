using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>Weights that a product reads block by block.</summary>
internal unsafe interface IBlocks
{
    /// <summary>Blocks of output rows, which may be computed apart.</summary>
    int Blocks { get; }

    /// <summary>Where the blocks from <paramref name="block"/> on lie, one behind the other.</summary>
    byte* Start(int block);
}

/// <summary>
/// Has workers that wait bring the beginning of the next weights that they will read into their second caches. Between two
/// products are some microseconds in which memory would otherwise be idle.
/// </summary>
internal sealed unsafe class WeightPrefetcher(int workers)
{
    /// <summary>The most that a worker reads ahead: a part of its second cache.</summary>
    private const long Most = 256 << 10;

    private const int Step = 1 << 10,
        Line = 64;

    [StructLayout(LayoutKind.Sequential, Size = 2 * Line)]
    private struct Stream
    {
        public byte* Start,
            End; // written by the caller
        public byte* Begun,
            At; // the worker's own
    }

    private readonly Stream[] _streams = new Stream[workers];

    /// <summary>What the worker reads next.</summary>
    public void Set(int worker, byte* start, byte* end)
    {
        ref Stream stream = ref _streams[worker];
        stream.Start = start;
        stream.End = start + Math.Min(end - start, Most);
    }

    /// <summary>Asks for the next lines; false when there is no more to do. What two threads write at once can only be a useless request.</summary>
    public bool Advance(int worker)
    {
        ref Stream stream = ref _streams[worker];
        byte* start = stream.Start,
            end = stream.End;
        if (stream.Begun != start)
            stream.Begun = stream.At = start;
        if (stream.At >= end || !Sse.IsSupported)
            return false;
        for (byte* to = stream.At + Step; stream.At < to; stream.At += Line)
            Sse.Prefetch1(stream.At);
        return true;
    }
}
