namespace OptimalStopping.Theory

open System

/// A distribution on finitely many numbers: Values[i] with probability Probabilities[i] (at least 0, sum 1).
type DiscreteDistribution = { Values: float[]; Probabilities: float[] }

/// Independent offers with known distributions: Weitzman's boxes (1979), optimal stopping with recall in a fixed order, and
/// Moser's problem without recall. The closed forms are the oracles of the general planners.
[<RequireQualifiedAccess>]
module Pandora =

    let private check (distribution: DiscreteDistribution) =
        if distribution.Values.Length = 0 then raise (ArgumentException "a distribution needs at least one value")
        Samples.requireFinite "Values" distribution.Values
        Samples.requireDistribution "Probabilities" distribution.Values.Length distribution.Probabilities

    let private requireCost (cost: float) =
        if not (cost > 0.0 && Double.IsFinite cost) then
            raise (ArgumentOutOfRangeException("cost", cost, "expected a finite number above 0"))

    /// E (X - z)^+.
    [<CompiledName "ExpectedExcess">]
    let expectedExcess (distribution: DiscreteDistribution, z: float) : float =
        check distribution
        Array.fold2 (fun sum x p -> sum + p * max 0.0 (x - z)) 0.0 distribution.Values distribution.Probabilities

    /// E max(X, y).
    [<CompiledName "ExpectedMaximum">]
    let expectedMaximum (distribution: DiscreteDistribution, y: float) : float = y + expectedExcess (distribution, y)

    /// Reservation value: the z with E (X - z)^+ = cost, for cost > 0. Exact: the excess is piecewise linear in z.
    [<CompiledName "Reservation">]
    let reservation (distribution: DiscreteDistribution, cost: float) : float =
        check distribution
        requireCost cost
        let order = [| 0 .. distribution.Values.Length - 1 |] |> Array.sortByDescending (fun i -> distribution.Values[i])
        // With the i largest values above z the equation reads sum p x - z sum p = cost.
        let rec search i mass weighted =
            let v = order[i]
            let mass, weighted = mass + distribution.Probabilities[v], weighted + distribution.Probabilities[v] * distribution.Values[v]
            if i = order.Length - 1 then
                (weighted - cost) / mass
            else
                let next = distribution.Values[order[i + 1]]
                if weighted - next * mass >= cost then (weighted - cost) / mass else search (i + 1) mass weighted
        search 0 0.0 0.0

    /// Reservation value of the uniform distribution on [0,1]: 1 - sqrt(2 cost) for cost <= 1/2, else 1/2 - cost.
    [<CompiledName "ReservationUniform">]
    let reservationUniform (cost: float) : float =
        requireCost cost
        if cost <= 0.5 then 1.0 - sqrt (2.0 * cost) else 0.5 - cost

    /// Reservation value of a 0/1 distribution with P(1) = p in (0,1]: 1 - cost/p for cost <= p, else p - cost.
    [<CompiledName "ReservationBernoulli">]
    let reservationBernoulli (p: float, cost: float) : float =
        requireCost cost
        if not (p > 0.0 && p <= 1.0) then raise (ArgumentOutOfRangeException(nameof p, p, "expected a number in (0,1]"))
        if cost <= p then 1.0 - cost / p else p - cost

    let private requireBoxes (distributions: DiscreteDistribution[]) (costs: float[]) =
        if distributions.Length <> costs.Length then
            raise (ArgumentException($"{distributions.Length} distributions and {costs.Length} costs; expected as many"))
        Array.iter check distributions

    /// Exact expected value of Weitzman's index policy: open boxes from the largest reservation value down, stop as
    /// soon as the best prize so far (`outside` to begin with) is at least every remaining reservation value, keep the
    /// best. It attains the best value over all policies, of any opening order (Weitzman 1979).
    [<CompiledName "IndexPolicyValue">]
    let indexPolicyValue (distributions: DiscreteDistribution[], costs: float[], outside: float) : float =
        requireBoxes distributions costs
        let boxes =
            Array.map2 (fun distribution cost -> reservation (distribution, cost), distribution, cost) distributions costs
            |> Array.sortByDescending (fun (z, _, _) -> z)
        let rec from i best =
            if i = boxes.Length then
                best
            else
                let z, distribution, cost = boxes[i]
                if best >= z then
                    best
                else
                    let next = distribution.Values |> Array.map (fun x -> from (i + 1) (max best x))
                    Chain.dot distribution.Probabilities next - cost
        from 0 outside

    /// E max(outside, max_k min(X_k, z_k)): the Weitzman identity, equal to `indexPolicyValue`. Boxes are independent,
    /// so that the distribution of the maximum is a product of distribution functions.
    [<CompiledName "WeitzmanIdentity">]
    let weitzmanIdentity (distributions: DiscreteDistribution[], costs: float[], outside: float) : float =
        requireBoxes distributions costs
        let reservations = Array.map2 (fun distribution cost -> reservation (distribution, cost)) distributions costs
        let capped = Array.map2 (fun distribution z -> distribution.Values |> Array.map (min z)) distributions reservations
        let points =
            Array.append [| outside |] (Array.concat capped) |> Array.filter (fun v -> v >= outside) |> Array.distinct |> Array.sort
        let atMost v (values: float[]) distribution =
            Array.fold2 (fun sum x p -> if x <= v then sum + p else sum) 0.0 values distribution.Probabilities
        let below v = Array.fold2 (fun product values distribution -> product * atMost v values distribution) 1.0 capped distributions
        let mutable mean, previous = 0.0, 0.0
        for v in points do
            let cumulative = below v
            mean <- mean + v * (cumulative - previous)
            previous <- cumulative
        mean

    /// Recall in the given order, independent signals: continuation values
    /// Q_k(y) = -cost_{k+1} + E V_{k+1}(max(y, X_{k+1})), V_k = max(y, Q_k(y)), V_n(y) = y, where costs are already
    /// scaled by lambda. Returns Q_k(y) of the best answer so far y after k boxes, 0 <= k < n. Exponential in n - k
    /// without the caller's help, so meant for small distributions.
    [<CompiledName "RecallContinuation">]
    let recallContinuation (distributions: DiscreteDistribution[], costs: float[], opened: int, best: float) : float =
        requireBoxes distributions costs
        if opened < 0 || opened >= distributions.Length then
            raise (ArgumentOutOfRangeException(nameof opened, opened, $"expected 0 .. {distributions.Length - 1}"))
        let rec continuation k y =
            let distribution = distributions[k]
            let next = distribution.Values |> Array.map (fun x -> value (k + 1) (max y x))
            Chain.dot distribution.Probabilities next - costs[k]
        and value k y = if k = distributions.Length then y else max y (continuation k y)
        continuation opened best

    /// The root sigma_k of y = Q_k(y): with recall, stop after k boxes iff the best so far is at least sigma_k
    /// (theory-proofs.md section 1.3: y - Q_k(y) is non-decreasing). Needs costs[opened] > 0; bisection to 1e-12.
    [<CompiledName "RecallThreshold">]
    let recallThreshold (distributions: DiscreteDistribution[], costs: float[], opened: int) : float =
        requireBoxes distributions costs
        requireCost (costs[opened])
        let gap y = y - recallContinuation (distributions, costs, opened, y)
        let top = distributions[opened..] |> Array.map (fun distribution -> Array.max distribution.Values) |> Array.max
        // At `top` nothing can be gained and the cost is lost; far enough below, one look gains more than all costs.
        let low = (distributions |> Array.map (fun distribution -> Array.min distribution.Values) |> Array.min) - Array.sum costs - 1.0
        let rec bisect low high =
            if high - low <= 1e-12 * (1.0 + abs high) then
                high
            else
                let middle = 0.5 * (low + high)
                if middle = low || middle = high then high
                elif gap middle >= 0.0 then bisect low middle
                else bisect middle high
        bisect low top

    /// Moser's problem, offers without recall: the continuation values w_1 .. w_{n-1} of n independent offers, where
    /// offer k is taken iff it is at least w_k: w_{n-1} = -cost_n + E X_n, w_k = -cost_{k+1} + E max(X_{k+1},
    /// w_{k+1}). `excess[k]` maps z to E (X_k - z)^+ (any distribution); `means[k]` = E X_k; costs are scaled by lambda.
    /// Uniform free offers give 1/2, 5/8, 89/128, ... from the end.
    [<CompiledName "NoRecallThresholds">]
    let noRecallThresholds (means: float[], excess: Func<float, float>[], costs: float[]) : float[] =
        let n = means.Length
        if n < 1 || excess.Length <> n || costs.Length <> n then
            raise (ArgumentException($"{n} means, {excess.Length} excesses and {costs.Length} costs; expected as many"))
        let w = Array.zeroCreate (n - 1)
        for k in n - 2 .. -1 .. 0 do
            let take = if k = n - 2 then means[k + 1] else w[k + 1] + excess[k + 1].Invoke(w[k + 1])
            w[k] <- take - costs[k + 1]
        w

    /// E (X - z)^+ of the uniform distribution on [0,1].
    [<CompiledName "UniformExcess">]
    let uniformExcess (z: float) : float =
        if z <= 0.0 then 0.5 - z
        elif z >= 1.0 then 0.0
        else (1.0 - z) * (1.0 - z) / 2.0
