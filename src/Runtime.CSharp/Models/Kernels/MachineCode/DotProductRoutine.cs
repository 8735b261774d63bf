using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>What one call computes on; the routine reads it at the offsets of the fields.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct DotProductArguments
{
    public byte* Weights;
    public ActivationSegment* Inputs;

    /// <summary>Bytes from one token's activations to the next.</summary>
    public nint InputStride;

    /// <summary>Whole segments, then quarters of a segment in the last one.</summary>
    public nint Segments,
        Quarters;

    public float* Scales;
    public float* Output;

    /// <summary>Bytes from one token's output to the next.</summary>
    public nint OutputStride;

    /// <summary>Where the routine keeps xmm6 to xmm15, which belong to the caller on Windows.</summary>
    public fixed byte Saved[160];

    public static Address At(string field) => new(Register.Rcx, (int)Marshal.OffsetOf<DotProductArguments>(field));
}

/// <summary>
/// The inner loop of <see cref="Avx512VnniKernels"/> in machine code: 32 output rows times up to
/// <see cref="MostTokens"/> tokens. .NET 10 gives no access to the 512-bit <c>vpdpbusd</c>, and what it does give costs two
/// to four times as many instructions for the same products.
/// </summary>
/// <remarks>
/// <para>In outline, for T tokens (t) and two vectors of 16 rows each (r):</para>
/// <code>
/// float total[t][r] = 0
/// for each segment of 64 inputs:
///     int sum[t][r] = bias[t]                   // -128 * (sum of the inputs): weights are stored as w + 128
///     for each group g of 4 inputs:             // 16 groups, unrolled
///         w0, w1 = two vectors of weights       // one cache line each
///         for each t: x = 4 inputs, in every lane; sum[t][0] += w0 . x; sum[t][1] += w1 . x
///     total[t][r] += float(sum[t][r]) * scale[t]
/// output[t][r] = total[t][r] * rowScale[r]
/// </code>
/// <para>All totals and sums stay in registers: 4 T, and 3 for weights and inputs, of 32. One token has two sums per
/// vector in turn, because an addition takes four cycles and two chains would leave the multiplier idle.</para>
/// </remarks>
internal sealed class DotProductRoutine
{
    public const int MostTokens = 6;
    private const int Vectors = KernelSet.BlockRows / 16,
        VectorBytes = 64;
    private const int GroupBytes = KernelSet.GroupBytes,
        QuarterGroups = KernelSet.SegmentGroups / 4;

    /// <summary>
    /// How far ahead of its use a cache line of weights is asked for; only where one pass over them is all there is. The
    /// second cache keeps more requests under way than the first one.
    /// </summary>
    private const int PrefetchBytes = 4096;

    // General registers: Rcx the arguments, Rax weights, R11 the loop's count. Inputs: Rdx token 0, R9 token 3, R8 the
    // stride, so that Rdx + {0, 1, 2} * R8 and R9 + {0, 1, 2} * R8 are all six tokens. Outputs later use the same three.
    private const Register Weights = Register.Rax,
        First = Register.Rdx,
        Fourth = Register.R9,
        Stride = Register.R8,
        Count = Register.R11;

    private readonly Assembler _code;
    private readonly int _tokens,
        _chains;

    private DotProductRoutine(Assembler code, int tokens) => (_code, _tokens, _chains) = (code, tokens, tokens == 1 ? 2 : 1);

    /// <summary>Writes the routine for this many tokens; it takes a pointer to <see cref="DotProductArguments"/>.</summary>
    /// <param name="code">Receives the routine.</param>
    /// <param name="tokens">1 to <see cref="MostTokens"/>.</param>
    /// <param name="firstInRdi">True for System V, false for Windows.</param>
    /// <param name="saveVectors">True where the caller owns xmm6 to xmm15 (Windows).</param>
    public static void Emit(Assembler code, int tokens, bool firstInRdi, bool saveVectors)
    {
        var routine = new DotProductRoutine(code, tokens);
        if (firstInRdi)
            code.CopyFirstArgument();
        if (saveVectors)
            for (int i = 0; i < 10; i++)
                code.StoreLowest(Saved(i), 6 + i);
        routine.Body();
        if (saveVectors)
            for (int i = 0; i < 10; i++)
                code.LoadLowest(6 + i, Saved(i));
        code.Return();

        static Address Saved(int i) => DotProductArguments.At(nameof(DotProductArguments.Saved)).Plus(16 * i);
    }

