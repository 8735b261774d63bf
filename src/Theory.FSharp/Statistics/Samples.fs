namespace OptimalStopping.Theory

open System

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

    /// Mid-ranks 1 .. M: tied values share the mean of the ranks they occupy.
    let midRanks (xs: float[]) =
        let order = Array.init xs.Length id
        Array.Sort(Array.copy xs, order)
        let ranks = Array.zeroCreate xs.Length
        let mutable first = 0
        while first < order.Length do
            let mutable next = first + 1
            while next < order.Length && xs[order[next]] = xs[order[first]] do
                next <- next + 1
            for i in first .. next - 1 do
                ranks[order[i]] <- float (first + 1 + next) / 2.0
            first <- next
        ranks
