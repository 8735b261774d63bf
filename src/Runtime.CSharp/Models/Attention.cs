using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>Causal attention of one query head over the positions that a sequence holds (Vaswani et al. 2017).</summary>
internal static unsafe class Attention
{
    private const int Lanes = Padding.Lanes;

    /// <summary>
    /// <c>output</c> = sum over p below <paramref name="count"/> of softmax(query . key[p])[p] * value[p]. The query is
    /// already divided by sqrt(<paramref name="width"/>). <paramref name="scores"/> has room for the padded positions,
    /// <paramref name="output"/> for the padded width.
    /// </summary>
    public static void Attend(
        float* query, float* keys, float* values, int count, int width, int paddedWidth, float* scores, float* output)
    {
        for (int first = 0; first < count; first += Lanes, keys += width * Lanes)
        {
            Vector512<float> sum = default;
            for (int i = 0; i < width; i++)
                sum = Vector512.FusedMultiplyAdd(Vector512.Create(query[i]), Vector512.Load(keys + i * Lanes), sum);
            sum.Store(scores + first);
        }
        VectorMath.Softmax(scores, count);
        for (int i = 0; i < paddedWidth; i += Lanes) WeightedSum(scores, values + i, count, paddedWidth).Store(output + i);
    }

    /// <summary>Four running sums, because one would wait for each multiply-add to end before the next.</summary>
    private static Vector512<float> WeightedSum(float* weights, float* values, int count, int stride)
    {
        Vector512<float> a = default, b = default, c = default, d = default;
        int p = 0;
        for (; p + 4 <= count; p += 4, values += 4L * stride)
        {
            a = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p]), Vector512.Load(values), a);
            b = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 1]), Vector512.Load(values + stride), b);
            c = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 2]), Vector512.Load(values + 2L * stride), c);
            d = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 3]), Vector512.Load(values + 3L * stride), d);
        }
        for (; p < count; p++, values += stride)
            a = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p]), Vector512.Load(values), a);
        return (a + b) + (c + d);
    }
}
