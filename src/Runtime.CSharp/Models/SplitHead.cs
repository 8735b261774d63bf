using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The vocabulary head once more, each weight's byte cut into its two halves: with u = w + 128, <c>u = 16 * high + low</c>.
/// The high halves alone give a logit up to an error that is known, so that greedy decoding has to read the low halves of
/// few rows only (<see cref="CandidateRows"/>). Takes as much memory as the head itself.
/// </summary>
/// <remarks>
/// With x the activations as the head sees them (bytes times their segments' scales), <c>e = low - 7.5</c> and s the row's
/// scale, the logit is <c>s * (16 * high . x - 120.5 * sum(x)) + s * e . x</c>. The first part is the estimate, and by
/// Cauchy and Schwarz the second is at most <c>s * |e| * |x|</c> in size.
/// </remarks>
internal sealed unsafe class SplitHead : IBlocks, IDisposable
{
    /// <summary>Bytes of one row's low halves per two segments of 64 inputs: the first segment below, the second above.</summary>
    private const int LowBytes = ActivationSegment.Inputs;

    /// <summary>A group pair's bytes: high halves of group 2g below, those of group 2g + 1 above, in the order of <see cref="KernelSet"/>.</summary>
    private const int PairBytes = KernelSet.GroupBytes;

    private const float Centre = 7.5f;
    private readonly Int8Matrix _head;
    private readonly AlignedBuffer<byte> _high,
        _low;
    private readonly AlignedBuffer<float> _errors;
    private readonly int _pairs;

    /// <summary>Bytes that every search reads: the high halves, scales and errors. Those of single rows come on top.</summary>
    public long Bytes => _high.Length + 2 * sizeof(float) * _errors.Length;

    /// <summary>Whether 512-bit products are used; 256-bit ones otherwise.</summary>
    public bool Wide { get; init; } = Avx512BW.IsSupported;

    /// <summary>Whether this processor has what the products take.</summary>
    public static bool Supported => Avx2.IsSupported;

    public SplitHead(Int8Matrix head)
    {
        _head = head;
        _pairs = Padding.ToLanes(head.Columns) / (2 * KernelSet.GroupInputs);
        Segments = (head.Columns + ActivationSegment.Inputs - 1) / ActivationSegment.Inputs;
        _high = new((long)head.Blocks * _pairs * PairBytes);
        _low = new(head.Rows * RowBytes);
        _errors = new((long)head.Blocks * KernelSet.BlockRows);
        // Estimates and logits are rounded too: at most some 8 (segments + 8) half units in the last place of the largest sum.
        Rounding = 8 * (Segments + 8) / (float)(1 << 24) * 255 * MathF.Sqrt(head.Columns);
        Parallel.For(
            0,
            head.Blocks,
            () => new sbyte[2 * RowBytes],
            (block, _, row) =>
            {
                for (int r = block * KernelSet.BlockRows; r < Math.Min(head.Rows, (block + 1) * KernelSet.BlockRows); r++)
                {
                    head.CopyRow(r, row);
                    SetRow(r, row);
                }
                return row;
            },
            _ => { }
        );
    }

    /// <summary>Segments of activations that a product takes.</summary>
    public int Segments { get; }

    public int Rows => _head.Rows;
    public int Blocks => _head.Blocks;

    private long RowBytes => (Segments + 1) / 2 * LowBytes;

    /// <summary>What rounding can add to an error, in the units of <see cref="Error"/> before the scale.</summary>
    public float Rounding { get; }

    /// <summary>How far an estimate may be from the logit, per |x|.</summary>
    public float Error(int row) => _errors.Pointer[row];

    /// <summary>The row's scale.</summary>
    public float Scale(int row) => _head.Scales[row];

