using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>How a 256-bit instruction set adds the products of four weights and four activations in each of 8 rows.</summary>
internal interface IDotProduct256
{
    /// <summary>The sums before the first product.</summary>
    static abstract Vector256<int> Start(int bias);

    static abstract Vector256<int> Add(Vector256<int> sums, Vector256<byte> weights, Vector256<sbyte> inputs);
}

/// <summary>Tiles of 16 rows times one or two tokens; sums, totals, weights and inputs fit the 16 registers.</summary>
internal abstract unsafe class Kernels256<TDot> : KernelSet
    where TDot : struct, IDotProduct256
{
    internal sealed override void MultiplyBlock(
        byte* weights,
        int groups,
        in ActivationRows inputs,
        int first,
        int tokens,
        float* scales,
        float* output,
        long outputStride
    )
    {
        for (int half = 0; half < BlockRows; half += 16)
        {
            byte* w = weights + half * GroupInputs;
            int t = 0;
            for (; t + 2 <= tokens; t += 2)
                Two(
                    w,
                    groups,
                    inputs.Row(first + t),
                    inputs.Row(first + t + 1),
                    scales + half,
                    output + t * outputStride + half,
                    output + (t + 1) * outputStride + half
                );
            if (t < tokens)
                One(w, groups, inputs.Row(first + t), scales + half, output + t * outputStride + half);
        }
    }

    private static void Two(byte* w, int groups, ActivationSegment* x, ActivationSegment* y, float* scales, float* xOut, float* yOut)
    {
        Vector256<float> ax = default,
            bx = default,
            ay = default,
            by = default;
        for (; groups > 0; groups -= SegmentGroups, x++, y++)
        {
            Vector256<int> sumAx = TDot.Start(x->Bias),
                sumBx = sumAx,
                sumAy = TDot.Start(y->Bias),
                sumBy = sumAy;
            int count = Math.Min(groups, SegmentGroups);
            for (int g = 0; g < count; g++, w += GroupBytes)
            {
                Vector256<byte> a = Vector256.Load(w),
                    b = Vector256.Load(w + 32);
                Vector256<sbyte> input = Inputs(x, g);
                sumAx = TDot.Add(sumAx, a, input);
                sumBx = TDot.Add(sumBx, b, input);
                input = Inputs(y, g);
                sumAy = TDot.Add(sumAy, a, input);
                sumBy = TDot.Add(sumBy, b, input);
            }
            ax = AddScaled(ax, sumAx, x);
            bx = AddScaled(bx, sumBx, x);
            ay = AddScaled(ay, sumAy, y);
            by = AddScaled(by, sumBy, y);
        }
        Store(ax, bx, scales, xOut);
        Store(ay, by, scales, yOut);
    }

    private static void One(byte* w, int groups, ActivationSegment* x, float* scales, float* output)
    {
        Vector256<float> a = default,
            b = default;
        for (; groups > 0; groups -= SegmentGroups, x++)
        {
            Vector256<int> sumA = TDot.Start(x->Bias),
                sumB = sumA;
            int count = Math.Min(groups, SegmentGroups);
            for (int g = 0; g < count; g++, w += GroupBytes)
            {
                Vector256<sbyte> input = Inputs(x, g);
                sumA = TDot.Add(sumA, Vector256.Load(w), input);
                sumB = TDot.Add(sumB, Vector256.Load(w + 32), input);
            }
            a = AddScaled(a, sumA, x);
            b = AddScaled(b, sumB, x);
        }
        Store(a, b, scales, output);
    }

    /// <summary>The same four inputs for each of 8 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Inputs(ActivationSegment* x, int group) => Vector256.Create(((int*)x)[group]).AsSByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> AddScaled(Vector256<float> total, Vector256<int> sums, ActivationSegment* x) =>
        Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(sums), Vector256.Create(x->Scale), total);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<float> a, Vector256<float> b, float* scales, float* output)
    {
        (a * Vector256.Load(scales)).Store(output);
        (b * Vector256.Load(scales + 8)).Store(output + 8);
    }
}

/// <summary>
/// 256-bit products in 8 bits (AVX2). <c>vpmaddubsw</c> wants one factor without sign, so it takes |w| and x with the
/// sign of w. A pair of products is at most 2 * 128 * 127 = 32,512, which its 16 bits hold: nothing saturates.
/// </summary>
internal sealed class Avx2Kernels : Kernels256<Avx2Kernels.Dot>
{
    public override string Name => "avx2";
    internal override bool Supported => Avx2.IsSupported && Fma.IsSupported;

    internal readonly struct Dot : IDotProduct256
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<int> Start(int bias) => default;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<int> Add(Vector256<int> sums, Vector256<byte> weights, Vector256<sbyte> inputs) =>
            sums
            + Avx2.MultiplyAddAdjacent(
                Avx2.MultiplyAddAdjacent(Avx2.Abs(weights.AsSByte()), Avx2.Sign(inputs, weights.AsSByte())),
                Vector256<short>.One
            );
    }
}

/// <summary>256-bit products with one instruction for the four products of a row (AVX-VNNI, <c>vpdpbusd</c>).</summary>
internal sealed class AvxVnniKernels : Kernels256<AvxVnniKernels.Dot>
{
    public override string Name => "avxvnni";
    internal override bool Supported => AvxVnni.IsSupported;
    internal override bool OffsetWeights => true;

    internal readonly struct Dot : IDotProduct256
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<int> Start(int bias) => Vector256.Create(bias);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<int> Add(Vector256<int> sums, Vector256<byte> weights, Vector256<sbyte> inputs) =>
            AvxVnni.MultiplyWideningAndAdd(sums, weights, inputs);
    }
}
