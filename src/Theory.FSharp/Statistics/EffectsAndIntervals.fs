namespace OptimalStopping.Theory

open System
open MathNet.Numerics.Distributions

/// How large a paired difference is, next to how certain.
type EffectSize =
    {
        /// Mean of d_i, in the units of utility.
        MeanDifference: float
        /// Standard deviation of d_i, divisor M - 1.
        StandardDeviation: float
        /// Cohen's d_z = mean / standard deviation; 0 when all d are 0, infinite when they are equal and not 0.
        Dz: float
        /// Hedges' g_z = J d_z, J = 1 - 3 / (4 nu - 1), nu = M - 1: d_z less its small-sample bias. Infinite where d_z is.
        HedgesGz: float
        /// P(d > 0) - P(d < 0), zeros kept in the denominator. Paired: it is not the unpaired `EffectSizes.cliffDelta`.
        PairedDelta: float
        /// Pairs with d > 0, d < 0 and d = 0; a difference below 1e-12 of the largest is rounding, and counts as 0.
        Wins: int
        Losses: int
        Ties: int
    }

[<RequireQualifiedAccess>]
module EffectSizes =

    /// Hedges' small-sample factor J = 1 - 3 / (4 nu - 1) for nu >= 1 degrees of freedom (Hedges 1981).
    [<CompiledName "HedgesCorrection">]
    let hedgesCorrection (degreesOfFreedom: int) : float =
        if degreesOfFreedom < 1 then
            raise (System.ArgumentOutOfRangeException(nameof degreesOfFreedom, degreesOfFreedom, "expected at least 1"))
        1.0 - 3.0 / (4.0 * float degreesOfFreedom - 1.0)

    /// Effect sizes of paired differences d_i = a_i - b_i, M >= 2, all finite.
    [<CompiledName "Paired">]
    let paired (differences: float[]) : EffectSize =
        Samples.requireFinite (nameof differences) differences
        Samples.requireCount (nameof differences) 2 differences
        let count = differences.Length
        let mean = Samples.mean differences
        let deviation = Samples.standardDeviation differences
        let dz =
            if deviation > 0.0 then mean / deviation
            elif differences[0] = 0.0 then 0.0
            else infinity * float (sign differences[0])
        let exact = Samples.withoutRounding differences
        let wins = exact |> Array.sumBy (fun d -> if d > 0.0 then 1 else 0)
        let losses = exact |> Array.sumBy (fun d -> if d < 0.0 then 1 else 0)
        { MeanDifference = mean
          StandardDeviation = deviation
          Dz = dz
          // At M = 2 the factor is 0, and 0 times infinity is no number.
          HedgesGz = if Double.IsInfinity dz then dz else hedgesCorrection (count - 1) * dz
          PairedDelta = float (wins - losses) / float count
          Wins = wins
          Losses = losses
          Ties = count - wins - losses }

/// An estimate with its confidence interval at the given level (0.95, say).
[<Struct>]
type Interval = { Estimate: float; Low: float; High: float; Level: float }

