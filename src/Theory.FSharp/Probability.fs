namespace OptimalStopping.Theory

/// Elementary functions of probabilities that the rest of the library shares.
[<RequireQualifiedAccess>]
module Probability =

    /// Binary relative entropy kl(p, q) = p ln(p/q) + (1-p) ln((1-p)/(1-q)), in nats, for p and q in [0,1].
    /// 0 ln 0 is 0; the result is +infinity where q gives no mass to an outcome that p does.
    let kl (p: float) (q: float) : float =
        let term a b =
            if a = 0.0 then 0.0
            elif b = 0.0 then infinity
            else a * log (a / b)
        term p q + term (1.0 - p) (1.0 - q)
