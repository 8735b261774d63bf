using System.Diagnostics;

namespace OptimalStopping.Runtime.Models;

/// <summary>Work that falls into parts which may run at the same time.</summary>
public interface IPartedWork
{
    /// <summary>Runs one part. <paramref name="worker"/> (0 up to the team's size) runs one part at a time.</summary>
    void RunPart(int part, int worker);

    /// <summary>
    /// Called while <paramref name="worker"/> has no part to run, until it returns false: a chance to bring what comes next
    /// into this worker's caches. Takes well under a microsecond, and may be called after the work is done.
    /// </summary>
    bool Prepare(int worker) => false;
}

/// <summary>
/// One thread per core, the caller's included, that share the parts of one piece of work after another. Pieces last
/// microseconds, so workers look for the next one actively for a while before they sleep, and nothing is allocated.
/// Each thread has its own share of the parts, side by side, and when it is done takes parts from the ends of the others':
/// a thread that the system holds back delays only the part it has.
/// </summary>
public sealed class WorkerPool
{
    /// <summary>The environment variable that sets the number of threads.</summary>
    public const string Variable = "TOOLKIT_THREADS";

    /// <summary>How long a worker looks for work before it sleeps: a fifth of a millisecond, more than a token's sampling takes.</summary>
    private static readonly long LookFor = Stopwatch.Frequency / 5000;

    private const int MostParts = ushort.MaxValue;
    private readonly AutoResetEvent[] _wake;
    private readonly bool[] _asleep;
    private IPartedWork? _work;
    private int _owned,
        _done,
        _sleeping;
    private uint _piece;

    // Of each worker, a cache line apart: the piece's number in the upper half, then the first and the end of the parts
    // that are left of its share, in one word: a late worker cannot claim a part of a newer piece by an older piece's word.
    private readonly ulong[] _left;
    private const int Line = 64 / sizeof(ulong);

    /// <param name="size">Threads, the caller's included.</param>
    public WorkerPool(int size)
    {
        Size = size;
        _wake = new AutoResetEvent[size];
        _asleep = new bool[size];
        _left = new ulong[(size + 1) * Line];
        for (int i = 1; i < size; i++)
        {
            int worker = i;
            _wake[worker] = new AutoResetEvent(false);
            new Thread(() => Work(worker)) { IsBackground = true, Name = $"toolkit worker {worker}" }.Start();
        }
    }

    /// <summary>The process's team: a thread per core, or as many as the environment variable <see cref="Variable"/> says.</summary>
    /// <exception cref="ToolkitException">The variable is no number of 1 to 1024.</exception>
    public static WorkerPool Shared => OfProcess.Value;

    private static readonly Lazy<WorkerPool> OfProcess = new(() =>
        new WorkerPool(
            Environment.GetEnvironmentVariable(Variable) switch
            {
                null or "" => Environment.ProcessorCount,
                { } text when int.TryParse(text, out int size) && size is >= 1 and <= 1024 => size,
                { } text => throw new ToolkitException($"{Variable}: expected a number of 1 to 1024, got {text}"),
            }
        )
    );

    public int Size { get; }

    /// <summary>
    /// Runs parts 0 to <paramref name="parts"/> - 1 and returns when all are done. When another thread has the team, all
    /// run on the calling thread, as worker 0. Parts must not throw.
    /// </summary>
    public void Run(IPartedWork work, int parts)
    {
        if (parts <= 1 || Size == 1 || parts > MostParts || Interlocked.CompareExchange(ref _owned, 1, 0) != 0)
        {
            for (int part = 0; part < parts; part++)
                work.RunPart(part, 0);
            return;
        }
        _work = work;
        _done = 0;
        _piece++;
        for (int worker = 0; worker < Size; worker++)
            Volatile.Write(
                ref Left(worker),
                (ulong)_piece << 32 | (uint)FirstPart(worker, parts) << 16 | (uint)FirstPart(worker + 1, parts)
            );
        Interlocked.MemoryBarrier(); // a worker that is not seen asleep below sees the parts
        if (Volatile.Read(ref _sleeping) > 0)
            WakeAll();
        while (Claim(0) is >= 0 and var part)
        {
            work.RunPart(part, 0);
            Interlocked.Increment(ref _done);
        }
        for (int look = 1; Volatile.Read(ref _done) < parts; look++)
            if (look % 1024 == 0)
                Thread.Yield(); // the worker may be waiting for this core
            else if (!work.Prepare(0))
                Thread.SpinWait(1);
        Volatile.Write(ref _owned, 0);
    }

    /// <summary>The parts that so many blocks of weights are computed in.</summary>
    internal int PartsOf(int blocks) => Math.Min(blocks, 16 * Size);

    /// <summary>The first of a worker's parts.</summary>
    internal int FirstPart(int worker, int parts) => First(worker, Size, parts);

    /// <summary>The first of the items in a share, where the shares are as even as they can be.</summary>
    internal static int First(int share, int shares, int items) => (int)((long)items * share / shares);

    private ref ulong Left(int worker) => ref _left[(worker + 1) * Line];

    /// <summary>A part of the present piece, or -1 when all are taken.</summary>
    private int Claim(int worker)
    {
        for (int i = 0; i < Size; i++)
        {
            ref ulong share = ref Left((worker + i) % Size);
            while (true)
            {
                ulong left = Volatile.Read(ref share);
                (int first, int end) = Parts(left);
                if (first >= end)
                    break;
                ulong rest = i == 0 ? left + (1 << 16) : left - 1; // its own from the front, others' from the end
                if (Interlocked.CompareExchange(ref share, rest, left) == left)
                    return i == 0 ? first : end - 1;
            }
        }
        return -1;
    }

    private bool Idle()
    {
        for (int worker = 0; worker < Size; worker++)
            if (Parts(Volatile.Read(ref Left(worker))) is var (first, end) && first < end)
                return false;
        return true;
    }

    private static (int First, int End) Parts(ulong left) => ((int)(left >> 16 & 0xFFFF), (int)(left & 0xFFFF));

    private void Work(int worker)
    {
        long since = Stopwatch.GetTimestamp();
        while (true)
        {
            if (Claim(worker) is >= 0 and var part)
            {
                _work!.RunPart(part, worker); // stays the present piece until this part is done
                Interlocked.Increment(ref _done);
                since = Stopwatch.GetTimestamp();
            }
            else if (_work?.Prepare(worker) == true) { }
            else if (Stopwatch.GetTimestamp() - since < LookFor)
                Thread.SpinWait(1);
            else
            {
                Sleep(worker);
                since = Stopwatch.GetTimestamp();
            }
        }
    }

    private void Sleep(int worker)
    {
        Volatile.Write(ref _asleep[worker], true);
        Interlocked.Increment(ref _sleeping); // a full fence: a piece published before it is seen below, one after it wakes
        if (Idle())
            _wake[worker].WaitOne();
        Interlocked.Decrement(ref _sleeping);
        Volatile.Write(ref _asleep[worker], false);
    }

    private void WakeAll()
    {
        for (int i = 1; i < Size; i++)
            if (Volatile.Read(ref _asleep[i]))
                _wake[i].Set();
    }
}