/// How often one method's value exceeds another's, in [-1,1], with confidence intervals: 1 always, 0 as often as not, -1 never.
[<RequireQualifiedAccess>]
module Dominance =

    // Cliff's (1996) interval by Feng and Cliff (2004): asymmetric, inside [-1,1], from the standard error. Without spread at an
    // end, where no standard error is known, the end of an exact interval of M wins in M trials.
    let private interval (delta: float) (error: float) (count: int) (level: float) : Interval =
        let z = Normal.InvCDF(0.0, 1.0, (1.0 + level) / 2.0)
        if abs delta = 1.0 then
            let other = 2.0 * ((1.0 - level) / 2.0) ** (1.0 / float count) - 1.0
            { Estimate = delta; Low = min delta (delta * other); High = max delta (delta * other); Level = level }
        else
            let bound side =
                let root = sqrt ((1.0 - delta * delta) ** 2.0 + z * z * error * error)
                let top = delta - delta * delta * delta + side * z * error * root
                Math.Clamp(top / (1.0 - delta * delta + z * z * error * error), -1.0, 1.0)
            { Estimate = delta; Low = bound -1.0; High = bound 1.0; Level = level }

    let private check (a: float[]) (b: float[]) (level: float) =
        Samples.requireFinite "a" a
        Samples.requireFinite "b" b
        Samples.requireCount "a" 2 a
        if a.Length <> b.Length then raise (ArgumentException($"{a.Length} values against {b.Length}; expected as many"))
        Samples.requireProbability "level" level

    let private standardError (values: float[]) = Samples.standardDeviation values / sqrt (float values.Length)

    /// P(a_i > b_i) - P(a_i < b_i) on the same query: `EffectSize.PairedDelta` with its interval. M >= 2 pairs of finite numbers.
    [<CompiledName "Paired">]
    let paired (a: float[], b: float[], level: float) : Interval =
        check a b level
        let signs = Samples.withoutRounding (Array.map2 (-) a b) |> Array.map (fun d -> float (sign d))
        interval (Samples.mean signs) (standardError signs) a.Length level

    /// Cliff's delta, P(a_i > b_j) - P(a_i < b_j) over all pairs of queries i and j, with an interval that allows for a_i and b_i
    /// being of the same query: the standard error is that of a U-statistic's projection. Values that differ by less than
    /// 1e-12 of the largest are equal. O(M log M).
    [<CompiledName "Cliff">]
    let cliff (a: float[], b: float[], level: float) : Interval =
        check a b level
        let tolerance = 1e-12 * Array.fold (fun most x -> max most (abs x)) 0.0 (Array.append a b)
        // How many of the sorted values lie below x.
        let below (sorted: float[]) x =
            let mutable low, high = 0, sorted.Length
            while low < high do
                let middle = (low + high) / 2
                if sorted[middle] < x then low <- middle + 1 else high <- middle
            low
        let against (others: float[]) =
            let sorted = Array.sort others
            fun x -> float (below sorted (x - tolerance) - (sorted.Length - below sorted (Math.BitIncrement(x + tolerance))))
        let count = float a.Length
        let overB, overA = against b, against a
        // What query i says, as a value of a and as one of b; either part has mean delta.
        let said = Array.map2 (fun x y -> (overB x - overA y) / count) a b
        let delta = (Array.sumBy overB a) / (count * count)
        interval delta (standardError said) a.Length level

