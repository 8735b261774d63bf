namespace OptimalStopping.Theory

open System

/// How fast measured regret grows.
[<RequireQualifiedAccess>]
module RegretSlope =

    let private leastSquares (xs: float[]) (ys: float[]) =
        let mx, my = Array.average xs, Array.average ys
        let mutable xy, xx = 0.0, 0.0
        for i in 0 .. xs.Length - 1 do
            xy <- xy + (xs[i] - mx) * (ys[i] - my)
            xx <- xx + (xs[i] - mx) * (xs[i] - mx)
        xy / xx

    /// Least-squares slope of ln(mean regret over seeds) on ln T, with a percentile bootstrap interval over seeds.
    /// regrets[seed][i] is the regret at horizons[i]; at least two distinct horizons of at least 1 and one seed. The estimate or
    /// an end is NaN where a mean (of a resample) is not positive. A slope of 1/2 is not a validation: see theory 8.2.
    let logLog (horizons: int[], regrets: float[][], level: float, resamples: int, seed: uint64) : Interval =
        Samples.requireProbability "level" level
        if Array.length (Array.distinct horizons) < 2 || Array.exists (fun t -> t < 1) horizons then
            raise (ArgumentException("expected at least two distinct horizons of at least 1", nameof horizons))
        if regrets.Length = 0 || regrets |> Array.exists (fun row -> row.Length <> horizons.Length) then
            raise (ArgumentException($"expected at least one seed with {horizons.Length} regrets each", nameof regrets))
        if resamples < 1 then raise (ArgumentOutOfRangeException(nameof resamples, resamples, "expected at least 1"))
        let xs = horizons |> Array.map (fun t -> log (float t))
        let slopeOf (rows: float[][]) = leastSquares xs (Array.init xs.Length (fun i -> rows |> Array.averageBy (fun row -> row[i]) |> log))
        let random = SplitMix64 seed
        let slopes = Array.init resamples (fun _ -> slopeOf (Array.init regrets.Length (fun _ -> regrets[random.NextIndex regrets.Length])))
        Array.sortInPlace slopes
        let quantile p = slopes[min (resamples - 1) (int (p * float resamples))]
        let tail = (1.0 - level) / 2.0
        let unusable = slopes |> Array.exists (fun x -> not (Double.IsFinite x))
        { Estimate = slopeOf regrets
          Low = if unusable then nan else quantile tail
          High = if unusable then nan else quantile (1.0 - tail)
          Level = level }
