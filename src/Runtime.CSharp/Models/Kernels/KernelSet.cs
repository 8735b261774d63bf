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

/// <summary>
/// The matrix products that nearly all time goes into, for one instruction set. Products of bytes are summed exactly
/// over 64 inputs; what follows is one fixed sequence of IEEE operations per output. So every set gives the same bits,
/// for every number of tokens, and the choice is one of speed alone.
/// </summary>
/// <remarks>
/// Weights come in blocks of 32 output rows. A block is a run of groups of 128 bytes; group g holds the inputs 4g to 4g+3
/// of row 0, then of row 1, and so on. One vector register then holds the same inputs of several rows, a sum never has to
/// be taken across a register, and a block is read from begin to end as one stream.
/// </remarks>
public abstract unsafe class KernelSet
{
    /// <summary>Output rows in a block.</summary>
    internal const int BlockRows = 32;

    /// <summary>Inputs in a group.</summary>
    internal const int GroupInputs = 4;

    /// <summary>Bytes of one group: <see cref="BlockRows"/> times <see cref="GroupInputs"/>.</summary>
    internal const int GroupBytes = BlockRows * GroupInputs;

    /// <summary>Groups in a segment of activations.</summary>
    internal const int SegmentGroups = ActivationSegment.Inputs / GroupInputs;

    /// <summary>The name in reports and options.</summary>
    public abstract string Name { get; }

    internal abstract bool Supported { get; }

    /// <summary>True: weights are stored as w + 128, for instructions that want one factor without sign.</summary>
    internal virtual bool OffsetWeights => false;

    /// <summary>
    /// For every token t and every row r of one block:
    /// <c>output[t * outputStride + r] = scales[r] * sum over segments s of float(sum of weight * activation in s) * scale[t, s]</c>,
    /// where the sum over segments starts at 0 and takes them in order, by fused multiply-adds.
    /// </summary>
    /// <param name="weights">The block.</param>
    /// <param name="groups">Groups in the block; a multiple of 4.</param>
    /// <param name="inputs">The activations.</param>
    /// <param name="first">The first token's row of <paramref name="inputs"/>.</param>
    /// <param name="tokens">The number of tokens.</param>
    /// <param name="scales">32 scales of output rows.</param>
    /// <param name="output">The first token's output.</param>
    /// <param name="outputStride">Floats from one token's output to the next.</param>
    internal abstract void MultiplyBlock(
        byte* weights,
        int groups,
        in ActivationRows inputs,
        int first,
        int tokens,
        float* scales,
        float* output,
        long outputStride
    );
}

/// <summary>The reference that every other set is tested against; also runs where no vector set does.</summary>
internal sealed unsafe class ScalarKernels : KernelSet
{
    public override string Name => "scalar";
    internal override bool Supported => true;

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
        for (int t = 0; t < tokens; t++)
        for (int r = 0; r < BlockRows; r++)
        {
            float total = 0;
            for (int begin = 0; begin < groups; begin += SegmentGroups)
            {
                ActivationSegment* segment = inputs.Row(first + t) + begin / SegmentGroups;
                int sum = 0,
                    end = Math.Min(groups, begin + SegmentGroups);
                for (int g = begin; g < end; g++)
                for (int i = 0; i < GroupInputs; i++)
                    sum += (sbyte)weights[g * GroupBytes + r * GroupInputs + i] * segment->Values[(g - begin) * GroupInputs + i];
                total = MathF.FusedMultiplyAdd(sum, segment->Scale, total);
            }
            output[t * outputStride + r] = total * scales[r];
        }
    }
}
