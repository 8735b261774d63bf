using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace OptimalStopping.Runtime.Models;

/// <summary>How an Arm instruction set adds the products of four weights and four activations in each of 4 rows.</summary>
internal interface IDotProduct128
{
    static abstract Vector128<int> Add(Vector128<int> sums, Vector128<sbyte> weights, Vector128<sbyte> inputs);
}

/// <summary>Tiles of 16 rows times one or two tokens; sums, totals, weights and inputs take 22 of the 32 registers.</summary>
internal abstract unsafe class Kernels128<TDot> : KernelSet
    where TDot : struct, IDotProduct128
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
            sbyte* w = (sbyte*)weights + half * GroupInputs;
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

    private static void Two(sbyte* w, int groups, ActivationSegment* x, ActivationSegment* y, float* scales, float* xOut, float* yOut)
    {
        Vector128<float> ax = default,
            bx = default,
            cx = default,
            dx = default,
            ay = default,
            by = default,
            cy = default,
            dy = default;
        for (; groups > 0; groups -= SegmentGroups, x++, y++)
        {
            Vector128<int> sumAx = default,
                sumBx = default,
                sumCx = default,
                sumDx = default;
            Vector128<int> sumAy = default,
                sumBy = default,
                sumCy = default,
                sumDy = default;
            int count = Math.Min(groups, SegmentGroups);
            for (int g = 0; g < count; g++, w += GroupBytes)
            {
                Vector128<sbyte> a = Vector128.Load(w),
                    b = Vector128.Load(w + 16),
                    c = Vector128.Load(w + 32),
                    d = Vector128.Load(w + 48);
                Vector128<sbyte> input = Inputs(x, g);
                sumAx = TDot.Add(sumAx, a, input);
                sumBx = TDot.Add(sumBx, b, input);
                sumCx = TDot.Add(sumCx, c, input);
                sumDx = TDot.Add(sumDx, d, input);
                input = Inputs(y, g);
                sumAy = TDot.Add(sumAy, a, input);
                sumBy = TDot.Add(sumBy, b, input);
                sumCy = TDot.Add(sumCy, c, input);
                sumDy = TDot.Add(sumDy, d, input);
            }
            (ax, bx, cx, dx) = (AddScaled(ax, sumAx, x), AddScaled(bx, sumBx, x), AddScaled(cx, sumCx, x), AddScaled(dx, sumDx, x));
            (ay, by, cy, dy) = (AddScaled(ay, sumAy, y), AddScaled(by, sumBy, y), AddScaled(cy, sumCy, y), AddScaled(dy, sumDy, y));
        }
        Store(ax, bx, cx, dx, scales, xOut);
        Store(ay, by, cy, dy, scales, yOut);
    }

    private static void One(sbyte* w, int groups, ActivationSegment* x, float* scales, float* output)
    {
        Vector128<float> a = default,
            b = default,
            c = default,
            d = default;
        for (; groups > 0; groups -= SegmentGroups, x++)
        {
            Vector128<int> sumA = default,
                sumB = default,
                sumC = default,
                sumD = default;
            int count = Math.Min(groups, SegmentGroups);
            for (int g = 0; g < count; g++, w += GroupBytes)
            {
                Vector128<sbyte> input = Inputs(x, g);
                sumA = TDot.Add(sumA, Vector128.Load(w), input);
                sumB = TDot.Add(sumB, Vector128.Load(w + 16), input);
                sumC = TDot.Add(sumC, Vector128.Load(w + 32), input);
                sumD = TDot.Add(sumD, Vector128.Load(w + 48), input);
            }
            (a, b, c, d) = (AddScaled(a, sumA, x), AddScaled(b, sumB, x), AddScaled(c, sumC, x), AddScaled(d, sumD, x));
        }
        Store(a, b, c, d, scales, output);
    }

    /// <summary>The same four inputs for each of 4 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<sbyte> Inputs(ActivationSegment* x, int group) => Vector128.Create(((int*)x)[group]).AsSByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> AddScaled(Vector128<float> total, Vector128<int> sums, ActivationSegment* x) =>
        Vector128.FusedMultiplyAdd(Vector128.ConvertToSingle(sums), Vector128.Create(x->Scale), total);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d, float* scales, float* output)
    {
        (a * Vector128.Load(scales)).Store(output);
        (b * Vector128.Load(scales + 4)).Store(output + 4);
        (c * Vector128.Load(scales + 8)).Store(output + 8);
        (d * Vector128.Load(scales + 12)).Store(output + 12);
    }
}

/// <summary>Arm with the dot product extension: <c>sdot</c> adds the four products of each of 4 rows.</summary>
internal sealed class ArmDotKernels : Kernels128<ArmDotKernels.Dot>
{
    public override string Name => "dp";
    internal override bool Supported => Dp.IsSupported;

    internal readonly struct Dot : IDotProduct128
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<int> Add(Vector128<int> sums, Vector128<sbyte> weights, Vector128<sbyte> inputs) =>
            Dp.DotProduct(sums, weights, inputs);
    }
}

/// <summary>Arm without the dot product extension: products in 16 bits, then added in pairs into 32.</summary>
internal sealed class ArmKernels : Kernels128<ArmKernels.Dot>
{
    public override string Name => "advsimd";
    internal override bool Supported => AdvSimd.Arm64.IsSupported;

    internal readonly struct Dot : IDotProduct128
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<int> Add(Vector128<int> sums, Vector128<sbyte> weights, Vector128<sbyte> inputs) =>
            sums
            + AdvSimd.Arm64.AddPairwise(
                AdvSimd.AddPairwiseWidening(AdvSimd.MultiplyWideningLower(weights.GetLower(), inputs.GetLower())),
                AdvSimd.AddPairwiseWidening(AdvSimd.MultiplyWideningUpper(weights, inputs))
            );
    }
}
