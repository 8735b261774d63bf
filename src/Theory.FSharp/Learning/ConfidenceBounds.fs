namespace OptimalStopping.Theory

open System

/// Upper confidence bounds on means in [0,1] that optimistic planning rests on (theory 2.3).
[<RequireQualifiedAccess>]
module ConfidenceBounds =

    /// c1 = (5/3) sqrt 2 and c2 = 35/6: the constants with which `psi` is monotone (c1^2 < c2).
    let C1: float = 5.0 / 3.0 * sqrt 2.0
    /// See `C1`.
    let C2: float = 35.0 / 6.0

    /// klUCB(p, e) = max {x <= 1 : kl(p, x) <= e} for p in [0,1] and e >= 0 (Garivier and Cappe 2011). Newton's method from
    /// above, where kl is convex: each iterate, hence the result, is an upper bound of the exact value (to 1e-12).
    let klUpper (p: float, e: float) : float =
        if not (p >= 0.0 && p <= 1.0) then raise (ArgumentOutOfRangeException(nameof p, p, "expected a number in [0,1]"))
        if not (e >= 0.0) then raise (ArgumentOutOfRangeException(nameof e, e, "expected at least 0"))
        if p = 1.0 || Double.IsInfinity e then
            1.0
        elif p = 0.0 then
            1.0 - exp -e
        else
            // Two bounds from above: Pinsker's, and the one that keeps only the term that blows up at x = 1.
            let entropy = -p * log p - (1.0 - p) * log (1.0 - p)
            let mutable x = min (p + sqrt (e / 2.0)) (1.0 - exp (-(e + entropy) / (1.0 - p)))
            if x >= 1.0 then
                1.0
            else
                let mutable step, rounds = 1.0, 0
                while step > 1e-13 && rounds < 50 && x > p do
                    step <- (-entropy - p * log x - (1.0 - p) * log (1.0 - x) - e) * x * (1.0 - x) / (x - p)
                    if step > 0.0 then x <- max p (x - step)
                    rounds <- rounds + 1
                x

    /// psi(v) = max {c1 sqrt(v i/(N-1)), c2 i/(N-1)} for an empirical variance v (divisor N) of N samples and i = ln(1/failure
    /// probability); 1 for N <= 1. At least Maurer and Pontil's empirical Bernstein bonus, and f -> mean f + psi(var f) is
    /// nondecreasing, which theirs is not.
    let psi (variance: float, samples: float, iota: float) : float =
        if samples <= 1.0 then
            1.0
        else
            let x = iota / (samples - 1.0)
            max (C1 * sqrt (variance * x)) (C2 * x)

    /// The smaller of 1, klUCB and mean + psi: an optimistic mean from N samples; 1 without samples.
    let optimisticMean (mean: float, variance: float, samples: float, iota: float) : float =
        if samples < 1.0 then
            1.0
        else
            min 1.0 (min (klUpper (min 1.0 (max 0.0 mean), iota / samples)) (mean + psi (max 0.0 variance, samples, iota)))
