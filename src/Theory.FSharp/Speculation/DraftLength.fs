namespace OptimalStopping.Theory

open System
open System.Collections.Generic

/// Speculative decoding with a fixed draft length (Leviathan, Kalman and Matias 2023): each drafted token is accepted
/// independently with probability alpha, a draft token costs c target passes, verification costs one.
[<RequireQualifiedAccess>]
module DraftLength =

    let private check (acceptance: float) (length: int) =
        if not (acceptance >= 0.0 && acceptance <= 1.0) then
            raise (ArgumentOutOfRangeException("acceptance", acceptance, "expected a number in [0,1]"))
        if length < 0 then raise (ArgumentOutOfRangeException("length", length, "expected at least 0"))

    let private checkCost (costRatio: float) =
        if not (costRatio > 0.0 && Double.IsFinite costRatio) then
            raise (ArgumentOutOfRangeException("costRatio", costRatio, "expected a finite number above 0"))

    /// Expected tokens per verification, the target's own token included: (1 - alpha^(g+1)) / (1 - alpha), g+1 at
    /// alpha = 1.
    [<CompiledName "ExpectedTokens">]
    let expectedTokens (acceptance: float, length: int) : float =
        check acceptance length
        // The sum itself: no cancellation near alpha = 1.
        let mutable tokens, power = 1.0, 1.0
        for _ in 1..length do
            power <- power * acceptance
            tokens <- tokens + power
        tokens

    /// P(a verification yields exactly i+1 tokens), i = 0 .. length: alpha^i (1 - alpha) below the end, alpha^length
    /// at it.
    [<CompiledName "TokenDistribution">]
    let tokenDistribution (acceptance: float, length: int) : float[] =
        check acceptance length
        Array.init (length + 1) (fun i -> acceptance ** float i * (if i < length then 1.0 - acceptance else 1.0))

    /// Speed-up over the target alone: expectedTokens / (1 + c g).
    [<CompiledName "Speedup">]
    let speedup (acceptance: float, length: int, costRatio: float) : float =
        checkCost costRatio
        expectedTokens (acceptance, length) / (1.0 + costRatio * float length)

    /// Theorem 12: the draft length of greatest speed-up, the least g >= 0 with alpha^(g+1) (1 + c g) <= c E(alpha, g):
    /// stop when the next token's chance of survival no longer exceeds c times the current speed-up. At least 1 iff
    /// alpha > c. Requires alpha in [0,1) (at 1 longer is always better) and c > 0. The speed-up is unimodal, so that
    /// the first local maximum is global.
    [<CompiledName "Optimal">]
    let optimal (acceptance: float, costRatio: float) : int =
        check acceptance 0
        checkCost costRatio
        if acceptance = 1.0 then raise (ArgumentOutOfRangeException(nameof acceptance, acceptance, "expected less than 1"))
        let rec search length tokens survival =
            if survival * (1.0 + costRatio * float length) <= costRatio * tokens then
                length
            else
                search (length + 1) (tokens + survival) (survival * acceptance)
        search 0 1.0 acceptance

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

    /// Up to so many survivals are told apart.
    let private kept = 20_000

    /// More than that are grouped in so many cells.
    let private cells = 1024

    /// Expected tokens and drafted length of "draft on iff A > threshold", at most maxLength tokens. The distribution of A is
    /// carried forward; products of the same factors in another order are one state (merged to 1e-10 in log). Their number
    /// grows like a power of the length, with the number of values as exponent, so beyond `kept` states neighbours are merged
    /// in cells of equal width in log, each with its mean survival: the work stays below maxLength * cells * values.
    let private evaluate (distribution: DiscreteDistribution) (threshold: float) (maxLength: int) =
        let values, logThreshold = distribution.Values, log threshold
        let mutable alive = if threshold < 1.0 then [| struct (1.0, 1.0) |] else [||]
        let mutable tokens, length, drafted, scale = 1.0, 0.0, 0, 1e10
        while drafted < maxLength && alive.Length > 0 do
            if alive.Length * values.Length > kept then scale <- float cells / logThreshold
            // Mass, and mass times survival, by state.
            let next = Dictionary<int64, struct (float * float)>()
            for struct (survival, mass) in alive do
                length <- length + mass
                for i in 0 .. values.Length - 1 do
                    let survival, mass = survival * values[i], mass * distribution.Probabilities[i]
                    tokens <- tokens + mass * survival
                    if survival > threshold && mass > 0.0 then
                        let key = int64 (round (log survival * scale))
                        let struct (m, ms) =
                            match next.TryGetValue key with
                            | true, found -> found
                            | _ -> struct (0.0, 0.0)
                        next[key] <- struct (m + mass, ms + mass * survival)
            alive <- next.Values |> Seq.map (fun (struct (m, ms)) -> struct (ms / m, m)) |> Seq.toArray
            drafted <- drafted + 1
        struct (tokens, length)

    /// The best rule when the a_i are i.i.d. with the given distribution on [0,1] (theory-proofs.md section 5): x = rho* c /
    /// mean(a), where rho* is the root of max E[tokens - rho cost] = 0, found by Dinkelbach's iteration (monotone,
    /// finitely many steps here). The one-step look-ahead rule is optimal since E[A_{j+1} | past] = mean(a) A_j never
    /// increases along a draft. Exact while the survivals number up to 20,000 (many values and long drafts have more), and within
    /// 1e-4 of the rate beyond. Drafts end at maxLength >= 1 tokens at the latest; c > 0. With constant a = alpha the
    /// rate equals DraftLength's best speed-up, whenever maxLength is at least its length.
    [<CompiledName "Optimal">]
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

