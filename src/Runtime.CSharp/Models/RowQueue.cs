namespace OptimalStopping.Runtime.Models;

/// <summary>One token: where it goes, and as which of the wanted rows it is computed to the end (negative: none).</summary>
internal readonly record struct QueuedRow(CpuSequence Sequence, int Token, int Position, int Wanted);

/// <summary>Neighbouring rows of one sequence.</summary>
internal readonly record struct RowRun(CpuSequence Sequence, int First, int Count);

/// <summary>The tokens that one run of the layers takes, and which of them are neighbours.</summary>
internal sealed class RowQueue(int capacity)
{
    /// <summary>The most rows in a run, so that attention over one long prompt falls into parts for all cores.</summary>
    private const int LongestRun = 32;

    private readonly QueuedRow[] _rows = new QueuedRow[capacity];
    private readonly RowRun[] _runs = new RowRun[capacity];

    public int Count { get; private set; }
    public int Runs { get; private set; }

    /// <summary>Rows whose logits are wanted; the first goes to <see cref="FirstLogitRow"/>, the others follow.</summary>
    public int WantedCount { get; private set; }
    public int FirstLogitRow { get; private set; }

    /// <summary>Pairs of a token and a position that it attends to.</summary>
    public long Pairs { get; private set; }

    /// <summary>
    /// Whether one run attends to the keys and values of another one, because a sequence has several: then all have to be
    /// stored before any run attends.
    /// </summary>
    public bool RunsDepend { get; private set; }

    public QueuedRow this[int row] => _rows[row];

    public RowRun Run(int index) => _runs[index];

    public void Add(CpuSequence sequence, int token, int position, int logitRow)
    {
        RowRun last = Runs > 0 ? _runs[Runs - 1] : default;
        if (last.Sequence == sequence && last.Count < LongestRun)
            _runs[Runs - 1] = last with { Count = last.Count + 1 };
        else
        {
            RunsDepend |= last.Sequence == sequence;
            _runs[Runs++] = new RowRun(sequence, Count, 1);
        }
        if (logitRow >= 0 && WantedCount == 0)
            FirstLogitRow = logitRow;
        _rows[Count++] = new QueuedRow(sequence, token, position, logitRow < 0 ? -1 : WantedCount++);
        Pairs += position + 1;
    }

    public void Clear()
    {
        Array.Clear(_rows, 0, Count);
        Array.Clear(_runs, 0, Runs);
        (Count, Runs, WantedCount, Pairs, RunsDepend) = (0, 0, 0, 0, false);
    }
}
