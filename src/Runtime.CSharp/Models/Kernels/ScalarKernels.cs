namespace OptimalStopping.Runtime.Models;

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
