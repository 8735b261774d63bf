namespace OptimalStopping.Theory

open System

/// Random variates of the distributions that posterior sampling needs. Not safe for use by several threads at once.
[<Sealed>]
type internal Sampling(random: SplitMix64) =
    let mutable spare = nan

    /// A standard normal (Marsaglia's polar method, which makes them in pairs).
    member _.Normal() : float =
        if not (Double.IsNaN spare) then
            let x = spare
            spare <- nan
            x
        else
            let mutable u, v, s = 0.0, 0.0, 2.0
            while s >= 1.0 || s = 0.0 do
                u <- 2.0 * random.NextDouble() - 1.0
                v <- 2.0 * random.NextDouble() - 1.0
                s <- u * u + v * v
            let f = sqrt (-2.0 * log s / s)
            spare <- v * f
            u * f

    /// A Gamma(shape, 1) variate, shape > 0 (Marsaglia and Tsang 2000; shapes below 1 are boosted by a power of a uniform).
    member this.Gamma(shape: float) : float =
        if shape < 1.0 then
            this.Gamma(shape + 1.0) * Math.Pow(1.0 - random.NextDouble(), 1.0 / shape)
        else
            let d = shape - 1.0 / 3.0
            let c = 1.0 / sqrt (9.0 * d)
            let mutable result = -1.0
            while result < 0.0 do
                let x = this.Normal()
                let v = 1.0 + c * x
                if v > 0.0 then
                    let v = v * v * v
                    let u = 1.0 - random.NextDouble()
                    // The squeeze accepts most proposals without a logarithm.
                    if u < 1.0 - 0.0331 * x * x * x * x || log u < 0.5 * x * x + d * (1.0 - v + log v) then result <- d * v
            result

    /// A Beta(a, b) variate, a and b > 0.
    member this.Beta(a: float, b: float) : float =
        let x = this.Gamma a
        x / (x + this.Gamma b)