/// An optimal rule for drafting when the price of a verification depends on its length. With j tokens drafted that
/// survive with probability A: draft another iff A > Continue[j]; keep the new token iff the survival with it is above
/// Keep[j], otherwise verify without it. A threshold of +infinity says never.
type DraftPlan =
    {
        Continue: float[]
        Keep: float[]
        /// rho*: expected tokens per unit of cost.
        Rate: float
    }

/// Draft length as optimal stopping on real hardware, where verifying more tokens takes longer: DraftStopping with the
/// constant price of a verification replaced by a table.
[<RequireQualifiedAccess>]
module DraftPlanning =

    let private cells = 400

    /// Where a survival probability lies on the grid 0, 1/cells .. 1: the point below it, and the share of the next.
    let inline private place (survival: float) =
        let x = survival * float cells
        let i = min (cells - 1) (int x)
        struct (i, x - float i)

    /// Values on the grid, interpolated. They are convex, so that this errs upwards, at each token anew: the rate comes out up to
    /// 6e-4 of itself too high on drafts of up to 200 tokens (long drafts that are nearly always accepted are the worst).
    let inline private at (values: float[]) (struct (i, share)) = values[i] + share * (values[i + 1] - values[i])

    /// Backward induction at a rate. nets[j] becomes E[tokens - rate cost] of the best rule from the j-th drafted token on,
    /// itself included (for j = 0 the target's own), for each probability that it survives, and costs[j] its cost alone.
    /// places[i][a]: where the survival i / cells lies after a token of acceptance a.
    let private induct
        (distribution: DiscreteDistribution)
        (draftCost: float)
        (verify: float[])
        (places: struct (int * float)[][])
        rate
        (nets: float[][])
        (costs: float[][])
        =
        for j in verify.Length - 1 .. -1 .. 0 do
            let stop = -rate * verify[j]
            for i in 0..cells do
                let mutable net, cost = -infinity, verify[j]
                if j < verify.Length - 1 then
                    net <- -rate * draftCost
                    cost <- draftCost
                    let places, later, spent = places[i], nets[j + 1], costs[j + 1]
                    for a in 0 .. places.Length - 1 do
                        let kept = at later places[a]
                        net <- net + distribution.Probabilities[a] * max stop kept
                        cost <- cost + distribution.Probabilities[a] * (if kept > stop then at spent places[a] else verify[j])
                nets[j][i] <- float i / float cells + max stop net
                costs[j][i] <- if net > stop then cost else verify[j]

    /// Least survival probability from which a nondecreasing gain is positive: -1 for all, infinity for none.
    let private threshold (gain: float -> float) =
        if gain 1.0 <= 0.0 then
            infinity
        elif gain 0.0 > 0.0 then
            -1.0
        else
            let mutable low, high = 0.0, 1.0
            for _ in 1..30 do
                let middle = 0.5 * (low + high)
                if gain middle > 0.0 then high <- middle else low <- middle
            low

    /// The rule of greatest rate, E[tokens] / E[cost], when the drafted tokens' acceptance probabilities are i.i.d. with
    /// the given distribution on [0,1]. draftCost >= 0 is paid for each token drafted, kept or not; verifyCosts[g] > 0 for
    /// verifying g tokens, g = 0 .. G; drafts have at most G >= 1 tokens. The best rate is the root of
    /// max E[tokens - rate cost] = 0. With equal verifyCosts it is DraftStopping.optimal's.
    [<CompiledName "Optimal">]
    let optimal (distribution: DiscreteDistribution, draftCost: float, verifyCosts: float[]) : DraftPlan =
        if not (draftCost >= 0.0 && Double.IsFinite draftCost) then
            raise (ArgumentOutOfRangeException(nameof draftCost, draftCost, "expected a finite number of at least 0"))
        if verifyCosts.Length < 2 || verifyCosts |> Array.exists (fun v -> not (v > 0.0 && Double.IsFinite v)) then
            raise (ArgumentException "verification costs: expected at least two, finite and above 0")
        if distribution.Values |> Array.exists (fun a -> not (a >= 0.0 && a <= 1.0)) then
            raise (ArgumentException "acceptance probabilities must lie in [0,1]")
        Pandora.expectedMaximum (distribution, 0.0) |> ignore // checks the distribution
        let longest = verifyCosts.Length - 1
        let grids () = Array.init (longest + 1) (fun _ -> Array.zeroCreate (cells + 1))
        let nets, costs = grids (), grids ()
        let places = Array.init (cells + 1) (fun i -> distribution.Values |> Array.map (fun a -> place (float i / float cells * a)))
        // Dinkelbach's iteration: the rate of the rule that is best at one rate is the next, until it rises no more. Not
        // drafting earns the first.
        let rec improve rate =
            induct distribution draftCost verifyCosts places rate nets costs
            let next = rate + nets[0][cells] / costs[0][cells]
            if next <= rate * (1.0 + 1e-9) then rate else improve next
        let rate = improve (1.0 / verifyCosts[0])
        let kept j survival = at nets[j + 1] (place survival)
        let further j survival =
            let mutable sum = -rate * draftCost
            for a in 0 .. distribution.Values.Length - 1 do
                sum <- sum + distribution.Probabilities[a] * max (-rate * verifyCosts[j]) (kept j (survival * distribution.Values[a]))
            sum
        let thresholds gain = Array.init longest (fun j -> threshold (fun survival -> gain j survival + rate * verifyCosts[j]))
        { Continue = thresholds further; Keep = thresholds kept; Rate = rate }
