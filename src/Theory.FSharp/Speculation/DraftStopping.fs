namespace OptimalStopping.Theory

open System
open System.Collections.Generic

/// An optimal stopping rule for drafting: go on iff the draft so far survives with probability A > Threshold.
[<Struct>]
type DraftRule =
    {
        Threshold: float
        /// rho*: tokens per unit of target cost that the rule earns; the speed-up over the target alone.
        Rate: float
        /// Expected number of tokens drafted per verification.
        MeanLength: float
    }

/// Draft length as optimal stopping. Drafted token i survives with probability a_i, seen when it is drafted (the
/// drafter's confidence, calibrated); A_j = a_1 ... a_j; a draft of g tokens yields 1 + A_1 + ... + A_g and costs 1 +
/// c g.
[<RequireQualifiedAccess>]
module DraftStopping =

    /// Expected tokens and drafted length of "draft on iff A > threshold", at most maxLength tokens. The distribution of A is
    /// carried forward; products of the same factors in another order are one state (merged to 1e-10 in log).
    let private evaluate (distribution: DiscreteDistribution) (threshold: float) (maxLength: int) =
        let mutable alive = [| struct (1.0, 1.0) |]
        let mutable tokens, length, drafted = 1.0, 0.0, 0
        while drafted < maxLength && alive.Length > 0 do
            let next = Dictionary<int64, struct (float * float)>()
            for struct (survival, mass) in alive do
                if survival > threshold then
                    length <- length + mass
                    for i in 0 .. distribution.Values.Length - 1 do
                        let survival, mass = survival * distribution.Values[i], mass * distribution.Probabilities[i]
                        tokens <- tokens + mass * survival
                        if survival > threshold && mass > 0.0 then
                            let key = int64 (round (log survival * 1e10))
                            let struct (_, sofar) = next.GetValueOrDefault(key, struct (survival, 0.0))
                            next[key] <- struct (survival, sofar + mass)
            alive <- Seq.toArray next.Values
            drafted <- drafted + 1
        struct (tokens, length)

    /// The best rule when the a_i are i.i.d. with the given distribution on [0,1] (theory-proofs.md section 5): x = rho* c /
    /// mean(a), where rho* is the root of max E[tokens - rho cost] = 0, found by Dinkelbach's iteration (monotone,
    /// finitely many steps here). The one-step look-ahead rule is optimal since E[A_{j+1} | past] = mean(a) A_j never
    /// increases along a draft. Drafts end at maxLength >= 1 tokens at the latest; c > 0. With constant a = alpha the
    /// rate equals DraftLength's best speed-up, whenever maxLength is at least its length.
    let optimal (distribution: DiscreteDistribution, costRatio: float, maxLength: int) : DraftRule =
        if not (costRatio > 0.0 && Double.IsFinite costRatio) then
            raise (ArgumentOutOfRangeException(nameof costRatio, costRatio, "expected a finite number above 0"))
        if maxLength < 1 then raise (ArgumentOutOfRangeException(nameof maxLength, maxLength, "expected at least 1"))
        let mean = Pandora.expectedMaximum (distribution, 0.0)
        if distribution.Values |> Array.exists (fun a -> not (a >= 0.0 && a <= 1.0)) || mean <= 0.0 then
            raise (ArgumentException "acceptance probabilities must lie in [0,1], with a mean above 0")
        let rec improve rate =
            let threshold = rate * costRatio / mean
            let struct (tokens, length) = evaluate distribution threshold maxLength
            let next = tokens / (1.0 + costRatio * length)
            if next <= rate * (1.0 + 1e-14) then
                { Threshold = threshold; Rate = max rate next; MeanLength = length }
            else
                improve next
        // Not drafting at all earns rate 1.
        improve 1.0
