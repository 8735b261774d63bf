using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>The choice of greedy decoding.</summary>
public static class Greedy
{
    /// <summary>The token with the greatest logit, the lowest of them where several are equal.</summary>
    /// <exception cref="ArgumentException">There is no logit.</exception>
    public static int Choose(ReadOnlySpan<float> logits)
    {
        if (logits.IsEmpty)
            throw new ArgumentException("expected at least one logit", nameof(logits));
        int i = 0;
        float greatest = float.NegativeInfinity;
        if (logits.Length >= Padding.Lanes)
        {
            Vector512<float> most = Vector512.Create(logits);
            for (; i + Padding.Lanes <= logits.Length; i += Padding.Lanes)
                most = Vector512.MaxNative(most, Vector512.Create(logits[i..]));
            greatest = VectorMath.Max(most);
        }
        for (; i < logits.Length; i++)
            greatest = MathF.Max(greatest, logits[i]);
        return Math.Max(0, logits.IndexOf(greatest));
    }
}
