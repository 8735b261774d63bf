namespace OptimalStopping.Runtime.Models;

/// <summary>
/// The integer products that nearly all time goes into, for one instruction set. Integer sums are exact, so every set
/// gives the same bits; the choice is one of speed alone.
/// </summary>
/// <remarks>
/// Weights come in blocks of 16 output rows. A block is a run of groups of 64 bytes; group g holds the inputs 4g to 4g+3
/// of row 0, then of row 1, and so on. One vector register then holds the same inputs of several rows, and a sum never
/// has to be taken across a register.
/// </remarks>
public abstract unsafe class KernelSet
{
    /// <summary>Output rows in a block.</summary>
    internal const int BlockRows = 16;

    /// <summary>Inputs in a group.</summary>
    internal const int GroupInputs = 4;

    /// <summary>Bytes of one group: <see cref="BlockRows"/> times <see cref="GroupInputs"/>.</summary>
    internal const int GroupBytes = BlockRows * GroupInputs;

    /// <summary>The most inputs whose sum of products (128 * 127 at most) surely fits 32 bits.</summary>
    internal const int MaxInputs = int.MaxValue / (128 * 127);

    /// <summary>The sets that this processor runs, fastest first; the scalar one is always the last.</summary>
    public static IReadOnlyList<KernelSet> Available { get; } =
        [.. new KernelSet[] { new Avx512Kernels(), new AvxVnniKernels(), new Avx2Kernels(), new ArmDotKernels(), new ArmKernels(), new ScalarKernels() }
            .Where(set => set.Supported)];

    /// <summary>The fastest set of this processor.</summary>
    public static KernelSet Best => Available[0];

    /// <summary>The set of this name: <c>avx512</c>, <c>avxvnni</c>, <c>avx2</c>, <c>dp</c>, <c>advsimd</c> or <c>scalar</c>.</summary>
    /// <exception cref="ToolkitException">There is no such set, or this processor does not run it.</exception>
    public static KernelSet Named(string name) =>
        Available.FirstOrDefault(set => set.Name == name)
        ?? throw new ToolkitException($"kernels: expected one of {string.Join(", ", Available.Select(set => set.Name))}, got {name}");

    /// <summary>The name in reports and options.</summary>
    public abstract string Name { get; }

    internal abstract bool Supported { get; }

    /// <summary>
    /// For every token t and every row r of one block: <c>sums[16 t + r]</c> = sum over the inputs of weight times
    /// activation. Activations lie within -127..127, weights within -128..127.
    /// </summary>
    internal abstract void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums);
}

/// <summary>
/// Activations of several tokens in 8 bits, one scale per token: the value is <c>Bytes[t * Stride + i] * Scales[t]</c>.
/// The same numbers lie in <see cref="Words"/> as 16 bits for the kernels that multiply in 16 bits.
/// </summary>
internal unsafe readonly struct QuantisedRows(sbyte* bytes, short* words, float* scales, int stride)
{
    public readonly sbyte* Bytes = bytes;
    public readonly short* Words = words;
    public readonly float* Scales = scales;
    public readonly int Stride = stride;
}

/// <summary>The reference that every other set is tested against; also runs where no vector set does.</summary>
internal sealed unsafe class ScalarKernels : KernelSet
{
    public override string Name => "scalar";
    internal override bool Supported => true;

    internal override void MultiplyBlock(sbyte* weights, int groups, in QuantisedRows rows, int tokens, int* sums)
    {
        for (int t = 0; t < tokens; t++)
            for (int r = 0; r < BlockRows; r++)
            {
                int sum = 0;
                for (int g = 0; g < groups; g++)
                    for (int i = 0; i < GroupInputs; i++)
                        sum += weights[g * GroupBytes + r * GroupInputs + i] * rows.Bytes[t * rows.Stride + g * GroupInputs + i];
                sums[t * BlockRows + r] = sum;
            }
    }
}
