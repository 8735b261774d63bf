using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The floating-point steps of a layer on rows whose length is padded with zeros to a multiple of 16. Each result is a
/// fixed sequence of IEEE operations over 16 lanes, whatever the width of the processor's registers: .NET runs a
/// 512-bit vector as two or four narrower ones where it must, and a fused multiply-add rounds once everywhere.
/// So logits are the same bits on every processor as well as in every batch.
/// </summary>
internal static unsafe class VectorMath
{
    private const int Lanes = Padding.Lanes;

    /// <summary>1.5 * 2^23: adding it to a number below 2^22 rounds that to a whole number, ties to even.</summary>
    private const float Rounder = 12582912f;

    /// <summary>Adds the 16 lanes in one fixed order (halving the width each time).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<float> v)
    {
        Vector256<float> eight = v.GetLower() + v.GetUpper();
        Vector128<float> four = eight.GetLower() + eight.GetUpper();
        return (four[0] + four[2]) + (four[1] + four[3]);
    }

    /// <summary>The greatest lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Max(Vector512<float> v)
    {
        Vector256<float> eight = Vector256.Max(v.GetLower(), v.GetUpper());
        Vector128<float> four = Vector128.Max(eight.GetLower(), eight.GetUpper());
        return MathF.Max(MathF.Max(four[0], four[2]), MathF.Max(four[1], four[3]));
    }

    /// <summary>RMSNorm (Zhang and Sennrich 2019): <c>y = x / sqrt(mean(x^2) + epsilon) * weight</c> over the first <paramref name="length"/> values.</summary>
    public static void RmsNorm(float* x, float* weight, float* y, int length, float epsilon)
    {
        int padded = Padding.ToLanes(length);
        Vector512<float> squares = default;
        for (int i = 0; i < padded; i += Lanes)
        {
            Vector512<float> v = Vector512.Load(x + i);
            squares = Vector512.FusedMultiplyAdd(v, v, squares);
        }
        Vector512<float> factor = Vector512.Create(1 / MathF.Sqrt(Sum(squares) / length + epsilon));
        for (int i = 0; i < padded; i += Lanes)
            (Vector512.Load(x + i) * factor * Vector512.Load(weight + i)).Store(y + i);
    }

    /// <summary>
    /// Rounds a row to -127..127, 64 values at a time, each time with the scale max|x| / 127. A segment of (nearly) zeros
    /// gives zeros and scale 0; the values behind the row's end are zero.
    /// </summary>
    public static void Quantise(float* x, int padded, ActivationSegment* segments)
    {
        for (; padded > 0; padded -= ActivationSegment.Inputs, x += ActivationSegment.Inputs, segments++)
            Quantise(x, Math.Min(padded, ActivationSegment.Inputs), ref *segments);
    }

    private static void Quantise(float* x, int padded, ref ActivationSegment segment)
    {
        Vector512<float> greatest = default;
        for (int i = 0; i < padded; i += Lanes)
            greatest = Vector512.MaxNative(greatest, Vector512.Abs(Vector512.Load(x + i)));
        float max = Max(greatest);
        segment.Scale = max < 1e-30f ? 0 : max / 127; // below, 127 / max would overflow
        Vector512<float> inverse = Vector512.Create(segment.Scale == 0 ? 0 : 127 / max),
            rounder = Vector512.Create(Rounder);
        Vector512<int> zero = rounder.AsInt32(),
            sum = default;
        fixed (sbyte* values = segment.Values)
        {
            for (int i = 0; i < padded; i += Lanes)
            {
                Vector512<int> q = (Vector512.Load(x + i) * inverse + rounder).AsInt32() - zero;
                sum += q;
                Vector256<short> word = Vector256.Narrow(q.GetLower(), q.GetUpper());
                Vector128.Narrow(word.GetLower(), word.GetUpper()).Store(values + i);
            }
            for (int i = padded; i < ActivationSegment.Inputs; i += Lanes)
                Vector128<sbyte>.Zero.Store(values + i);
        }
        segment.Bias = -128 * Vector512.Sum(sum);
    }

