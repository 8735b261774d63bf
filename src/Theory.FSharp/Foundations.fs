namespace OptimalStopping.Theory

open System

/// Elementary functions of probabilities that the rest of the library shares.
[<RequireQualifiedAccess>]
module Probability =

    /// Binary relative entropy kl(p, q) = p ln(p/q) + (1-p) ln((1-p)/(1-q)), in nats, for p and q in [0,1].
    /// 0 ln 0 is 0; the result is +infinity where q gives no mass to an outcome that p does.
    [<CompiledName "Kl">]
    let kl (p: float) (q: float) : float =
        let term a b = if a = 0.0 then 0.0 else a * log (a / b)
        term p q + term (1.0 - p) (1.0 - q)

/// SplitMix64 (Steele, Lea and Flood 2014): a 64-bit generator whose bytes are the same on every platform and runtime.
/// Resampling draws tens of millions of indices, which is where System.Random's seeded (compatible, slow) form hurts.
/// Not safe for use by several threads at once.
[<Sealed>]
type SplitMix64(seed: uint64) =
    let mutable state = seed

    /// All there is to know of the generator: `SplitMix64(generator.State)` goes on where it stands.
    member _.State: uint64 = state

    /// The next 64 uniform bits.
    member _.NextUInt64() : uint64 =
        state <- state + 0x9E3779B97F4A7C15UL
        let z = (state ^^^ (state >>> 30)) * 0xBF58476D1CE4E5B9UL
        let z = (z ^^^ (z >>> 27)) * 0x94D049BB133111EBUL
        z ^^^ (z >>> 31)

    /// A uniform index in 0 .. bound-1, for bound >= 1 (multiply-shift; its bias is below bound / 2^64).
    member this.NextIndex(bound: int) : int =
        let mutable low = 0UL
        int (Math.BigMul(this.NextUInt64(), uint64 bound, &low))

    /// A uniform number in [0, 1) with 53 bits.
    member this.NextDouble() : float = float (this.NextUInt64() >>> 11) * (1.0 / 9007199254740992.0)

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

/// Checks and moments that the paired statistics share.
module internal Samples =

    let requireFinite (name: string) (xs: float[]) =
        if isNull (box xs) then nullArg name
        for i in 0 .. xs.Length - 1 do
            if not (Double.IsFinite xs[i]) then raise (ArgumentException($"{name}[{i}] is {xs[i]}; expected a finite number", name))

    let requireCount (name: string) (least: int) (xs: 'a[]) =
        if xs.Length < least then raise (ArgumentException($"{name} has {xs.Length} values; expected at least {least}", name))

    let requireProbability (name: string) (p: float) =
        if not (p > 0.0 && p < 1.0) then
            raise (ArgumentOutOfRangeException(name, p, "expected a number strictly between 0 and 1"))

    /// Probabilities of `size` outcomes: none below 0, sum 1 (to 1e-9).
    let requireDistribution (name: string) (size: int) (p: float[]) =
        if p.Length <> size then raise (ArgumentException($"{name} has {p.Length} entries; expected {size}", name))
        if p |> Array.exists (fun x -> not (x >= 0.0)) || abs (Array.sum p - 1.0) > 1e-9 then
            raise (ArgumentException($"{name} must be numbers of at least 0 that sum to 1; got sum {Array.sum p}", name))

    /// A number of queries or pairs as a whole number. Rounding towards 2^63 would make an impossible demand look like a count.
    let requireCountable (name: string) (given: float) (count: float) : int64 =
        if not (count < 9.2e18) then
            raise (ArgumentOutOfRangeException(name, given, "no count below 9.2e18 is enough for so small a number"))
        int64 count

    let mean (xs: float[]) = Array.sum xs / float xs.Length

    /// Sum of (x - mean)^2.
    let squaredDeviations (xs: float[]) =
        let m = mean xs
        let mutable s = 0.0
        for x in xs do
            s <- s + (x - m) * (x - m)
        s

    /// Standard deviation with divisor M - 1; exactly 0 for a constant sample, whatever rounding did to its mean.
    let standardDeviation (xs: float[]) =
        if Array.forall (fun x -> x = xs[0]) xs then 0.0 else sqrt (squaredDeviations xs / float (xs.Length - 1))

    /// Differences this much smaller than the largest are rounding: q - lambda c summed in another order is no win, and
    /// 0.3 - 0.1 ties with 0.2.
    let private rounding (differences: float[]) = 1e-12 * Array.fold (fun most d -> max most (abs d)) 0.0 differences

    /// The differences with those that are only rounding set to 0.
    let withoutRounding (differences: float[]) =
        let least = rounding differences
        differences |> Array.map (fun d -> if abs d <= least then 0.0 else d)

    /// Mid-ranks 1 .. M: tied values share the mean of the ranks they occupy. Neighbours within rounding of each other tie.
    let midRanks (xs: float[]) =
        let tolerance = rounding xs
        let order = Array.init xs.Length id
        Array.Sort(Array.copy xs, order)
        let ranks = Array.zeroCreate xs.Length
        let mutable first = 0
        while first < order.Length do
            let mutable next = first + 1
            while next < order.Length && xs[order[next]] - xs[order[next - 1]] <= tolerance do
                next <- next + 1
            for i in first .. next - 1 do
                ranks[order[i]] <- float (first + 1 + next) / 2.0
            first <- next
        ranks
