using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace OptimalStopping.Runtime.Models;

/// <summary>Arm with the dot product extension: <c>sdot</c> adds the four products of each of 4 rows.</summary>
internal sealed unsafe class ArmDotKernels : KernelSet
{
    public override string Name => "dp";
    internal override bool Supported => Dp.IsSupported;

    internal override void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums)
    {
        int t = 0;
        for (; t + 2 <= tokens; t += 2)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride, x1 = x0 + rows.Stride;
            Vector128<int> a0 = default, b0 = default, c0 = default, d0 = default, a1 = default, b1 = default, c1 = default, d1 = default;
            for (int g = 0; g < groups; g++)
            {
                sbyte* w = weights + g * GroupBytes;
                Vector128<sbyte> a = Vector128.Load(w), b = Vector128.Load(w + 16), c = Vector128.Load(w + 32), d = Vector128.Load(w + 48);
                Vector128<sbyte> x = Inputs(x0, g), y = Inputs(x1, g);
                a0 = Dp.DotProduct(a0, a, x);
                b0 = Dp.DotProduct(b0, b, x);
                c0 = Dp.DotProduct(c0, c, x);
                d0 = Dp.DotProduct(d0, d, x);
                a1 = Dp.DotProduct(a1, a, y);
                b1 = Dp.DotProduct(b1, b, y);
                c1 = Dp.DotProduct(c1, c, y);
                d1 = Dp.DotProduct(d1, d, y);
            }
            Store(a0, b0, c0, d0, sums + t * BlockRows);
            Store(a1, b1, c1, d1, sums + (t + 1) * BlockRows);
        }
        for (; t < tokens; t++)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride;
            Vector128<int> a0 = default, b0 = default, c0 = default, d0 = default;
            for (int g = 0; g < groups; g++)
            {
                sbyte* w = weights + g * GroupBytes;
                Vector128<sbyte> x = Inputs(x0, g);
                a0 = Dp.DotProduct(a0, Vector128.Load(w), x);
                b0 = Dp.DotProduct(b0, Vector128.Load(w + 16), x);
                c0 = Dp.DotProduct(c0, Vector128.Load(w + 32), x);
                d0 = Dp.DotProduct(d0, Vector128.Load(w + 48), x);
            }
            Store(a0, b0, c0, d0, sums + t * BlockRows);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector128<sbyte> Inputs(sbyte* row, int group) => Vector128.Create(((int*)row)[group]).AsSByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Store(Vector128<int> a, Vector128<int> b, Vector128<int> c, Vector128<int> d, int* target)
    {
        a.Store(target);
        b.Store(target + 4);
        c.Store(target + 8);
        d.Store(target + 12);
    }
}

/// <summary>Arm without the dot product extension: products in 16 bits, then added in pairs into 32.</summary>
internal sealed unsafe class ArmKernels : KernelSet
{
    public override string Name => "advsimd";
    internal override bool Supported => AdvSimd.Arm64.IsSupported;

    internal override void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums)
    {
        for (int t = 0; t < tokens; t++)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride;
            Vector128<int> a = default, b = default, c = default, d = default;
            for (int g = 0; g < groups; g++)
            {
                sbyte* w = weights + g * GroupBytes;
                Vector128<sbyte> x = ArmDotKernels.Inputs(x0, g);
                a += Products(Vector128.Load(w), x);
                b += Products(Vector128.Load(w + 16), x);
                c += Products(Vector128.Load(w + 32), x);
                d += Products(Vector128.Load(w + 48), x);
            }
            ArmDotKernels.Store(a, b, c, d, sums + t * BlockRows);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Products(Vector128<sbyte> w, Vector128<sbyte> x) => AdvSimd.Arm64.AddPairwise(
        AdvSimd.AddPairwiseWidening(AdvSimd.MultiplyWideningLower(w.GetLower(), x.GetLower())),
        AdvSimd.AddPairwiseWidening(AdvSimd.MultiplyWideningUpper(w, x)));
}
