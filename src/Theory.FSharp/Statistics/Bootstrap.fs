namespace OptimalStopping.Theory

open System
open MathNet.Numerics.Distributions

/// An estimate with its confidence interval at the given level (0.95, say).
[<Struct>]
type Interval = { Estimate: float; Low: float; High: float; Level: float }

/// Bootstrap confidence intervals of a statistic of M independent observations (for pairs: of their differences, or of
/// the pairs themselves through an index statistic). Deterministic in the seed; a statistic must return a finite
/// number.
[<RequireQualifiedAccess>]
module Bootstrap =

    /// Resamples that the reports use.
    [<Literal>]
    let DefaultResamples = 10000

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
    let bca (sample: float[], statistic: Func<float[], float>, resamples: int, level: float, seed: uint64) : Interval =
        check sample resamples level
        let estimate = statistic.Invoke(Array.copy sample)
        corrected estimate (resampled sample statistic resamples seed) (jackknifed sample statistic) level

    /// BCa interval of the mean: `bca` with the mean (same draws, same interval), in O(M) memory and without calls.
    let bcaMean (sample: float[], resamples: int, level: float, seed: uint64) : Interval =
        check sample resamples level
        let sum, count = Array.sum sample, float sample.Length
        let jackknife = sample |> Array.map (fun x -> (sum - x) / (count - 1.0))
        corrected (sum / count) (resampledMeans sample resamples seed) jackknife level

    /// BCa interval of the mean when observations are dependent within clusters (queries of one data set or template) and
    /// independent between them: clusters are resampled whole, and left out whole in the jackknife. `clusters[i]` names
    /// the cluster of sample[i]; at least 2 clusters, and some tens of them for an interval worth its level.
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

    /// Percentile interval of the mean of paired differences a_i - b_i (same length): simpler than BCa, first-order
    /// accurate only.
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
