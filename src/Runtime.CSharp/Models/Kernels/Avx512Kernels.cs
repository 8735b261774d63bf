using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// 512-bit products in 16 bits (AVX-512BW): bytes are widened, <c>vpmaddwd</c> adds pairs of products. A register holds
/// two partial sums for each of 8 rows; they are joined at the end of a segment. For processors without AVX512-VNNI, and
/// where the system refuses executable pages.
/// </summary>
internal sealed unsafe class Avx512Kernels : KernelSet
{
    public override string Name => "avx512";
    internal override bool Supported => Avx512BW.IsSupported;

    internal override void MultiplyBlock(
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
            for (; t + 4 <= tokens; t += 4)
                Four(
                    w,
                    groups,
                    inputs.Row(first + t),
                    inputs.Stride,
                    Vector512.Load(scales + half),
                    output + t * outputStride + half,
                    outputStride
                );
            for (; t < tokens; t++)
                One(w, groups, inputs.Row(first + t), Vector512.Load(scales + half), output + t * outputStride + half);
        }
    }

    private static void Four(
        byte* w,
        int groups,
        ActivationSegment* x,
        int stride,
        Vector512<float> scales,
        float* output,
        long outputStride
    )
    {
        Vector512<float> total0 = default,
            total1 = default,
            total2 = default,
            total3 = default;
        for (; groups > 0; groups -= SegmentGroups, x++)
        {
            Vector512<int> a0 = default,
                a1 = default,
                a2 = default,
                a3 = default,
                b0 = default,
                b1 = default,
                b2 = default,
                b3 = default;
            int count = Math.Min(groups, SegmentGroups);
            for (int g = 0; g < count; g++, w += GroupBytes)
            {
                Vector512<short> a = Widen(w),
                    b = Widen(w + 32);
                Vector512<short> input = Inputs(x, g);
                a0 += Avx512BW.MultiplyAddAdjacent(a, input);
                b0 += Avx512BW.MultiplyAddAdjacent(b, input);
                input = Inputs(x + stride, g);
                a1 += Avx512BW.MultiplyAddAdjacent(a, input);
                b1 += Avx512BW.MultiplyAddAdjacent(b, input);
                input = Inputs(x + 2 * stride, g);
                a2 += Avx512BW.MultiplyAddAdjacent(a, input);
                b2 += Avx512BW.MultiplyAddAdjacent(b, input);
                input = Inputs(x + 3 * stride, g);
                a3 += Avx512BW.MultiplyAddAdjacent(a, input);
                b3 += Avx512BW.MultiplyAddAdjacent(b, input);
            }
            total0 = AddScaled(total0, a0, b0, x);
            total1 = AddScaled(total1, a1, b1, x + stride);
            total2 = AddScaled(total2, a2, b2, x + 2 * stride);
            total3 = AddScaled(total3, a3, b3, x + 3 * stride);
        }
        (total0 * scales).Store(output);
        (total1 * scales).Store(output + outputStride);
        (total2 * scales).Store(output + 2 * outputStride);
        (total3 * scales).Store(output + 3 * outputStride);
    }

    private static void One(byte* w, int groups, ActivationSegment* x, Vector512<float> scales, float* output)
    {
        Vector512<float> total = default;
        for (; groups > 0; groups -= SegmentGroups, x++)
        {
            Vector512<int> a = default,
                b = default;
            int count = Math.Min(groups, SegmentGroups);
            for (int g = 0; g < count; g++, w += GroupBytes)
            {
                Vector512<short> input = Inputs(x, g);
                a += Avx512BW.MultiplyAddAdjacent(Widen(w), input);
                b += Avx512BW.MultiplyAddAdjacent(Widen(w + 32), input);
            }
            total = AddScaled(total, a, b, x);
        }
        (total * scales).Store(output);
    }

    /// <summary>Four weights of 8 rows in 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Widen(byte* weights) => Avx512BW.ConvertToVector512Int16(Vector256.Load((sbyte*)weights));

    /// <summary>The same four inputs for each of 8 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Inputs(ActivationSegment* x, int group) =>
        Avx512BW.ConvertToVector512Int16(Vector256.Create(((int*)x)[group]).AsSByte());

    /// <summary>Adds each row's two partial sums, then the whole to the totals of 16 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> AddScaled(Vector512<float> total, Vector512<int> a, Vector512<int> b, ActivationSegment* x) =>
        Vector512.FusedMultiplyAdd(Vector512.ConvertToSingle(Vector512.Create(Join(a), Join(b))), Vector512.Create(x->Scale), total);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Join(Vector512<int> pairs) =>
        Avx512F.ConvertToVector256Int32((pairs + (pairs.AsInt64() >>> 32).AsInt32()).AsInt64());
}
