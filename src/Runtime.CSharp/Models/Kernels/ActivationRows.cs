using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// 64 activations of one token in 8 bits (-127..127) with their common scale: the value is <c>Values[i] * Scale</c>. A
/// scale for so few values keeps one large activation from coarsening all others.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = Bytes)]
internal unsafe struct ActivationSegment
{
    public const int Inputs = 64,
        ScaleOffset = Inputs,
        BiasOffset = Inputs + 4,
        Bytes = Inputs + 8;

    [FieldOffset(0)]
    public fixed sbyte Values[Inputs];

    [FieldOffset(ScaleOffset)]
    public float Scale;

    /// <summary>-128 times the sum of the values, which takes back the offset of weights stored as w + 128.</summary>
    [FieldOffset(BiasOffset)]
    public int Bias;
}

/// <summary>Quantised activations of several tokens; one token's segments lie side by side.</summary>
internal readonly unsafe struct ActivationRows(ActivationSegment* segments, int stride)
{
    /// <summary>Segments from one token to the next.</summary>
    public readonly int Stride = stride;

    /// <summary>The first segment of a token.</summary>
    public ActivationSegment* Row(int token) => segments + (long)token * Stride;
}