    /// <summary>Stores the halves of one row, which is padded with zeros; its block's other rows may be stored at the same time.</summary>
    private void SetRow(int row, ReadOnlySpan<sbyte> weights)
    {
        byte* high = Start(row / KernelSet.BlockRows) + row % KernelSet.BlockRows * KernelSet.GroupInputs;
        byte* low = _low.Pointer + row * RowBytes;
        ReadOnlySpan<uint> groups = MemoryMarshal.Cast<sbyte, uint>(weights);
        for (int p = 0; p < _pairs; p++)
            *(uint*)(high + (long)p * PairBytes) =
                (groups[2 * p] ^ 0x80808080) >> 4 & 0x0F0F0F0F | (groups[2 * p + 1] ^ 0x80808080) & 0xF0F0F0F0;
        for (int i = 0; i < weights.Length; i += 2 * LowBytes)
        {
            Vector512<byte> half = Vector512.Create((byte)15);
            Vector512<byte> first = Vector512.Create(weights.Slice(i, LowBytes)).AsByte() & half,
                second = Vector512.Create(weights.Slice(i + LowBytes, LowBytes)).AsByte() & half;
            (first | (second.AsUInt16() << 4).AsByte()).Store(low + i / 2);
        }
        int sum = 0,
            squares = 0; // of the low halves
        foreach (sbyte weight in weights[.._head.Columns])
        {
            int half = weight & 15;
            sum += half;
            squares += half * half;
        }
        double error = Math.Sqrt(squares - 2 * Centre * sum + Centre * Centre * _head.Columns);
        _errors.Pointer[row] = (float)(error + Rounding) * MathF.Abs(Scale(row));
    }

    /// <summary>For each row of a block, its estimate and <see cref="Error"/> times |x|: the most that its logit may be.</summary>
    /// <param name="x">The activations.</param>
    /// <param name="sum">Their sum.</param>
    /// <param name="size">|x|.</param>
    /// <returns>The block's greatest estimate, and the greatest of <paramref name="most"/>.</returns>
    public (float Estimate, float Most) Bound(int block, ActivationSegment* x, float sum, float size, float* most)
    {
        byte* high = Start(block);
        float* scales = _head.Scales + block * KernelSet.BlockRows,
            errors = _errors.Pointer + block * KernelSet.BlockRows;
        float centre = (Centre - 128) * sum;
        if (Wide)
            return SplitHeadProducts.Bound512(high, _pairs, x, centre, size, scales, errors, most);
        (float Estimate, float Most) greatest = (float.NegativeInfinity, float.NegativeInfinity);
        for (int row = 0; row < KernelSet.BlockRows; row += 8)
        {
            (float estimate, float bound) = SplitHeadProducts.Bound256(
                high + row * KernelSet.GroupInputs,
                _pairs,
                x,
                centre,
                size,
                scales + row,
                errors + row,
                most + row
            );
            greatest = (MathF.Max(greatest.Estimate, estimate), MathF.Max(greatest.Most, bound));
        }
        return greatest;
    }

    public byte* Start(int block) => _high.Pointer + (long)block * _pairs * PairBytes;

    /// <summary>Asks for what <see cref="Correction"/> reads ahead of its use.</summary>
    public void Prefetch(int row)
    {
        byte* low = _low.Pointer + row * RowBytes;
        for (int at = 0; at < RowBytes; at += LowBytes)
            Sse.Prefetch1(low + at); // the second cache keeps more requests under way
        Sse.Prefetch0(_errors.Pointer + row);
        Sse.Prefetch0(_head.Scales + row);
    }

    /// <summary>What a row's low halves add to its estimate: <c>s * e . x</c>.</summary>
    public float Correction(int row, ActivationSegment* x, float sum)
    {
        byte* low = _low.Pointer + row * RowBytes;
        float product = Wide ? SplitHeadProducts.Low512(low, x, Segments) : SplitHeadProducts.Low256(low, x, Segments);
        return (product - Centre * sum) * Scale(row);
    }

    /// <summary>The greatest logit of a block, as <see cref="Int8Matrix.Multiply"/> gives it, and the lowest row that has it.</summary>
    public (float Value, int Row) Greatest(int block, in ActivationRows inputs)
    {
        float* logits = stackalloc float[KernelSet.BlockRows];
        int first = block * KernelSet.BlockRows;
        _head.Multiply(block, block + 1, inputs, 1, logits - first, first + KernelSet.BlockRows);
        int row = Greedy.Choose(new ReadOnlySpan<float>(logits, Math.Min(KernelSet.BlockRows, Rows - first)));
        return (logits[row], first + row);
    }

    public void Dispose()
    {
        _high.Dispose();
        _low.Dispose();
        _errors.Dispose();
    }
}