/// Bootstrap confidence intervals of a statistic of M independent observations (for pairs: of their differences, or of
/// the pairs themselves through an index statistic). Deterministic in the seed; a statistic must return a finite
/// number. They cover less than their level on small samples, BCa's too: see `SmallSample`.
[<RequireQualifiedAccess>]
module Bootstrap =

    /// Resamples that the reports use.
    [<Literal>]
    let DefaultResamples = 10000

    /// Below so many observations a 95 % BCa interval of a mean covers it markedly less often than it says: .90 of 4,000 samples at
    /// M = 10 and .93 at 20 for normal data, .88 and .92 for exponential data, less for heavier tails. Reports say so beside
    /// such intervals.
    [<Literal>]
    let SmallSample = 50

    let private check (sample: float[]) (resamples: int) (level: float) =
        Samples.requireFinite "sample" sample
        Samples.requireCount "sample" 2 sample
        Samples.requireProbability "level" level
        if resamples < 100 then raise (ArgumentOutOfRangeException("resamples", resamples, "expected at least 100"))

    /// Linear interpolation between order statistics (Hyndman and Fan's type 7).
    let private quantile (sorted: float[]) (p: float) =
        let position = p * float (sorted.Length - 1)
        let below = min (sorted.Length - 2) (int position)
        sorted[below] + (position - float below) * (sorted[below + 1] - sorted[below])

    /// Means of the resamples: the hot loop, apart so that it allocates and calls nothing.
    let private resampledMeans (sample: float[]) (resamples: int) (seed: uint64) =
        let random = SplitMix64 seed
        Array.init resamples (fun _ ->
            let mutable sum = 0.0
            for _ in 1 .. sample.Length do
                sum <- sum + sample[random.NextIndex sample.Length]
            sum / float sample.Length)

    let private resampled (sample: float[]) (statistic: Func<float[], float>) (resamples: int) (seed: uint64) =
        let random = SplitMix64 seed
        let draw = Array.zeroCreate sample.Length
        Array.init resamples (fun _ ->
            for i in 0 .. draw.Length - 1 do
                draw[i] <- sample[random.NextIndex sample.Length]
            statistic.Invoke draw)

    let private jackknifed (sample: float[]) (statistic: Func<float[], float>) =
        let rest = Array.sub sample 1 (sample.Length - 1)
        Array.init sample.Length (fun i ->
            // `rest` holds every value but the i-th: moving on puts the previous one back.
            if i > 0 then rest[i - 1] <- sample[i - 1]
            statistic.Invoke rest)

    /// Skewness of the jackknife values over 6 (Efron 1987, eq. 6.6); 0 when they are all equal.
    let private acceleration (jackknife: float[]) =
        let centre = Samples.mean jackknife
        let square = jackknife |> Array.sumBy (fun v -> (centre - v) ** 2.0)
        let cube = jackknife |> Array.sumBy (fun v -> (centre - v) ** 3.0)
        if square <= 0.0 then 0.0 else cube / (6.0 * square ** 1.5)

    let private corrected (estimate: float) (replicates: float[]) (jackknife: float[]) (level: float) =
        Array.sortInPlace replicates
        if replicates[0] = replicates[replicates.Length - 1] then
            { Estimate = estimate; Low = replicates[0]; High = replicates[0]; Level = level }
        else
            let share r =
                if r < estimate then 1.0
                elif r = estimate then 0.5
                else 0.0
            let below = replicates |> Array.sumBy share
            // An estimate outside all replicates would give an infinite correction; half a replicate bounds it.
            let count = float replicates.Length
            let bias = Normal.InvCDF(0.0, 1.0, max 0.5 (min (count - 0.5) below) / count)
            let a = acceleration jackknife
            let bound tail =
                let z = bias + Normal.InvCDF(0.0, 1.0, tail)
                quantile replicates (Normal.CDF(0.0, 1.0, bias + z / (1.0 - a * z)))
            { Estimate = estimate; Low = bound ((1.0 - level) / 2.0); High = bound ((1.0 + level) / 2.0); Level = level }

    /// BCa interval (bias-corrected and accelerated, Efron 1987) of any statistic, which must not depend on the order
    /// of its argument nor keep or change that array (it is reused). Costs resamples + M calls. M >= 2, resamples >=
    /// 100, level in (0,1).
    [<CompiledName "Bca">]
    let bca (sample: float[], statistic: Func<float[], float>, resamples: int, level: float, seed: uint64) : Interval =
        check sample resamples level
        let estimate = statistic.Invoke(Array.copy sample)
        corrected estimate (resampled sample statistic resamples seed) (jackknifed sample statistic) level

    /// BCa interval of the mean: `bca` with the mean (same draws, same interval), in O(M) memory and without calls.
    [<CompiledName "BcaMean">]
    let bcaMean (sample: float[], resamples: int, level: float, seed: uint64) : Interval =
        check sample resamples level
        let sum, count = Array.sum sample, float sample.Length
        let jackknife = sample |> Array.map (fun x -> (sum - x) / (count - 1.0))
        corrected (sum / count) (resampledMeans sample resamples seed) jackknife level

    /// BCa interval of the mean when observations are dependent within clusters (queries of one data set or template) and
    /// independent between them: clusters are resampled whole, and left out whole in the jackknife. `clusters[i]` names
    /// the cluster of sample[i]; at least 2 clusters, and some tens of them for an interval worth its level.
    [<CompiledName "BcaClusteredMean">]
    let bcaClusteredMean (sample: float[], clusters: int[], resamples: int, level: float, seed: uint64) : Interval =
        check sample resamples level
        if clusters.Length <> sample.Length then
            raise (ArgumentException($"{sample.Length} values and {clusters.Length} cluster names; expected as many"))
        let groups = Array.zip clusters sample |> Array.groupBy fst |> Array.map (fun (_, g) -> Array.map snd g)
        Samples.requireCount "clusters" 2 groups
        let sums, sizes = groups |> Array.map Array.sum, groups |> Array.map (fun g -> float g.Length)
        let sum, size = Array.sum sums, Array.sum sizes
        let random = SplitMix64 seed
        let replicates =
            Array.init resamples (fun _ ->
                let mutable drawnSum, drawnSize = 0.0, 0.0
                for _ in 1 .. groups.Length do
                    let g = random.NextIndex groups.Length
                    drawnSum <- drawnSum + sums[g]
                    drawnSize <- drawnSize + sizes[g]
                drawnSum / drawnSize)
        let jackknife = Array.map2 (fun s n -> (sum - s) / (size - n)) sums sizes
        corrected (sum / size) replicates jackknife level

    /// Percentile interval of Cohen's d_z = mean / standard deviation of M >= 2 differences; a resample without spread counts as 0.
    [<CompiledName "StandardisedMean">]
    let standardisedMean (differences: float[], resamples: int, level: float, seed: uint64) : Interval =
        check differences resamples level
        let random, count = SplitMix64 seed, float differences.Length
        let standardised sum squares =
            let variance = (squares - sum * sum / count) / (count - 1.0)
            // Below this the difference of two near-equal numbers is rounding.
            if variance > 1e-14 * squares then sum / count / sqrt variance else 0.0
        let values =
            Array.init resamples (fun _ ->
                let mutable sum, squares = 0.0, 0.0
                for _ in 1 .. differences.Length do
                    let d = differences[random.NextIndex differences.Length]
                    sum <- sum + d
                    squares <- squares + d * d
                standardised sum squares)
            |> Array.sort
        { Estimate = standardised (Array.sum differences) (differences |> Array.sumBy (fun d -> d * d))
          Low = quantile values ((1.0 - level) / 2.0)
          High = quantile values ((1.0 + level) / 2.0)
          Level = level }

    /// Percentile interval of the mean of paired differences a_i - b_i (same length): simpler than BCa, first-order
    /// accurate only.
    [<CompiledName "PairedPercentile">]
    let pairedPercentile (a: float[], b: float[], resamples: int, level: float, seed: uint64) : Interval =
        if a.Length <> b.Length then
            raise (ArgumentException($"a has {a.Length} values and b has {b.Length}; expected as many", nameof b))
        let differences = Array.map2 (-) a b
        check differences resamples level
        let means = resampledMeans differences resamples seed |> Array.sort
        { Estimate = Samples.mean differences
          Low = quantile means ((1.0 - level) / 2.0)
          High = quantile means ((1.0 + level) / 2.0)
          Level = level }

