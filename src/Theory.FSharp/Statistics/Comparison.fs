namespace OptimalStopping.Theory

open System

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

[<RequireQualifiedAccess>]
module Comparison =

    /// Compares per-query utilities of a method and a baseline (same queries in the same order, at least 2, finite),
    /// with `resamples` bootstrap draws and sign flips. Same seed, same result. About 0.3 s for 4,000 pairs x 10,000.
    let compute (method: float[], baseline: float[], resamples: int, level: float, seed: uint64) : Comparison =
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
    let family (comparisons: Comparison[]) : FamilyMember[] =
        let p = comparisons |> Array.map (fun c -> c.Permutation.PValue)
        let holm, bonferroni, discovery = MultipleTesting.holm p, MultipleTesting.bonferroni p, MultipleTesting.benjaminiHochberg p
        comparisons
        |> Array.mapi (fun i c -> { Comparison = c; Holm = holm[i]; Bonferroni = bonferroni[i]; BenjaminiHochberg = discovery[i] })
