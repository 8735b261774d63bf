using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// 256-bit products in 8 bits (AVX2). <c>vpmaddubsw</c> wants one factor without sign, so it takes |w| and x with the
/// sign of w. A pair of products is at most 2 * 128 * 127 = 32,512, which its 16 bits hold: nothing saturates.
/// </summary>
internal sealed unsafe class Avx2Kernels : KernelSet
{
    public override string Name => "avx2";
    internal override bool Supported => Avx2.IsSupported;

    internal override void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums)
    {
        int t = 0;
        for (; t + 2 <= tokens; t += 2)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride, x1 = x0 + rows.Stride;
            Vector256<int> a0 = default, a1 = default, b0 = default, b1 = default;
            for (int g = 0; g < groups; g++)
            {
                Vector256<sbyte> a = Vector256.Load(weights + g * GroupBytes), b = Vector256.Load(weights + g * GroupBytes + 32);
                Vector256<byte> sizeA = Avx2.Abs(a), sizeB = Avx2.Abs(b);
                Vector256<sbyte> x = Inputs(x0, g);
                a0 += Products(sizeA, a, x);
                b0 += Products(sizeB, b, x);
                x = Inputs(x1, g);
                a1 += Products(sizeA, a, x);
                b1 += Products(sizeB, b, x);
            }
            int* target = sums + t * BlockRows;
            a0.Store(target);
            b0.Store(target + 8);
            a1.Store(target + 16);
            b1.Store(target + 24);
        }
        for (; t < tokens; t++)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride;
            Vector256<int> a0 = default, b0 = default;
            for (int g = 0; g < groups; g++)
            {
                Vector256<sbyte> a = Vector256.Load(weights + g * GroupBytes), b = Vector256.Load(weights + g * GroupBytes + 32);
                Vector256<sbyte> x = Inputs(x0, g);
                a0 += Products(Avx2.Abs(a), a, x);
                b0 += Products(Avx2.Abs(b), b, x);
            }
            a0.Store(sums + t * BlockRows);
            b0.Store(sums + t * BlockRows + 8);
        }
    }

    /// <summary>The same four inputs for each of 8 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<sbyte> Inputs(sbyte* row, int group) => Vector256.Create(((int*)row)[group]).AsSByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Products(Vector256<byte> size, Vector256<sbyte> weights, Vector256<sbyte> inputs) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(size, Avx2.Sign(inputs, weights)), Vector256<short>.One);
}

/// <summary>As <see cref="Avx2Kernels"/>, with one instruction (<c>vpdpbusd</c>) for the four products of a row.</summary>
internal sealed unsafe class AvxVnniKernels : KernelSet
{
    public override string Name => "avxvnni";
    internal override bool Supported => AvxVnni.IsSupported;

    internal override void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums)
    {
        int t = 0;
        for (; t + 2 <= tokens; t += 2)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride, x1 = x0 + rows.Stride;
            Vector256<int> a0 = default, a1 = default, b0 = default, b1 = default;
            for (int g = 0; g < groups; g++)
            {
                Vector256<sbyte> a = Vector256.Load(weights + g * GroupBytes), b = Vector256.Load(weights + g * GroupBytes + 32);
                Vector256<byte> sizeA = Avx2.Abs(a), sizeB = Avx2.Abs(b);
                Vector256<sbyte> x = Avx2Kernels.Inputs(x0, g);
                a0 = AvxVnni.MultiplyWideningAndAdd(a0, sizeA, Avx2.Sign(x, a));
                b0 = AvxVnni.MultiplyWideningAndAdd(b0, sizeB, Avx2.Sign(x, b));
                x = Avx2Kernels.Inputs(x1, g);
                a1 = AvxVnni.MultiplyWideningAndAdd(a1, sizeA, Avx2.Sign(x, a));
                b1 = AvxVnni.MultiplyWideningAndAdd(b1, sizeB, Avx2.Sign(x, b));
            }
            int* target = sums + t * BlockRows;
            a0.Store(target);
            b0.Store(target + 8);
            a1.Store(target + 16);
            b1.Store(target + 24);
        }
        for (; t < tokens; t++)
        {
            sbyte* x0 = rows.Bytes + (long)t * rows.Stride;
            Vector256<int> a0 = default, b0 = default;
            for (int g = 0; g < groups; g++)
            {
                Vector256<sbyte> a = Vector256.Load(weights + g * GroupBytes), b = Vector256.Load(weights + g * GroupBytes + 32);
                Vector256<sbyte> x = Avx2Kernels.Inputs(x0, g);
                a0 = AvxVnni.MultiplyWideningAndAdd(a0, Avx2.Abs(a), Avx2.Sign(x, a));
                b0 = AvxVnni.MultiplyWideningAndAdd(b0, Avx2.Abs(b), Avx2.Sign(x, b));
            }
            a0.Store(sums + t * BlockRows);
            b0.Store(sums + t * BlockRows + 8);
        }
    }
}
