using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Products of halved weights, 0 to 15, and activations in 8 bits, in 512 and in 256 bits. A pair of products is at most
/// 2 * 15 * 127, and the sum of 8 pairs still fits 16 bits.
/// </summary>
internal static unsafe class SplitHeadProducts
{
    /// <summary>How far ahead of its use a cache line is asked for.</summary>
    private const int PrefetchBytes = 4096;

    /// <summary>
    /// For 32 rows: <c>most = (16 * high . x + centre) * scale + error * size</c>, and the greatest of these without the
    /// error and with it. Two groups of four inputs share the bytes of <paramref name="pairs"/> pairs.
    /// </summary>
    public static (float Estimate, float Most) Bound512(
        byte* high,
        int pairs,
        ActivationSegment* x,
        float centre,
        float size,
        float* scales,
        float* errors,
        float* most
    )
    {
        Vector512<float> totalA = default,
            totalB = default;
        Vector512<byte> half = Vector512.Create((byte)15);
        for (; pairs > 0; pairs -= KernelSet.SegmentGroups / 2, x++)
        {
            Vector512<short> a0 = default,
                a1 = default,
                b0 = default,
                b1 = default;
            int count = Math.Min(pairs, KernelSet.SegmentGroups / 2);
            for (int p = 0; p < count; p++, high += KernelSet.GroupBytes)
            {
                Sse.Prefetch1(high + PrefetchBytes);
                Sse.Prefetch1(high + PrefetchBytes + 64);
                Vector512<byte> a = Vector512.Load(high),
                    b = Vector512.Load(high + 64);
                Vector512<sbyte> first = Vector512.Create(((int*)x)[2 * p]).AsSByte(),
                    second = Vector512.Create(((int*)x)[2 * p + 1]).AsSByte();
                a0 += Avx512BW.MultiplyAddAdjacent(a & half, first);
                b0 += Avx512BW.MultiplyAddAdjacent(b & half, first);
                a1 += Avx512BW.MultiplyAddAdjacent((a.AsUInt16() >> 4).AsByte() & half, second);
                b1 += Avx512BW.MultiplyAddAdjacent((b.AsUInt16() >> 4).AsByte() & half, second);
            }
            Vector512<float> scale = Vector512.Create(x->Scale);
            totalA = Vector512.FusedMultiplyAdd(Sums(a0, a1), scale, totalA);
            totalB = Vector512.FusedMultiplyAdd(Sums(b0, b1), scale, totalB);
        }
        (Vector512<float> estimatesA, Vector512<float> mostA) = Store(totalA, 0);
        (Vector512<float> estimatesB, Vector512<float> mostB) = Store(totalB, 16);
        return (VectorMath.Max(Vector512.MaxNative(estimatesA, estimatesB)), VectorMath.Max(Vector512.MaxNative(mostA, mostB)));

        static Vector512<float> Sums(Vector512<short> a, Vector512<short> b) =>
            Vector512.ConvertToSingle(
                Avx512BW.MultiplyAddAdjacent(a, Vector512<short>.One) + Avx512BW.MultiplyAddAdjacent(b, Vector512<short>.One)
            );

        (Vector512<float>, Vector512<float>) Store(Vector512<float> total, int row)
        {
            Vector512<float> estimates = (total * 16 + Vector512.Create(centre)) * Vector512.Load(scales + row);
            Vector512<float> bounds = estimates + Vector512.Load(errors + row) * size;
            bounds.Store(most + row);
            return (estimates, bounds);
        }
    }

    /// <summary>The same for 8 rows.</summary>
    public static (float Estimate, float Most) Bound256(
        byte* high,
        int pairs,
        ActivationSegment* x,
        float centre,
        float size,
        float* scales,
        float* errors,
        float* most
    )
    {
        Vector256<float> total = default;
        Vector256<byte> half = Vector256.Create((byte)15);
        for (; pairs > 0; pairs -= KernelSet.SegmentGroups / 2, x++)
        {
            Vector256<short> a0 = default,
                a1 = default;
            int count = Math.Min(pairs, KernelSet.SegmentGroups / 2);
            for (int p = 0; p < count; p++, high += KernelSet.GroupBytes)
            {
                Vector256<byte> a = Vector256.Load(high);
                a0 += Avx2.MultiplyAddAdjacent(a & half, Vector256.Create(((int*)x)[2 * p]).AsSByte());
                a1 += Avx2.MultiplyAddAdjacent((a.AsUInt16() >> 4).AsByte() & half, Vector256.Create(((int*)x)[2 * p + 1]).AsSByte());
            }
            Vector256<int> sums = Avx2.MultiplyAddAdjacent(a0, Vector256<short>.One) + Avx2.MultiplyAddAdjacent(a1, Vector256<short>.One);
            total = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(sums), Vector256.Create(x->Scale), total);
        }
        Vector256<float> estimates = (total * 16 + Vector256.Create(centre)) * Vector256.Load(scales);
        Vector256<float> bounds = estimates + Vector256.Load(errors) * size;
        bounds.Store(most);
        return (VectorMath.Max(Vector512.Create(estimates, estimates)), VectorMath.Max(Vector512.Create(bounds, bounds)));
    }

    /// <summary><c>low . x</c> of one row; two segments share the bytes.</summary>
    public static float Low512(byte* low, ActivationSegment* x, int segments)
    {
        Vector512<float> first = default,
            second = default;
        Vector512<byte> half = Vector512.Create((byte)15);
        for (int s = 0; s < segments; s += 2, x += 2, low += ActivationSegment.Inputs)
        {
            Vector512<byte> halves = Vector512.Load(low);
            first = Add(first, halves & half, x);
            if (s + 1 < segments)
                second = Add(second, (halves.AsUInt16() >> 4).AsByte() & half, x + 1);
        }
        return Vector512.Sum(first + second);

        static Vector512<float> Add(Vector512<float> total, Vector512<byte> halves, ActivationSegment* x) =>
            Vector512.FusedMultiplyAdd(
                Vector512.ConvertToSingle(
                    Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(halves, Vector512.Load(x->Values)), Vector512<short>.One)
                ),
                Vector512.Create(x->Scale),
                total
            );
    }

    /// <summary>The same.</summary>
    public static float Low256(byte* low, ActivationSegment* x, int segments)
    {
        Vector256<float> total = default;
        Vector256<byte> half = Vector256.Create((byte)15);
        for (int s = 0; s < segments; s += 2, x += 2, low += ActivationSegment.Inputs)
        {
            Vector256<byte> a = Vector256.Load(low),
                b = Vector256.Load(low + 32);
            total = Add(total, a & half, b & half, x);
            if (s + 1 < segments)
                total = Add(total, (a.AsUInt16() >> 4).AsByte() & half, (b.AsUInt16() >> 4).AsByte() & half, x + 1);
        }
        return Vector256.Sum(total);

        static Vector256<float> Add(Vector256<float> total, Vector256<byte> a, Vector256<byte> b, ActivationSegment* x) =>
            Vector256.FusedMultiplyAdd(
                Vector256.ConvertToSingle(
                    Avx2.MultiplyAddAdjacent(
                        Avx2.MultiplyAddAdjacent(a, Vector256.Load(x->Values))
                            + Avx2.MultiplyAddAdjacent(b, Vector256.Load(x->Values + 32)),
                        Vector256<short>.One
                    )
                ),
                Vector256.Create(x->Scale),
                total
            );
    }
}
