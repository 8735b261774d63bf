using System.Diagnostics;

namespace OptimalStopping.Runtime.Models;

/// <summary>Work that falls into parts which may run at the same time.</summary>
public interface IPartedWork
{
    /// <summary>Runs one part. <paramref name="worker"/> (0 up to the team's size) runs one part at a time.</summary>
    void RunPart(int part, int worker);
}

/// <summary>
/// One thread per core, the caller's included, that share the parts of one piece of work after another. Pieces last
/// microseconds, so workers look for the next one actively for a while before they sleep, and nothing is allocated.
/// Parts are claimed one at a time: a thread that the system holds back delays only the part it has.
/// </summary>
public sealed class WorkerTeam
{
    /// <summary>The environment variable that sets the number of threads.</summary>
    public const string Variable = "TOOLKIT_THREADS";

    /// <summary>How long a worker looks for work before it sleeps: a fifth of a millisecond, more than a token's sampling takes.</summary>
    private static readonly long LookFor = Stopwatch.Frequency / 5000;

    private const int MostParts = ushort.MaxValue;
    private readonly AutoResetEvent[] _wake;
    private readonly bool[] _asleep;
    private IPartedWork? _work;
    private int _owned, _done, _sleeping;

    // The piece's number in the upper half, then its parts and the parts claimed, in one word: a late worker cannot claim
    // a part of a newer piece by an older piece's count.
    private ulong _state;

    /// <param name="size">Threads, the caller's included.</param>
    public WorkerTeam(int size)
    {
        Size = size;
        _wake = new AutoResetEvent[size];
        _asleep = new bool[size];
        for (int i = 1; i < size; i++)
        {
            int worker = i;
            _wake[worker] = new AutoResetEvent(false);
            new Thread(() => Work(worker)) { IsBackground = true, Name = $"toolkit worker {worker}" }.Start();
        }
    }

    /// <summary>The process's team: a thread per core, or as many as the environment variable <see cref="Variable"/> says.</summary>
    /// <exception cref="ToolkitException">The variable is no number of 1 to 1024.</exception>
    public static WorkerTeam Shared => OfProcess.Value;

    private static readonly Lazy<WorkerTeam> OfProcess = new(() => new WorkerTeam(
        Environment.GetEnvironmentVariable(Variable) switch
        {
            null or "" => Environment.ProcessorCount,
            { } text when int.TryParse(text, out int size) && size is >= 1 and <= 1024 => size,
            { } text => throw new ToolkitException($"{Variable}: expected a number of 1 to 1024, got {text}"),
        }));

    public int Size { get; }

    /// <summary>
    /// Runs parts 0 to <paramref name="parts"/> - 1 and returns when all are done. When another thread has the team, all
    /// run on the calling thread, as worker 0. Parts must not throw.
    /// </summary>
    public void Run(IPartedWork work, int parts)
    {
        if (parts <= 1 || Size == 1 || parts > MostParts || Interlocked.CompareExchange(ref _owned, 1, 0) != 0)
        {
            for (int part = 0; part < parts; part++) work.RunPart(part, 0);
            return;
        }
        _work = work;
        _done = 0;
        ulong piece = (_state >> 32) + 1;
        Interlocked.Exchange(ref _state, piece << 32 | (ulong)parts << 16);
        if (Volatile.Read(ref _sleeping) > 0) WakeAll();
        while (Claim() is >= 0 and var part)
        {
            work.RunPart(part, 0);
            Interlocked.Increment(ref _done);
        }
        for (int look = 1; Volatile.Read(ref _done) < parts; look++)
            if (look % 1024 == 0) Thread.Yield(); // the worker may be waiting for this core
            else Thread.SpinWait(1);
        _work = null;
        Volatile.Write(ref _owned, 0);
    }

    /// <summary>A part of the present piece, or -1 when all are taken.</summary>
    private int Claim()
    {
        while (true)
        {
            ulong state = Volatile.Read(ref _state);
            int parts = (int)(state >> 16 & 0xFFFF), claimed = (int)(state & 0xFFFF);
            if (claimed >= parts) return -1;
            if (Interlocked.CompareExchange(ref _state, state + 1, state) == state) return claimed;
        }
    }

    private void Work(int worker)
    {
        long since = Stopwatch.GetTimestamp();
        while (true)
        {
            if (Claim() is >= 0 and var part)
            {
                _work!.RunPart(part, worker); // stays the present piece until this part is done
                Interlocked.Increment(ref _done);
                since = Stopwatch.GetTimestamp();
            }
            else if (Stopwatch.GetTimestamp() - since < LookFor) Thread.SpinWait(1);
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
        ulong state = Volatile.Read(ref _state);
        bool idle = (state & 0xFFFF) >= (state >> 16 & 0xFFFF);
        if (idle) _wake[worker].WaitOne();
        Interlocked.Decrement(ref _sleeping);
        Volatile.Write(ref _asleep[worker], false);
    }

    private void WakeAll()
    {
        for (int i = 1; i < Size; i++)
            if (Volatile.Read(ref _asleep[i])) _wake[i].Set();
    }
}
