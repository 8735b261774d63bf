namespace OptimalStopping.Theory

open System
open MathNet.Numerics.Distributions

/// What a test found: its statistic, the two-sided p-value in [0,1], and whether that p-value is exact
/// (an enumeration or an exact distribution) rather than simulated or asymptotic.
[<Struct>]
type TestResult = { Statistic: float; PValue: float; Exact: bool }

/// Two-sided tests of paired differences d_i = a_i - b_i. Zeros are legitimate data (both methods stopped at the same
/// stage) and every test says what it does with them. NaN and infinities are refused.
[<RequireQualifiedAccess>]
module PairedTests =

    let private check (least: int) (differences: float[]) =
        Samples.requireFinite "differences" differences
        Samples.requireCount "differences" least differences

    /// Paired (one-sample) t-test of mean difference 0: t = mean / (s / sqrt M) on M - 1 degrees of freedom, M >= 2.
    /// All differences zero: t = 0, p = 1. Constant and not zero: t is infinite, p = 0.
    /// Exact under normality only; at large M the central limit theorem carries it (theory section 6: the agreeing
    /// check).
    [<CompiledName "PairedT">]
    let pairedT (differences: float[]) : TestResult =
        check 2 differences
        let m = Samples.mean differences
        let s = Samples.standardDeviation differences
        if s = 0.0 then
            if differences[0] = 0.0 then
                { Statistic = 0.0; PValue = 1.0; Exact = false }
            else
                { Statistic = (if m > 0.0 then infinity else -infinity); PValue = 0.0; Exact = false }
        else
            let t = m / (s / sqrt (float differences.Length))
            let p = 2.0 * StudentT.CDF(0.0, 1.0, float (differences.Length - 1), -(abs t))
            { Statistic = t; PValue = min 1.0 p; Exact = false }

    /// Sums of every subset of up to 8 magnitudes: entry b adds the magnitudes whose bit is set in b.
    let private subsetSums (magnitudes: float[]) =
        let sums = Array.zeroCreate (1 <<< magnitudes.Length)
        for b in 1 .. sums.Length - 1 do
            let lowest = Numerics.BitOperations.TrailingZeroCount b
            sums[b] <- sums[b &&& (b - 1)] + magnitudes[lowest]
        sums

    /// Hoeffding's bound (1963) on the exact two-sided p-value of the sign-flip test: 2 exp(-S^2 / (2 Q)) with the sum S of the
    /// differences and the sum Q of their squares, at most 1. It needs no resamples and falls below any floor of theirs.
    [<CompiledName "FlipTail">]
    let flipTail (differences: float[]) : float =
        let sum = Array.sum differences
        let squares = differences |> Array.sumBy (fun d -> d * d)
        if squares = 0.0 then 1.0 else min 1.0 (2.0 * exp (-sum * sum / (2.0 * squares)))

    /// Studentised sign-flip permutation test of a zero mean difference; statistic: the t of `pairedT`.
    /// Exact enumeration of all 2^M flips while the non-zero pairs number at most 16; otherwise `resamples` random
    /// flips from `seed`, with p = (1 + hits) / (1 + resamples), itself a valid p-value (Phipson and Smyth 2010). Where no flip
    /// was as extreme as the data that is only as small as the number of flips allows; `flipTail` bounds the exact p-value then.
    /// Exact under symmetry about 0, asymptotically valid for the mean without it (Janssen 1999; Romano 1990).
    /// Invariant to the order of the pairs. Requires M >= 2 and resamples >= 1.
    [<CompiledName "SignFlip">]
    let signFlip (differences: float[], resamples: int, seed: uint64) : TestResult =
        let statistic = (pairedT differences).Statistic
        if resamples < 1 then raise (ArgumentOutOfRangeException(nameof resamples, resamples, "expected at least 1"))
        // Flips leave the sum of squares alone, so |t| is an increasing function of |sum|: comparing sums is enough.
        // Zeros contribute nothing, and sorting makes the answer independent of the order of the pairs.
        let nonzero = Samples.withoutRounding differences |> Array.filter (fun d -> d <> 0.0) |> Array.sortBy (fun d -> struct (abs d, d))
        let magnitudes = Array.map abs nonzero
        let total, observed = Array.sum magnitudes, abs (Array.sum nonzero)
        // Flips that tie with the observed sum must count as ties in spite of rounding.
        let bar = observed - 1e-12 * total
        let tables = magnitudes |> Array.chunkBySize 8 |> Array.map subsetSums
        if magnitudes.Length = 0 then
            { Statistic = statistic; PValue = 1.0; Exact = true }
        elif magnitudes.Length <= 16 then
            let high = if tables.Length = 2 then tables[1] else [| 0.0 |]
            let mutable hits = 0
            for h in high do
                for l in tables[0] do
                    if abs (2.0 * (h + l) - total) >= bar then hits <- hits + 1
            let flips = tables[0].Length * high.Length
            { Statistic = statistic; PValue = float hits / float flips; Exact = true }
        else
            let random = SplitMix64 seed
            let mutable hits = 0
            for _ in 1..resamples do
                let mutable positive = 0.0
                let mutable bits = 0UL
                for g in 0 .. tables.Length - 1 do
                    if g &&& 7 = 0 then bits <- random.NextUInt64()
                    let table = tables[g]
                    positive <- positive + table[int bits &&& (table.Length - 1)]
                    bits <- bits >>> 8
                if abs (2.0 * positive - total) >= bar then hits <- hits + 1
            let sampled = float (1 + hits) / float (1 + resamples)
            let p = if hits = 0 then min sampled (flipTail nonzero) else sampled
            { Statistic = statistic; PValue = p; Exact = false }

    /// Pratt's ranks: zeros take part in the ranking of |d| and are dropped afterwards. Differences within rounding of each other
    /// (1e-12 of the largest) tie, and those within rounding of 0 are zeros.
    let private prattRanks (differences: float[]) =
        let differences = Samples.withoutRounding differences
        let ranks = Samples.midRanks (Array.map abs differences)
        Array.zip differences ranks |> Array.filter (fun (d, _) -> d <> 0.0)

    /// Sum of the ranks of the positive differences, W+.
    let private positiveRankSum (ranked: (float * float)[]) = ranked |> Array.sumBy (fun (d, r) -> if d > 0.0 then r else 0.0)

    /// Wilcoxon signed-rank test with Pratt's zeros, from the exact distribution of W+ given the (tied) ranks:
    /// p = min(1, 2 min(P(W+ <= w), P(W+ >= w))). O(M^3) time; meant for M up to a hundred or so.
    [<CompiledName "WilcoxonExact">]
    let wilcoxonExact (differences: float[]) : TestResult =
        check 1 differences
        let ranked = prattRanks differences
        let w = positiveRankSum ranked
        // Mid-ranks are multiples of one half: doubled, they index an array of probabilities.
        let doubled = ranked |> Array.map (fun (_, r) -> int (round (2.0 * r)))
        let distribution = Array.zeroCreate (Array.sum doubled + 1)
        distribution[0] <- 1.0
        let mutable top = 0
        for r in doubled do
            top <- top + r
            for v in top .. -1 .. 0 do
                distribution[v] <- 0.5 * distribution[v] + (if v >= r then 0.5 * distribution[v - r] else 0.0)
        let observed = int (round (2.0 * w))
        let below = Array.sum distribution[..observed]
        let above = Array.sum distribution[observed..]
        { Statistic = w; PValue = min 1.0 (2.0 * min below above); Exact = true }

    /// Wilcoxon signed-rank test with Pratt's zeros by the normal approximation with tie correction, no continuity
    /// correction (Pratt 1959; Conover 1973). All differences zero: p = 1.
    [<CompiledName "WilcoxonNormal">]
    let wilcoxonNormal (differences: float[]) : TestResult =
        check 1 differences
        let ranked = prattRanks differences
        let w = positiveRankSum ranked
        let count, zeros = float differences.Length, float (differences.Length - ranked.Length)
        let ties = ranked |> Array.countBy snd |> Array.sumBy (fun (_, t) -> let t = float t in t * (t * t - 1.0))
        let centre = (count * (count + 1.0) - zeros * (zeros + 1.0)) / 4.0
        let squares n = n * (n + 1.0) * (2.0 * n + 1.0)
        let variance = (squares count - squares zeros - ties / 2.0) / 24.0
        let p = if variance <= 0.0 then 1.0 else 2.0 * Normal.CDF(0.0, 1.0, -(abs (w - centre)) / sqrt variance)
        { Statistic = w; PValue = min 1.0 p; Exact = false }

    /// Wilcoxon signed-rank test with Pratt's zeros; statistic W+. Exact up to 50 pairs, normal beyond.
    /// It tests symmetry about 0, not the mean, and may contradict it under skew and ties: never the headline.
    [<CompiledName "Wilcoxon">]
    let wilcoxon (differences: float[]) : TestResult =
        if differences.Length <= 50 then wilcoxonExact differences else wilcoxonNormal differences

    /// The discordant counts that McNemar's tests take, from two arrays of right (true) and wrong answers to the same
    /// queries: how many only the first, and how many only the second, got right.
    [<CompiledName "Discordant">]
    let discordant (first: bool[], second: bool[]) : struct (int * int) =
        if first.Length <> second.Length then
            raise (ArgumentException($"{first.Length} answers against {second.Length}; expected as many"))
        let count pick = Array.fold2 (fun n a b -> if pick a b then n + 1 else n) 0 first second
        struct (count (fun a b -> a && not b), count (fun a b -> b && not a))

    let private discordance (onlyFirst: int) (onlySecond: int) =
        if onlyFirst < 0 then raise (ArgumentOutOfRangeException(nameof onlyFirst, onlyFirst, "expected a count"))
        if onlySecond < 0 then raise (ArgumentOutOfRangeException(nameof onlySecond, onlySecond, "expected a count"))
        let n = onlyFirst + onlySecond
        let fewer = min onlyFirst onlySecond
        if n = 0 then struct (1.0, 0.0) else struct (2.0 * Binomial.CDF(0.5, n, float fewer), Binomial.PMF(0.5, n, fewer))

    /// McNemar's exact test from the two discordant counts: those that only the first, and only the second, got right.
    /// Statistic: their difference. No discordant pair: p = 1.
    [<CompiledName "McNemarExact">]
    let mcNemarExact (onlyFirst: int, onlySecond: int) : TestResult =
        let struct (twoSided, _) = discordance onlyFirst onlySecond
        { Statistic = float (onlyFirst - onlySecond); PValue = min 1.0 twoSided; Exact = true }

    /// McNemar's mid-p test (Fagerland, Lydersen and Laake 2013): the exact p-value less the mass of the observed
    /// table. Less conservative than the exact test; its level is not guaranteed, though rarely exceeded.
    [<CompiledName "McNemarMidP">]
    let mcNemarMidP (onlyFirst: int, onlySecond: int) : TestResult =
        let struct (twoSided, mass) = discordance onlyFirst onlySecond
        { Statistic = float (onlyFirst - onlySecond); PValue = min 1.0 (twoSided - mass); Exact = false }