/// Sample sizes of paired comparisons by the normal approximation, two-sided level alpha, both in (0,1).
/// A fixed-alpha t-test needs about two pairs more at small M.
[<RequireQualifiedAccess>]
module Power =

    let private z p = Normal.InvCDF(0.0, 1.0, p)

    let private quantiles (alpha: float) (power: float) =
        Samples.requireProbability "alpha" alpha
        Samples.requireProbability "power" power
        if power <= alpha / 2.0 then raise (ArgumentOutOfRangeException("power", power, "expected more than alpha / 2"))
        z (1.0 - alpha / 2.0) + z power

    /// Pairs needed to detect an effect d_z (not 0): ceil(((z_(1-alpha/2) + z_power) / d_z)^2).
    [<CompiledName "RequiredPairs">]
    let requiredPairs (dz: float, alpha: float, power: float) : int64 =
        if not (Double.IsFinite dz) || dz = 0.0 then
            raise (ArgumentOutOfRangeException(nameof dz, dz, "expected a finite effect other than 0"))
        Samples.requireCountable (nameof dz) dz (ceil ((quantiles alpha power / dz) ** 2.0))

    /// Smallest mean difference that `pairs` pairs of standard deviation s detect: (z_(1-alpha/2) + z_power) s / sqrt
    /// M.
    [<CompiledName "MinimalDetectableEffect">]
    let minimalDetectableEffect (standardDeviation: float, pairs: int, alpha: float, power: float) : float =
        if not (standardDeviation >= 0.0) then
            raise (ArgumentOutOfRangeException(nameof standardDeviation, standardDeviation, "expected at least 0"))
        if pairs < 1 then raise (ArgumentOutOfRangeException(nameof pairs, pairs, "expected at least 1"))
        quantiles alpha power * standardDeviation / sqrt (float pairs)

    /// Chance that a two-sided test at level alpha rejects, in either direction, at effect d_z with `pairs` pairs.
    [<CompiledName "Achieved">]
    let achieved (dz: float, pairs: int, alpha: float) : float =
        Samples.requireProbability (nameof alpha) alpha
        if pairs < 1 then raise (ArgumentOutOfRangeException(nameof pairs, pairs, "expected at least 1"))
        let shift, critical = dz * sqrt (float pairs), z (1.0 - alpha / 2.0)
        Normal.CDF(0.0, 1.0, shift - critical) + Normal.CDF(0.0, 1.0, -shift - critical)
