namespace OptimalStopping.Theory

open System

/// Why speculation keeps the target's distribution exactly: a token x drawn from the draft q is accepted with
/// probability min(1, p(x)/q(x)), and otherwise replaced by one drawn from the residual (p - q)^+ normalised. p and q
/// are distributions on the same vocabulary.
[<RequireQualifiedAccess>]
module SpeculativeSampling =

    let private check (p: float[]) (q: float[]) =
        if p.Length = 0 || p.Length <> q.Length then
            raise (ArgumentException($"distributions on {p.Length} and {q.Length} tokens; expected as many, at least 1"))

    /// Chance that a drafted token is accepted: sum_x min(p, q) = 1 - TV(p, q).
    let acceptanceRate (p: float[], q: float[]) : float =
        check p q
        Array.fold2 (fun sum a b -> sum + min a b) 0.0 p q

    /// Total variation distance, half the L1 distance.
    let totalVariation (p: float[], q: float[]) : float =
        check p q
        0.5 * Array.fold2 (fun sum a b -> sum + abs (a - b)) 0.0 p q

    /// The residual distribution (p - q)^+ / sum (p - q)^+; p itself where p = q (a rejection then has probability 0).
    let residual (p: float[], q: float[]) : float[] =
        check p q
        let excess = Array.map2 (fun a b -> max 0.0 (a - b)) p q
        let mass = Array.sum excess
        if mass > 0.0 then excess |> Array.map (fun x -> x / mass) else Array.copy p

    /// Distribution of the token that comes out of one accept-or-replace step; equal to p (the identity that tests check).
    let outputDistribution (p: float[], q: float[]) : float[] =
        let rejected = 1.0 - acceptanceRate (p, q)
        Array.map3 (fun a b r -> min a b + rejected * r) p q (residual (p, q))

    /// Radius of a test that N draws come from a distribution on V tokens: with probability 1 - delta the total variation
    /// between their frequencies and the distribution is at most sqrt((V-1)/N)/2 + sqrt(ln(1/delta) / (2N)) (Cauchy-Schwarz,
    /// McDiarmid).
    let totalVariationRadius (vocabulary: int, draws: int64, delta: float) : float =
        Samples.requireProbability "delta" delta
        if vocabulary < 1 then raise (ArgumentOutOfRangeException(nameof vocabulary, vocabulary, "expected at least 1"))
        if draws < 1L then raise (ArgumentOutOfRangeException(nameof draws, draws, "expected at least 1"))
        0.5 * sqrt (float (vocabulary - 1) / float draws) + sqrt (log (1.0 / delta) / (2.0 * float draws))