    private void Body()
    {
        _code.Load(Weights, DotProductArguments.At(nameof(DotProductArguments.Weights)));
        PointAtTokens(nameof(DotProductArguments.Inputs), nameof(DotProductArguments.InputStride));
        Each((t, r) => _code.Zero(Total(t, r)));

        _code.Load(Count, DotProductArguments.At(nameof(DotProductArguments.Segments)));
        _code.Test(Count);
        int noSegment = _code.JumpIfZero();
        int segment = _code.Position;
        StartSums();
        Groups(KernelSet.SegmentGroups);
        EndSums();
        _code.Add(Weights, KernelSet.SegmentGroups * GroupBytes);
        Advance(ActivationSegment.Bytes);
        _code.Decrement(Count);
        _code.JumpIfNotZero(segment);
        _code.Land(noSegment);

        _code.Load(Count, DotProductArguments.At(nameof(DotProductArguments.Quarters)));
        _code.Test(Count);
        int noQuarter = _code.JumpIfZero();
        StartSums();
        int quarter = _code.Position;
        Groups(QuarterGroups);
        _code.Add(Weights, QuarterGroups * GroupBytes);
        Advance(QuarterGroups * 4);
        _code.Decrement(Count);
        _code.JumpIfNotZero(quarter);
        _code.Load(Count, DotProductArguments.At(nameof(DotProductArguments.Quarters))); // back to the segment's begin
        _code.ShiftLeft(Count, 4);
        _code.Subtract(First, Count);
        _code.Subtract(Fourth, Count);
        EndSums();
        _code.Land(noQuarter);

        _code.Load(Weights, DotProductArguments.At(nameof(DotProductArguments.Scales)));
        PointAtTokens(nameof(DotProductArguments.Output), nameof(DotProductArguments.OutputStride));
        Each(
            (t, r) =>
            {
                _code.Multiply(Total(t, r), Total(t, r), new Address(Weights, VectorBytes * r));
                _code.StoreVector(Token(t, VectorBytes * r), Total(t, r));
            }
        );
    }

    private void StartSums() =>
        Each(
            (t, r) =>
            {
                _code.Broadcast(Sum(t, r, 0), Token(t, ActivationSegment.BiasOffset));
                for (int chain = 1; chain < _chains; chain++)
                    _code.Zero(Sum(t, r, chain));
            }
        );

    private void Groups(int count)
    {
        for (int g = 0; g < count; g++)
        {
            for (int r = 0; r < Vectors; r++)
            {
                var place = new Address(Weights, g * GroupBytes + r * VectorBytes);
                if (_tokens == 1)
                    _code.Prefetch(place.Plus(PrefetchBytes));
                _code.LoadVector(Weight(r), place);
            }
            for (int t = 0; t < _tokens; t++)
            {
                _code.Broadcast(Input, Token(t, 4 * g));
                for (int r = 0; r < Vectors; r++)
                    _code.DotProduct(Sum(t, r, g % _chains), Weight(r), Input);
            }
        }
    }

    private void EndSums() =>
        Each(
            (t, r) =>
            {
                for (int chain = 1; chain < _chains; chain++)
                    _code.AddIntegers(Sum(t, r, 0), Sum(t, r, 0), Sum(t, r, chain));
                _code.ToFloat(Sum(t, r, 0), Sum(t, r, 0));
                _code.FusedMultiplyAdd(Total(t, r), Sum(t, r, 0), Token(t, ActivationSegment.ScaleOffset));
            }
        );

    private void PointAtTokens(string first, string stride)
    {
        _code.Load(First, DotProductArguments.At(first));
        _code.Load(Stride, DotProductArguments.At(stride));
        _code.AddressOf(Fourth, new Address(Stride, 0, Stride, 2));
        _code.Add(Fourth, First);
    }

    private void Advance(int bytes)
    {
        _code.Add(First, bytes);
        if (_tokens > 3)
            _code.Add(Fourth, bytes);
    }

    private static Address Token(int t, int displacement)
    {
        Register start = t < 3 ? First : Fourth;
        return t % 3 == 0 ? new Address(start, displacement) : new Address(start, displacement, Stride, t % 3);
    }

    private void Each(Action<int, int> action)
    {
        for (int t = 0; t < _tokens; t++)
        for (int r = 0; r < Vectors; r++)
            action(t, r);
    }

    private static int Total(int t, int r) => t * Vectors + r;

    private int Sum(int t, int r, int chain) => (_tokens + chain * _tokens + t) * Vectors + r;

    private static int Weight(int r) => 29 + r;

    private const int Input = 31;
}