    /// <summary>Each value = w / scale to the nearest whole number, ties to even, within -127..127; zeros where the scale is 0.</summary>
    public static void RoundTo127(ReadOnlySpan<float> weights, float scale, Span<sbyte> values)
    {
        if (scale == 0)
        {
            values.Clear();
            return;
        }
        Vector512<float> divisor = Vector512.Create(scale),
            rounder = Vector512.Create(Rounder),
            most = Vector512.Create(127f);
        int i = 0;
        for (; i + Lanes <= weights.Length; i += Lanes)
        {
            Vector512<float> w = Vector512.Create(weights.Slice(i, Lanes)) / divisor;
            w = Vector512.MinNative(Vector512.MaxNative(w, -most), most);
            Vector512<int> q = (w + rounder).AsInt32() - rounder.AsInt32();
            Vector256<short> word = Vector256.Narrow(q.GetLower(), q.GetUpper());
            Vector128.Narrow(word.GetLower(), word.GetUpper()).CopyTo(values.Slice(i, Lanes));
        }
        for (; i < weights.Length; i++)
            values[i] = (sbyte)Math.Clamp(MathF.Round(weights[i] / scale), -127, 127);
    }

    /// <summary><c>x += y</c></summary>
    public static void Add(float* x, float* y, int padded)
    {
        for (int i = 0; i < padded; i += Lanes)
            (Vector512.Load(x + i) + Vector512.Load(y + i)).Store(x + i);
    }

    /// <summary>SwiGLU (Shazeer 2020): <c>output = gate / (1 + exp(-gate)) * up</c></summary>
    public static void SwiGlu(float* gate, float* up, float* output, int padded)
    {
        for (int i = 0; i < padded; i += Lanes)
        {
            Vector512<float> g = Vector512.Load(gate + i);
            (g / (Vector512<float>.One + Exp(-g)) * Vector512.Load(up + i)).Store(output + i);
        }
    }

    /// <summary>
    /// e^x within about 2 units in the last place; arguments are cut to -87..88 so that the result is a normal number.
    /// x = n ln 2 + r with |r| at most ln(2) / 2; a Taylor polynomial of degree 7 gives e^r, the exponent field 2^n.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Exp(Vector512<float> x)
    {
        x = Vector512.MinNative(Vector512.MaxNative(x, Vector512.Create(-87f)), Vector512.Create(88f));
        Vector512<float> rounder = Vector512.Create(Rounder);
        Vector512<float> shifted = Vector512.FusedMultiplyAdd(x, Vector512.Create(1.44269504f), rounder);
        Vector512<float> n = shifted - rounder;
        Vector512<float> r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-0.693145752f), x); // ln 2 in two parts
        r = Vector512.FusedMultiplyAdd(n, Vector512.Create(-1.42860677e-6f), r);
        Vector512<float> p = Vector512.Create(1f / 5040);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 720));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 120));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 24));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(1f / 6));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512.Create(0.5f));
        p = Vector512.FusedMultiplyAdd(p, r, Vector512<float>.One);
        p = Vector512.FusedMultiplyAdd(p, r, Vector512<float>.One);
        return (p.AsInt32() + ((shifted.AsInt32() - rounder.AsInt32()) << 23)).AsSingle();
    }

    /// <summary>
    /// Softmax in place over the first <paramref name="count"/> of the scores; what follows, up to
    /// <paramref name="end"/> (a multiple of 16), becomes zero.
    /// </summary>
    public static void Softmax(float* scores, int count, int end)
    {
        int padded = Padding.ToLanes(count);
        for (int i = padded; i < end; i += Lanes)
            Vector512<float>.Zero.Store(scores + i);
        for (int i = count; i < padded; i++)
            scores[i] = float.NegativeInfinity;
        Vector512<float> greatest = Vector512.Create(float.NegativeInfinity);
        for (int i = 0; i < padded; i += Lanes)
            greatest = Vector512.MaxNative(greatest, Vector512.Load(scores + i));
        Vector512<float> max = Vector512.Create(Max(greatest)),
            sum = default;
        for (int i = 0; i < padded; i += Lanes)
        {
            Vector512<float> e = Exp(Vector512.Load(scores + i) - max);
            e.Store(scores + i);
            if (i + Lanes > count)
            {
                for (int j = count; j < padded; j++)
                    scores[j] = 0; // Exp cuts its argument, so these are not yet zero
                e = Vector512.Load(scores + i);
            }
            sum += e;
        }
        Vector512<float> factor = Vector512.Create(1 / Sum(sum));
        for (int i = 0; i < padded; i += Lanes)
            (Vector512.Load(scores + i) * factor).Store(scores + i);
    }
}
