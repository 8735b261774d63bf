using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// 512-bit products in 16 bits (AVX-512BW): weights are widened once per four tokens, <c>vpmaddwd</c> adds pairs of
/// products. A register holds two partial sums for each of 8 rows; they are joined at the end.
/// </summary>
internal sealed unsafe class Avx512Kernels : KernelSet
{
    public override string Name => "avx512";
    internal override bool Supported => Avx512BW.IsSupported;

    internal override void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums)
    {
        int t = 0;
        for (; t + 4 <= tokens; t += 4)
        {
            short* x0 = rows.Words + (long)t * rows.Stride, x1 = x0 + rows.Stride, x2 = x1 + rows.Stride, x3 = x2 + rows.Stride;
            Vector512<int> a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
            for (int g = 0; g < groups; g++)
            {
                Vector512<short> a = Widen(weights + g * GroupBytes), b = Widen(weights + g * GroupBytes + 32);
                Vector512<short> x = Inputs(x0, g);
                a0 += Avx512BW.MultiplyAddAdjacent(a, x);
                b0 += Avx512BW.MultiplyAddAdjacent(b, x);
                x = Inputs(x1, g);
                a1 += Avx512BW.MultiplyAddAdjacent(a, x);
                b1 += Avx512BW.MultiplyAddAdjacent(b, x);
                x = Inputs(x2, g);
                a2 += Avx512BW.MultiplyAddAdjacent(a, x);
                b2 += Avx512BW.MultiplyAddAdjacent(b, x);
                x = Inputs(x3, g);
                a3 += Avx512BW.MultiplyAddAdjacent(a, x);
                b3 += Avx512BW.MultiplyAddAdjacent(b, x);
            }
            int* target = sums + t * BlockRows;
            Store(a0, b0, target);
            Store(a1, b1, target + BlockRows);
            Store(a2, b2, target + 2 * BlockRows);
            Store(a3, b3, target + 3 * BlockRows);
        }
        for (; t < tokens; t++)
        {
            short* x0 = rows.Words + (long)t * rows.Stride;
            Vector512<int> a0 = default, b0 = default;
            for (int g = 0; g < groups; g++)
            {
                Vector512<short> x = Inputs(x0, g);
                a0 += Avx512BW.MultiplyAddAdjacent(Widen(weights + g * GroupBytes), x);
                b0 += Avx512BW.MultiplyAddAdjacent(Widen(weights + g * GroupBytes + 32), x);
            }
            Store(a0, b0, sums + t * BlockRows);
        }
    }

    /// <summary>Four inputs of 8 rows in 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Widen(sbyte* weights) => Avx512BW.ConvertToVector512Int16(Vector256.Load(weights));

    /// <summary>The same four inputs for each of 8 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Inputs(short* row, int group) => Vector512.Create(((long*)row)[group]).AsInt16();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<int> a, Vector512<int> b, int* target)
    {
        Join(a).Store(target);
        Join(b).Store(target + 8);
    }

    /// <summary>Adds each row's two partial sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Join(Vector512<int> pairs) =>
        Avx512F.ConvertToVector256Int32((pairs + (pairs.AsInt64() >>> 32).AsInt32()).AsInt64());
}
