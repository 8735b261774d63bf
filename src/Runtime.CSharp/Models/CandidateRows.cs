using System.Numerics;
using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Finds the token with the greatest logit, the lowest of them where several are equal, without computing all logits:
/// exactly what <see cref="Greedy.Choose"/> would choose of them. Estimates every logit from half of the head's bytes,
/// computes the one with the greatest estimate, and then looks closer at those rows only whose estimate and error reach it.
/// One search belongs to one thread at a time.
/// </summary>
internal sealed unsafe class CandidateRows(SplitHead head, WorkerPool team, IPartedWork? next = null) : IPartedWork, IDisposable
{
    /// <summary>
    /// Where more than one row in so many had to be looked at, the search was slower than the whole head would have been;
    /// then the next so many tokens take the whole head.
    /// </summary>
    private const int Worth = 8,
        Rest = 15;

    /// <summary>How many rows ahead the low halves are asked for.</summary>
    private const int Ahead = 8;

    private readonly AlignedBuffer<float> _most = new((long)head.Blocks * KernelSet.BlockRows); // what each row's logit may be at most
    private readonly AlignedBuffer<float> _blockMost = new(head.Blocks); // the greatest of a block's
    private readonly AlignedBuffer<int> _reaching = new(head.Rows); // rows to look at, each part's from its first row on
    private readonly (float Value, int Row)[] _best = new (float, int)[team.PartsOf(head.Blocks)];
    private ActivationRows _inputs;
    private float _sum,
        _size;
    private bool _bounding;
    private int _looked,
        _rest;

    /// <summary>Rows that the last search looked at closer.</summary>
    public int Looked => _looked;

    /// <param name="inputs">The activations, in row 0.</param>
    /// <returns>The token, or -1 where the whole head should be taken: it is likely faster, or the activations are not finite.</returns>
    public int Choose(in ActivationRows inputs)
    {
        _looked = 0;
        if (_rest > 0)
        {
            _rest--;
            return -1;
        }
        _inputs = inputs;
        if (!Measure(inputs.Row(0)))
            return -1;
        _bounding = true;
        team.Run(this, _best.Length);
        // The block with the greatest estimate: one of its logits is likely the greatest, and any of them will do as a start.
        (float Value, int Row) best = head.Greatest(Best((float.NegativeInfinity, 0)).Row / KernelSet.BlockRows, inputs);
        _best.AsSpan().Fill(best);
        _bounding = false;
        team.Run(this, _best.Length);
        if (_looked > head.Rows / Worth)
            _rest = Rest;
        return Best(best).Row;
    }

    private (float Value, int Row) Best((float Value, int Row) best)
    {
        foreach ((float Value, int Row) one in _best)
            if (Better(one, best))
                best = one;
        return best;
    }

    bool IPartedWork.Prepare(int worker) => next?.Prepare(worker) == true;

    void IPartedWork.RunPart(int part, int worker)
    {
        int first = WorkerPool.First(part, _best.Length, head.Blocks),
            end = WorkerPool.First(part + 1, _best.Length, head.Blocks);
        if (!_bounding)
        {
            Look(part, first, end);
            return;
        }
        (float Value, int Row) best = (float.NegativeInfinity, first * KernelSet.BlockRows);
        for (int block = first; block < end; block++)
        {
            int row = block * KernelSet.BlockRows;
            (float estimate, _blockMost.Pointer[block]) = head.Bound(block, _inputs.Row(0), _sum, _size, _most.Pointer + row);
            if (estimate > best.Value)
                best = (estimate, row);
        }
        _best[part] = best;
    }

    /// <summary>The greatest logit of a part's rows, or what is known already if none is greater.</summary>
    private void Look(int part, int first, int end)
    {
        (float Value, int Row) best = _best[part];
        int* reaching = _reaching.Pointer + first * KernelSet.BlockRows;
        int count = Reaching(first, end, best.Value, reaching);
        for (int i = 0; i < count; i++)
        {
            if (i + Ahead < count)
                head.Prefetch(reaching[i + Ahead]);
            int row = reaching[i];
            float most = _most.Pointer[row];
            if (most < best.Value)
                continue;
            float logit = most - head.Error(row) * _size + head.Correction(row, _inputs.Row(0), _sum);
            if (logit + head.Rounding * MathF.Abs(head.Scale(row)) * _size < best.Value)
                continue;
            (float Value, int Row) exact = head.Greatest(row / KernelSet.BlockRows, _inputs);
            if (Better(exact, best))
                best = exact;
        }
        _best[part] = best;
        Interlocked.Add(ref _looked, count);
    }

    /// <summary>Lists the rows of some blocks whose logits may reach <paramref name="value"/>; returns their number.</summary>
    private int Reaching(int first, int end, float value, int* rows)
    {
        int count = 0;
        Vector512<float> least = Vector512.Create(value);
        for (int block = first; block < end; block++)
        {
            if (_blockMost.Pointer[block] < value)
                continue;
            int row = block * KernelSet.BlockRows;
            ulong reaching = Lanes(row) | Lanes(row + Padding.Lanes) << Padding.Lanes;
            for (; reaching != 0; reaching &= reaching - 1)
                if (row + BitOperations.TrailingZeroCount(reaching) is var found && found < head.Rows)
                    rows[count++] = found; // not the padding
        }
        return count;

        ulong Lanes(int row) => Vector512.GreaterThanOrEqual(Vector512.Load(_most.Pointer + row), least).ExtractMostSignificantBits();
    }

    private static bool Better((float Value, int Row) one, (float Value, int Row) other) =>
        one.Value > other.Value || (one.Value == other.Value && one.Row < other.Row);

    /// <summary>The sum and the size |x| of the activations; false where they are not finite.</summary>
    private bool Measure(ActivationSegment* x)
    {
        double sum = 0,
            squares = 0;
        for (int s = 0; s < head.Segments; s++, x++)
        {
            int products = 0;
            for (int i = 0; i < ActivationSegment.Inputs; i++)
                products += x->Values[i] * x->Values[i]; // zeros behind the row's end
            sum += (double)x->Scale * (x->Bias / -128);
            squares += (double)x->Scale * x->Scale * products;
        }
        (_sum, _size) = ((float)sum, MathF.BitIncrement((float)Math.Sqrt(squares)));
        return float.IsFinite(_sum) && float.IsFinite(_size);
    }

    public void Dispose()
    {
        _most.Dispose();
        _blockMost.Dispose();
        _reaching.Dispose();
    }
}
