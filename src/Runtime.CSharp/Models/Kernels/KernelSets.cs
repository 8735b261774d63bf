namespace OptimalStopping.Runtime.Models;

/// <summary>The instruction sets that the engine is written for, and the choice of one for this processor.</summary>
public static class KernelSets
{
    /// <summary>The environment variable that forces a set by its name.</summary>
    public const string Variable = "TOOLKIT_KERNELS";

    /// <summary>The sets that this processor runs, fastest first; the scalar one is always the last.</summary>
    public static IReadOnlyList<KernelSet> Available { get; } =
    [
        .. new KernelSet[]
        {
            new Avx512VnniKernels(),
            new AvxVnniKernels(),
            new Avx512Kernels(),
            new Avx2Kernels(),
            new ArmDotKernels(),
            new ArmKernels(),
            new ScalarKernels(),
        }.Where(set => set.Supported),
    ];

    /// <summary>The fastest set of this processor, or the one that the environment variable <see cref="Variable"/> names.</summary>
    /// <exception cref="ToolkitException">The variable names no set of this processor.</exception>
    public static KernelSet Best => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } name ? Named(name) : Available[0];

    /// <summary>
    /// The set of this name: <c>avx512vnni</c>, <c>avxvnni</c>, <c>avx512</c>, <c>avx2</c>, <c>dp</c>, <c>advsimd</c> or
    /// <c>scalar</c>.
    /// </summary>
    /// <exception cref="ToolkitException">There is no such set, or this processor does not run it.</exception>
    public static KernelSet Named(string name) =>
        Available.FirstOrDefault(set => set.Name == name)
        ?? throw new ToolkitException($"kernels: expected one of {string.Join(", ", Available.Select(set => set.Name))}, got {name}");
}
