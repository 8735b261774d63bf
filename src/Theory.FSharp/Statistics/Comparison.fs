namespace OptimalStopping.Theory

open System

/// Adjusted p-values of a family of tests: reject hypothesis i at level alpha iff its adjusted p-value is <= alpha.
/// The order of the input is kept; an empty family gives an empty array; each p-value must lie in [0,1].
[<RequireQualifiedAccess>]
module MultipleTesting =

    let private check (pValues: float[]) =
        if isNull (box pValues) then nullArg (nameof pValues)
        pValues
        |> Array.iteri (fun i p ->
            if not (p >= 0.0 && p <= 1.0) then
                raise (ArgumentException($"pValues[{i}] is {p}; expected a number in [0,1]", nameof pValues)))

    /// Bonferroni: min(1, family size times p). Controls the family-wise error under any dependence.
    [<CompiledName "Bonferroni">]
    let bonferroni (pValues: float[]) : float[] =
        check pValues
        pValues |> Array.map (fun p -> min 1.0 (p * float pValues.Length))

    /// Holm's step-down method (1979): the family-wise error under any dependence, never less powerful than Bonferroni.
    [<CompiledName "Holm">]
    let holm (pValues: float[]) : float[] =
        check pValues
        let adjusted = Array.zeroCreate pValues.Length
        let mutable highest = 0.0
        Array.init pValues.Length id
        |> Array.sortBy (fun i -> pValues[i])
        |> Array.iteri (fun rank i ->
            highest <- max highest (min 1.0 (float (pValues.Length - rank) * pValues[i]))
            adjusted[i] <- highest)
        adjusted

    /// Benjamini and Hochberg's step-up method (1995): the false discovery rate, under independence or positive
    /// regression dependence.
    [<CompiledName "BenjaminiHochberg">]
    let benjaminiHochberg (pValues: float[]) : float[] =
        check pValues
        let count = float pValues.Length
        let adjusted = Array.zeroCreate pValues.Length
        let mutable lowest = 1.0
        Array.init pValues.Length id
        |> Array.sortByDescending (fun i -> pValues[i])
        |> Array.iteri (fun fromTop i ->
            lowest <- min lowest (count / float (pValues.Length - fromTop) * pValues[i])
            adjusted[i] <- lowest)
        adjusted

/// Everything that one row of the results table says of a method against one baseline on the same queries.
type Comparison =
    {
        Pairs: int
        MeanMethod: float
        MeanBaseline: float
        Effect: EffectSize
        /// BCa interval of the mean difference.
        Interval: Interval
        /// Studentised sign-flip permutation test: the primary p-value.
        Permutation: TestResult
        /// Paired t: the agreeing large-sample check.
        PairedT: TestResult
        /// Wilcoxon signed-rank (Pratt): secondary, tests symmetry.
        Wilcoxon: TestResult
        /// Smallest mean difference detectable at level 1 - Interval.Level with power 0.8.
        MinimalDetectableEffect: float
    }

/// A comparison with its permutation p-value adjusted for the family that it belongs to.
type FamilyMember = { Comparison: Comparison; Holm: float; Bonferroni: float; BenjaminiHochberg: float }

type Comparison with

    /// Compares per-query utilities of a method and a baseline (same queries in the same order, at least 2, finite),
    /// with `resamples` bootstrap draws and sign flips. Same seed, same result. About 0.3 s for 4,000 pairs x 10,000.
    static member Compute(method: float[], baseline: float[], resamples: int, level: float, seed: uint64) : Comparison =
        Samples.requireFinite (nameof method) method
        Samples.requireFinite (nameof baseline) baseline
        if method.Length <> baseline.Length then
            raise (ArgumentException($"{method.Length} utilities against {baseline.Length}; expected as many"))
        let differences = Array.map2 (-) method baseline
        let effect = EffectSizes.paired differences
        { Pairs = differences.Length
          MeanMethod = Samples.mean method
          MeanBaseline = Samples.mean baseline
          Effect = effect
          Interval = Bootstrap.bcaMean (differences, resamples, level, seed)
          Permutation = PairedTests.signFlip (differences, resamples, seed ^^^ 0x5349474E464C4950UL)
          PairedT = PairedTests.pairedT differences
          Wilcoxon = PairedTests.wilcoxon differences
          MinimalDetectableEffect = Power.minimalDetectableEffect (effect.StandardDeviation, differences.Length, 1.0 - level, 0.8) }

    /// Adjusts the permutation p-values of a family of comparisons; the order is kept.
    static member Family(comparisons: Comparison[]) : FamilyMember[] =
        let p = comparisons |> Array.map (fun c -> c.Permutation.PValue)
        let holm, bonferroni, discovery = MultipleTesting.holm p, MultipleTesting.bonferroni p, MultipleTesting.benjaminiHochberg p
        comparisons
        |> Array.mapi (fun i c -> { Comparison = c; Holm = holm[i]; Bonferroni = bonferroni[i]; BenjaminiHochberg = discovery[i] })
