namespace OptimalStopping.Runtime.Models;

/// <summary>One token: where it goes, and as which of the wanted rows it is computed to the end (negative: none).</summary>
internal readonly record struct QueuedRow(KeyValueCache Cache, int Token, int Position, int Wanted);

/// <summary>Neighbouring rows of one sequence.</summary>
internal readonly record struct RowRun(KeyValueCache Cache, int First, int Count);

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

    public void Add(KeyValueCache cache, int token, int position, int logitRow)
    {
        RowRun last = Runs > 0 ? _runs[Runs - 1] : default;
        if (last.Cache == cache && last.Count < LongestRun)
            _runs[Runs - 1] = last with { Count = last.Count + 1 };
        else
        {
            RunsDepend |= last.Cache == cache;
            _runs[Runs++] = new RowRun(cache, Count, 1);
        }
        if (logitRow >= 0 && WantedCount == 0)
            FirstLogitRow = logitRow;
        _rows[Count++] = new QueuedRow(cache, token, position, logitRow < 0 ? -1 : WantedCount++);
        Pairs += position + 1;
    }

    public void Clear()
    {
        Array.Clear(_rows, 0, Count);
        Array.Clear(_runs, 0, Runs);
        (Count, Runs, WantedCount, Pairs, RunsDepend) = (0, 0, 0, 0, false);
    }
}

/// <summary>What a <see cref="ForwardPass"/> computes between its steps, for so many rows. Each row is padded to whole blocks.</summary>
internal sealed unsafe class PassBuffers : IDisposable
{
    private readonly AlignedBuffer<ActivationSegment> _segments;
    private readonly int _segmentStride;

    public PassBuffers(Qwen3Config config, int rows)
    {
        Rows = rows;
        int queries = config.Heads * config.HeadDimension,
            keys = config.KeyValueHeads * config.HeadDimension;
        HiddenStride = Padding.ToBlock(config.HiddenSize);
        AttentionStride = Padding.ToBlock(queries + 2 * keys);
        ContextStride = Padding.ToBlock(queries);
        InnerStride = Padding.ToBlock(config.IntermediateSize);
        Hidden = new((long)rows * HiddenStride);
        Update = new((long)rows * HiddenStride);
        Attention = new((long)rows * AttentionStride);
        Context = new((long)rows * ContextStride);
        GateUp = new((long)rows * 2 * InnerStride);
        int longest = Math.Max(HiddenStride, Math.Max(ContextStride, InnerStride));
        _segmentStride = (longest + ActivationSegment.Inputs - 1) / ActivationSegment.Inputs;
        _segments = new((long)rows * _segmentStride);
    }

    public int Rows { get; }
    public int HiddenStride { get; }
    public int AttentionStride { get; }
    public int ContextStride { get; }
    public int InnerStride { get; }

    /// <summary>The residual stream, and what the last product adds to it.</summary>
    public AlignedBuffer<float> Hidden { get; }
    public AlignedBuffer<float> Update { get; }

    /// <summary>[queries; keys; values] of each row.</summary>
    public AlignedBuffer<float> Attention { get; }

    /// <summary>What attention gathered, head by head.</summary>
    public AlignedBuffer<float> Context { get; }

    /// <summary>[gate; up], each padded.</summary>
    public AlignedBuffer<float> GateUp { get; }

    /// <summary>The inputs of the next product.</summary>
    public ActivationRows Quantised => new(_segments.Pointer, _segmentStride);

    public void Dispose()
    {
        foreach (AlignedBuffer<float> buffer in new[] { Hidden, Update, Attention, Context, GateUp })
            buffer.Dispose();
        _segments.Dispose();
    }
}

/// <summary>What one worker needs for itself.</summary>
internal sealed unsafe class PassScratch : IDisposable
{
    private AlignedBuffer<float> _scores = new(1024);

    public PassScratch(Qwen3Config config)
    {
        int width = Padding.ToLanes(config.HeadDimension);
        Normed = new(Padding.ToBlock(config.HiddenSize));
        Head = new(width);
        Turned = new(width);
        Outputs = new(Attention.MostQueries * width);
    }

    /// <summary>A row behind its norm.</summary>
    public AlignedBuffer<float> Normed { get; }

    /// <summary>One head before and behind its norm and rotation.</summary>
    public AlignedBuffer<float> Head { get; }
    public AlignedBuffer<float> Turned { get; }

    /// <summary>Attention's results for a tile of queries.</summary>
    public AlignedBuffer<float> Outputs { get; }

    /// <summary>Room for so many attention scores; what was there is lost.</summary>
    public float* Scores(long count)
    {
        if (_scores.Length < count)
        {
            _scores.Dispose();
            _scores = new AlignedBuffer<float>(2 * count);
        }
        return _scores.Pointer;
    }

    public void Dispose()
    {
        foreach (AlignedBuffer<float> buffer in new[] { Normed, Head, Turned, Outputs, _scores })
            buffer.Dispose();
    }
}
