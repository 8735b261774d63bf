namespace OptimalStopping.Theory

open System

/// What another policy would have been worth, from logs of decisions that were drawn with known probabilities (Proposition "off-policy
/// intervals"). Query t has a weight w_t = 1{the policy would have done what was done} / (the probability of what was done), and a reward r_t in [0,1].
/// Assumptions: (propensities) the probability of what was done, given the query and the past, is the one that was logged, and is above 0 for
/// all that the policy may do; (i.i.d.) queries, with all that every decision would have brought, are independent of one distribution. Then
/// E w_t = 1 and E w_t r_t is the policy's value V.
///
/// Intervals are by betting, as in Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro (2022): the capital of a bet against
/// "V is at most v" is a nonnegative supermartingale if it is so, and few such bets grow beyond 2/delta (Ville).
/// They hold at all times at once, for any rewards in [0,1]. The upper end comes from the rewards 1 - r.
[<RequireQualifiedAccess>]
module OffPolicy =

    let private check (weights: float[]) (rewards: float[]) (delta: float) =
        Samples.requireFinite (nameof weights) weights
        Samples.requireFinite (nameof rewards) rewards
        Samples.requireCount (nameof weights) 1 weights
        Samples.requireProbability (nameof delta) delta
        if rewards.Length <> weights.Length then
            raise (ArgumentException($"expected {weights.Length}, one for each weight, got {rewards.Length}", nameof rewards))
        weights
        |> Array.iteri (fun i w -> if w < 0.0 then raise (ArgumentException($"weights[{i}] is {w}; expected a number of at least 0")))
        rewards
        |> Array.iteri (fun i r -> if r < 0.0 || r > 1.0 then raise (ArgumentException($"rewards[{i}] is {r}; expected a number in [0,1]")))

    let private checkMost (weights: float[]) (most: float) =
        if not (most >= Array.max weights && most >= 1.0 && most < infinity) then
            raise (ArgumentOutOfRangeException(nameof most, most, "expected a number of at least 1 and of at least every weight"))

    /// Stakes that look at earlier scores only: the best for a constant mean and the variance so far, over so many scores.
    let private stakes (scores: float[]) (delta: float) =
        let mutable sum, squares = 0.0, 0.25
        Array.init scores.Length (fun i ->
            let seen = float (i + 1)
            let stake = sqrt (2.0 * log (1.0 / delta) / (float scores.Length * squares / seen))
            sum <- sum + scores[i]
            let mean = (sum + 0.5) / (seen + 1.0)
            squares <- squares + (scores[i] - mean) * (scores[i] - mean)
            stake)

    /// The largest v in [0,1] below which every value is refuted at delta. step t v is a score whose conditional mean is at most 0 when
    /// V <= v, never below -floor v, and falls with v; so does the capital, and bisection finds where it is 1/delta.
    let private lowerEnd (stakes: float[]) (delta: float) (floor: float -> float) (step: int -> float -> float) =
        let refuted v =
            let most = 0.5 / floor v
            let mutable logCapital, t = 0.0, 0
            let bar = log (1.0 / delta)
            while t < stakes.Length && logCapital < bar do
                logCapital <- logCapital + log (1.0 + min most stakes[t] * step t v)
                t <- t + 1
            logCapital >= bar
        let mutable low, high = 0.0, 1.0
        for _ in 1..40 do
            let middle = 0.5 * (low + high)
            if refuted middle then low <- middle else high <- middle
        low

    /// Inverse propensity scoring (Horvitz and Thompson 1952): the mean of w r, unbiased, with an interval that needs no bound on the
    /// weights. Two-sided at 1 - delta; the value may lie outside [0,1], the interval does not.
    [<CompiledName "InversePropensity">]
    let inversePropensity (weights: float[], rewards: float[], delta: float) : Interval =
        check weights rewards delta
        let lower (rewards: float[]) =
            let scores = Array.map2 (*) weights rewards
            lowerEnd (stakes scores (delta / 2.0)) (delta / 2.0) id (fun t v -> scores[t] - v)
        { Estimate = Samples.mean (Array.map2 (*) weights rewards)
          Low = lower rewards
          High = 1.0 - lower (rewards |> Array.map (fun r -> 1.0 - r))
          Level = 1.0 - delta }

    /// Self-normalised inverse propensity scoring: sum w r / sum w, never outside [0,1]; 1/2 where all weights are 0. Biased by O(1/T), mostly with
    /// less variance. The interval is of V itself: it tests the mean of w (r - v), which is 0 at v = V. most: a bound on the
    /// weights, 1 over the least propensity, known beforehand.
    [<CompiledName "SelfNormalised">]
    let selfNormalised (weights: float[], rewards: float[], most: float, delta: float) : Interval =
        check weights rewards delta
        checkMost weights most
        let value (rewards: float[]) =
            let total = Array.sum weights
            if total > 0.0 then Array.sum (Array.map2 (*) weights rewards) / total else 0.5
        let lower (rewards: float[]) =
            let mutable total, sum = 1.0, 0.5
            let scores =
                Array.map2
                    (fun w r ->
                        let score = w * (r - sum / total)
                        total <- total + w
                        sum <- sum + w * r
                        score)
                    weights
                    rewards
            lowerEnd (stakes scores (delta / 2.0)) (delta / 2.0) (fun v -> most * v) (fun t v -> weights[t] * (rewards[t] - v))
        { Estimate = value rewards
          Low = lower rewards
          High = 1.0 - lower (rewards |> Array.map (fun r -> 1.0 - r))
          Level = 1.0 - delta }

    /// Doubly robust (Dudik, Langford and Li 2011): the mean of q + w (r - q), q being a prediction in [0,1] of the policy's reward from what is known
    /// before the decision and from EARLIER queries. Unbiased whatever the predictions; the better they are, the narrower. most: as for
    /// `selfNormalised`.
    [<CompiledName "DoublyRobust">]
    let doublyRobust (weights: float[], rewards: float[], predictions: float[], most: float, delta: float) : Interval =
        check weights rewards delta
        check weights predictions delta
        checkMost weights most
        let lower (rewards: float[]) (predictions: float[]) =
            let scores = Array.map3 (fun w r q -> q + w * (r - q)) weights rewards predictions
            // q + w (r - q) is at least q (1 - w), so at least 1 - most.
            lowerEnd (stakes scores (delta / 2.0)) (delta / 2.0) (fun v -> most - 1.0 + v) (fun t v -> scores[t] - v)
        let turned = Array.map (fun x -> 1.0 - x)
        { Estimate = Samples.mean (Array.map3 (fun w r q -> q + w * (r - q)) weights rewards predictions)
          Low = lower rewards predictions
          High = 1.0 - lower (turned rewards) (turned predictions)
          Level = 1.0 - delta }

    /// Predictions for `doublyRobust`: the mean reward, weighted, of the earlier queries of the same stratum on which the policy would have done what
    /// was done, drawn towards the mean of all earlier ones, and that towards 1/2, each with the weight of one query. strata[query]: 0, 1, ...; what
    /// is known before the decision.
    [<CompiledName "RunningMeans">]
    let runningMeans (weights: float[], rewards: float[], strata: int[]) : float[] =
        if rewards.Length <> weights.Length || strata.Length <> weights.Length then
            raise (ArgumentException($"expected {weights.Length} rewards and strata, got {rewards.Length} and {strata.Length}"))
        let total, sum = Array.zeroCreate (Array.fold max 0 strata + 1), Array.zeroCreate (Array.fold max 0 strata + 1)
        let mutable allTotal, allSum = 0.0, 0.0
        Array.init weights.Length (fun t ->
            let s, w, r = strata[t], weights[t], rewards[t]
            let all = (allSum + 0.5) / (allTotal + 1.0)
            let prediction = (sum[s] + all) / (total[s] + 1.0)
            total[s] <- total[s] + w
            sum[s] <- sum[s] + w * r
            allTotal <- allTotal + w
            allSum <- allSum + w * r
            prediction)

    /// Queries drawn by the policy itself that would tell as much: (sum w)^2 / sum w^2; 0 where all weights are 0.
    [<CompiledName "EffectiveQueries">]
    let effectiveQueries (weights: float[]) : float =
        let squares = Array.sumBy (fun w -> w * w) weights
        if squares > 0.0 then Array.sum weights ** 2.0 / squares else 0.0