/// "No worse than the baseline by more than a margin": what has to hold beside a lower cost.
[<RequireQualifiedAccess>]
module NonInferiority =

    /// One-sided paired t-test of "mean difference <= -margin" against "> -margin", for M >= 2 differences (method minus
    /// baseline) and a margin >= 0: a small p-value says that the method loses less than the margin. Constant differences give
    /// 0 or 1 (1/2 at the margin itself).
    [<CompiledName "PairedT">]
    let pairedT (differences: float[], margin: float) : TestResult =
        Samples.requireFinite (nameof differences) differences
        Samples.requireCount (nameof differences) 2 differences
        if not (margin >= 0.0 && Double.IsFinite margin) then
            raise (ArgumentOutOfRangeException(nameof margin, margin, "expected a finite number of at least 0"))
        let above = Samples.mean differences + margin
        let error = Samples.standardDeviation differences / sqrt (float differences.Length)
        let t =
            if error > 0.0 then above / error
            elif above = 0.0 then 0.0
            else infinity * float (sign above)
        let p =
            if Double.IsInfinity t then
                (if t > 0.0 then 0.0 else 1.0)
            else
                StudentT.CDF(0.0, 1.0, float (differences.Length - 1), -t)
        { Statistic = t; PValue = p; Exact = false }

    /// The lower end of the one-sided confidence interval for the mean difference at level 1 - alpha: the method is non-inferior
    /// at level alpha iff it exceeds -margin.
    [<CompiledName "LowerLimit">]
    let lowerLimit (differences: float[], alpha: float) : float =
        Samples.requireFinite (nameof differences) differences
        Samples.requireCount (nameof differences) 2 differences
        Samples.requireProbability (nameof alpha) alpha
        let error = Samples.standardDeviation differences / sqrt (float differences.Length)
        Samples.mean differences - StudentT.InvCDF(0.0, 1.0, float (differences.Length - 1), 1.0 - alpha) * error
