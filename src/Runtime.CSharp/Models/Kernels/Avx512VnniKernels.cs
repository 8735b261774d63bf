using System.Runtime.Intrinsics.X86;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// 512-bit products in 8 bits with one instruction (AVX512-VNNI, <c>vpdpbusd</c>), which .NET 10 does not expose: the
/// routines are machine code written at start by <see cref="DotProductRoutine"/>, one per count of tokens.
/// </summary>
internal sealed unsafe class Avx512VnniKernels : KernelSet
{
    private readonly nint[] _routines = [];

    public Avx512VnniKernels()
        : this(OperatingSystem.IsWindows()) { }

    /// <param name="saveVectors">Keep xmm6 to xmm15 for the caller, as Windows wants it.</param>
    internal Avx512VnniKernels(bool saveVectors)
    {
        if (!ProcessorHasIt())
            return;
        var code = new Assembler();
        var starts = new int[DotProductRoutine.MostTokens];
        for (int t = 0; t < starts.Length; t++)
        {
            starts[t] = code.Position;
            DotProductRoutine.Emit(code, t + 1, !OperatingSystem.IsWindows(), saveVectors);
        }
        byte* place = ExecutableMemory.TryPlace(code.ToArray());
        if (place is null)
            return;
        _routines = [.. starts.Select(start => (nint)(place + start))];
    }

    public override string Name => "avx512vnni";
    internal override bool OffsetWeights => true;
    internal override bool Supported => _routines.Length > 0;

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
        DotProductArguments arguments;
        arguments.Weights = weights;
        arguments.InputStride = (nint)inputs.Stride * ActivationSegment.Bytes;
        arguments.Segments = groups / SegmentGroups;
        arguments.Quarters = groups % SegmentGroups / 4;
        arguments.Scales = scales;
        arguments.OutputStride = (nint)outputStride * sizeof(float);
        // Even shares: 8 tokens go as 4 and 4, because 6 and 2 would read the weights for a tile of 2.
        int tiles = (tokens + DotProductRoutine.MostTokens - 1) / DotProductRoutine.MostTokens;
        for (int tile = 0, done = 0; tile < tiles; tile++)
        {
            int count = (tokens - done + tiles - tile - 1) / (tiles - tile);
            arguments.Inputs = inputs.Row(first + done);
            arguments.Output = output + done * outputStride;
            // A call takes microseconds, so the collector need not be told that this thread left managed code.
            ((delegate* unmanaged[SuppressGCTransition]<DotProductArguments*, void>)_routines[count - 1])(&arguments);
            done += count;
        }
    }

    /// <summary>AVX512-VNNI is bit 11 of ECX in CPUID leaf 7; .NET's own check covers the system's support for 512 bits.</summary>
    private static bool ProcessorHasIt() =>
        Avx512BW.IsSupported && X86Base.X64.IsSupported && X86Base.CpuId(0, 0).Eax >= 7 && (X86Base.CpuId(7, 0).Ecx & 1 << 11) != 0;
}
