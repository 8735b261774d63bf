namespace OptimalStopping.Theory

open System

/// When does a table of stop advantages D(s) = mu(s) - Q(s), s = 0 .. m-1 from the least to the most sure bin, amount
/// to a threshold? A policy that stops iff D(s) >= 0 is "stop iff s >= theta" exactly when D crosses zero once,
/// upwards.
[<RequireQualifiedAccess>]
module SingleCrossing =

    /// Advantages this close to 0 are ties: rounding must not decide whether a table has a threshold.
    [<Literal>]
    let Tolerance = 1e-12

    /// True when stopping stays optimal (D >= 0) in every bin above one in which it is strictly better, and no bin
    /// below the threshold is strictly for stopping. Bins at a tie fit either side.
    [<CompiledName "Holds">]
    let holds (advantages: float[]) : bool =
        let firstStop = advantages |> Array.tryFindIndex (fun d -> d > Tolerance)
        match firstStop with
        | None -> true
        | Some s -> advantages[s..] |> Array.forall (fun d -> d >= -Tolerance)

    /// The least threshold consistent with the table: the smallest s such that D >= 0 in s and in every bin above;
    /// m (one past the last bin: never stop) if D < 0 in the last bin. It is optimal iff `holds`.
    [<CompiledName "Threshold">]
    let threshold (advantages: float[]) : int =
        let lastContinue = advantages |> Array.tryFindIndexBack (fun d -> d < -Tolerance)
        match lastContinue with
        | None -> 0
        | Some s -> s + 1

/// Reactive policies: Stop[k][s] says whether to stop at stage k in bin s, for the n-1 stages where there is a choice.
[<RequireQualifiedAccess>]
module Reactive =

    /// Stop iff s >= thresholds[k]; thresholds in 0 .. bins (0 always stops, bins never does).
    [<CompiledName "FromThresholds">]
    let fromThresholds (thresholds: int[], bins: int) : bool[][] =
        thresholds |> Array.map (fun theta -> Array.init bins (fun s -> s >= theta))

    /// Go on iff first[k] <= s < last[k]: the policy class that repairs "hopeless" queries (theory 1.2).
    [<CompiledName "FromIntervals">]
    let fromIntervals (first: int[], last: int[], bins: int) : bool[][] =
        Array.map2 (fun a b -> Array.init bins (fun s -> not (a <= s && s < b))) first last

    /// The stage at which the policy stops on a path of bins (at least n-1 of them).
    [<CompiledName "StopStage">]
    let stopStage (stop: bool[][], bins: int[]) : int =
        let mutable k = 0
        while k < stop.Length && not (stop[k][bins[k]]) do
            k <- k + 1
        k

    /// Every threshold rule of m bins: stop iff s >= theta, theta = 0 .. m.
    let internal thresholdRules m = Array.init (m + 1) (fun theta -> Array.init m (fun s -> s >= theta))

    /// Every interval rule of m bins: always stop, or go on iff a <= s < b for 0 <= a < b <= m; m(m+1)/2 + 1 of them.
    let internal intervalRules m =
        [| yield Array.create m true
           for a in 0 .. m - 1 do
               for b in a + 1 .. m do
                   yield Array.init m (fun s -> not (a <= s && s < b)) |]

/// A cascade of n stages whose signals form a Markov chain (assumption M of the theory): after stage k the bin S_k is all
/// that matters, E[q_k | S_1..S_k] = Means[k][S_k], and one may stop or run the next stage. Bins are 0 .. m-1 and stages
/// 0 .. n-1. The first stage always runs, so its cost is sunk: it shifts every policy's value by the same lambda c_1 and is
/// left out of this model and of all its values.
type ChainModel =
    {
        /// Distribution of the first signal, m entries that sum to 1.
        Initial: float[]
        /// Kernels[k][s][s'] = P(S_{k+1} = s' | S_k = s); (n-1) x m x m, rows sum to 1.
        Kernels: float[][][]
        /// Means[k][s] = E[q_k | S_k = s] in [0,1]; n x m.
        Means: float[][]
        /// ContinueCosts[k] = lambda times the cost of stage k+1, at least 0: the price of going on from stage k; n-1 entries.
        ContinueCosts: float[]
    }

/// The tables of backward induction (theory 1.1), all [stage][bin].
type ChainPlan =
    {
        /// W_k(s) = max(mu_k(s), Q_k(s)): the value from here on, in [0,1]; n rows.
        W: float[][]
        /// Q_k(s) = -kappa_{k+1} + E[W_{k+1} | s]: the value of going on; n-1 rows.
        Q: float[][]
        /// D_k(s) = mu_k(s) - Q_k(s): the advantage of stopping; n-1 rows (it is +infinity at the last stage).
        D: float[][]
        /// The least theta_k such that stopping is optimal in bin theta_k and in every bin above, in 0 .. m; n-1 entries.
        /// "Stop iff s >= theta_k" is the plan itself where D_k crosses zero once (always under T1 and T2, Theorem 1).
        Thresholds: int[]
    }

[<RequireQualifiedAccess>]
module Chain =

    let private requireDistribution (place: string) (bins: int) (p: float[]) =
        if p.Length <> bins then raise (ArgumentException($"{place}: expected {bins} probabilities"))
        if p |> Array.exists (fun x -> not (x >= 0.0)) || abs (Array.sum p - 1.0) > 1e-9 then
            raise (ArgumentException($"{place}: expected numbers of at least 0 that sum to 1, got sum {Array.sum p}"))

    /// Throws ArgumentException, naming the place, unless shapes agree, rows are distributions, means lie in [0,1] and costs are finite
    /// and at least 0.
    [<CompiledName "Validate">]
    let validate (model: ChainModel) : unit =
        let n, m = model.Means.Length, model.Initial.Length
        if n = 0 || m = 0 then raise (ArgumentException "a model needs at least one stage and one bin")
        if model.Kernels.Length <> n - 1 || model.ContinueCosts.Length <> n - 1 then
            raise (
                ArgumentException(
                    $"{n} rows of means, {model.Kernels.Length} kernels, {model.ContinueCosts.Length} costs; \
                                       expected n, n-1, n-1"
                )
            )
        requireDistribution "Initial" m model.Initial
        model.Kernels
        |> Array.iteri (fun k kernel ->
            if kernel.Length <> m then raise (ArgumentException($"Kernels[{k}]: expected {m} rows"))
            kernel |> Array.iteri (fun s row -> requireDistribution $"Kernels[{k}][{s}]" m row))
        model.Means
        |> Array.iteri (fun k row ->
            if row.Length <> m then raise (ArgumentException($"Means[{k}]: expected {m} numbers"))
            row
            |> Array.iteri (fun s x ->
                if not (x >= 0.0 && x <= 1.0) then raise (ArgumentException($"Means[{k}][{s}] is {x}; expected [0,1]"))))
        model.ContinueCosts
        |> Array.iteri (fun k x ->
            if not (x >= 0.0 && Double.IsFinite x) then
                raise (ArgumentException($"ContinueCosts[{k}] is {x}; expected a finite number of at least 0")))

    /// Length B = 1 + lambda (C_n - C_1) of the interval in which rewards lie.
    [<CompiledName "Range">]
    let range (model: ChainModel) : float = 1.0 + Array.sum model.ContinueCosts

    let internal dot (p: float[]) (w: float[]) =
        let mutable sum = 0.0
        for i in 0 .. p.Length - 1 do
            sum <- sum + p[i] * w[i]
        sum

    /// Backward induction (theory 1.1): optimal among all policies under M. Ties stop. O(n m^2).
    [<CompiledName "Plan">]
    let plan (model: ChainModel) : ChainPlan =
        validate model
        let n = model.Means.Length
        let w = model.Means |> Array.map Array.copy
        let q = Array.zeroCreate (n - 1)
        for k in n - 2 .. -1 .. 0 do
            q[k] <- model.Kernels[k] |> Array.map (fun row -> dot row (w[k + 1]) - model.ContinueCosts[k])
            w[k] <- Array.map2 max model.Means[k] q[k]
        let d = Array.init (n - 1) (fun k -> Array.map2 (-) model.Means[k] q[k])
        { W = w; Q = q; D = d; Thresholds = d |> Array.map SingleCrossing.threshold }

    /// V* = E W_1(S_1), the best value of all policies (first-stage cost left out).
    [<CompiledName "OptimalValue">]
    let optimalValue (model: ChainModel) : float = dot model.Initial (plan model).W[0]

    /// The plan's own policy: stop iff D_k(s) >= 0.
    [<CompiledName "Policy">]
    let policy (plan: ChainPlan) : bool[][] = plan.D |> Array.map (Array.map (fun d -> d >= 0.0))

    let private checkPolicy (model: ChainModel) (stop: bool[][]) =
        let n, m = model.Means.Length, model.Initial.Length
        if stop.Length <> n - 1 || stop |> Array.exists (fun row -> row.Length <> m) then
            raise (ArgumentException($"a policy of this model has {n - 1} x {m} entries"))

    /// What each stage and bin is worth under a reactive policy: V_k(s), n x m.
    let private valuesFrom (model: ChainModel) (stop: bool[][]) =
        let v = model.Means |> Array.map Array.copy
        for k in stop.Length - 1 .. -1 .. 0 do
            for s in 0 .. v[k].Length - 1 do
                if not (stop[k][s]) then v[k][s] <- dot (model.Kernels[k][s]) (v[k + 1]) - model.ContinueCosts[k]
        v

    /// V^pi of a reactive policy, exactly (first-stage cost left out).
    [<CompiledName "Value">]
    let value (model: ChainModel, stop: bool[][]) : float =
        checkPolicy model stop
        dot model.Initial (valuesFrom model stop).[0]

    /// P(stage k is run and S_k = s) under a reactive policy, n x m; row k sums to P(tau >= k).
    [<CompiledName "Occupancy">]
    let occupancy (model: ChainModel, stop: bool[][]) : float[][] =
        checkPolicy model stop
        let m = model.Initial.Length
        let reached = Array.init model.Means.Length (fun k -> if k = 0 then Array.copy model.Initial else Array.zeroCreate m)
        for k in 0 .. stop.Length - 1 do
            for s in 0 .. m - 1 do
                if not (stop[k][s]) then
                    let row = model.Kernels[k][s]
                    for t in 0 .. m - 1 do
                        reached[k + 1][t] <- reached[k + 1][t] + reached[k][s] * row[t]
        reached

    /// E sum of lambda-costs paid after the first stage, under a reactive policy.
    [<CompiledName "ExpectedCost">]
    let expectedCost (model: ChainModel, stop: bool[][]) : float =
        let reached = occupancy (model, stop)
        model.ContinueCosts |> Array.mapi (fun k c -> c * Array.sum reached[k + 1]) |> Array.sum

    /// E_pi sum_k [W_k(S_k) - Q_k(S_k, a_k)]: each wrong decision at (k,s) costs |D_k(s)|. Equals V* - V^pi (theory 1.1).
    [<CompiledName "PerformanceDifference">]
    let performanceDifference (model: ChainModel, plan: ChainPlan, stop: bool[][]) : float =
        let reached = occupancy (model, stop)
        let mutable loss = 0.0
        for k in 0 .. stop.Length - 1 do
            for s in 0 .. model.Initial.Length - 1 do
                let chosen = if stop[k][s] then model.Means[k][s] else plan.Q[k][s]
                loss <- loss + reached[k][s] * (plan.W[k][s] - chosen)
        loss

/// A policy of a policy class: its stop table and what it earns.
type ChainPolicy = { Stop: bool[][]; Value: float }

/// Policy classes of reactive policies on a known chain: all policies that choose one of a few rules at each stage.
[<RequireQualifiedAccess>]
module ChainPolicyClasses =

    /// Visits the policies that use one of `rules` (a rule: stop or not, by bin) at each stage, with their values and their
    /// numbers sum_k i_k r^(n-2-k). Depth-first from the last stage, so that a suffix of rules is valued once:
    /// O(r^(n-1) m) after O(r^(n-2) m^2).
    let private enumerate (rules: bool[][]) (model: ChainModel) (visit: int -> float -> unit) =
        let m = model.Initial.Length
        let rec search k stride number (next: float[]) =
            if k < 0 then
                visit number (Chain.dot model.Initial next)
            else
                let onward = model.Kernels[k] |> Array.map (fun row -> Chain.dot row next - model.ContinueCosts[k])
                rules
                |> Array.iteri (fun i rule ->
                    search
                        (k - 1)
                        (stride * rules.Length)
                        (number + i * stride)
                        (Array.init m (fun s -> if rule[s] then model.Means[k][s] else onward[s])))
        search (model.Means.Length - 2) 1 0 (Array.last model.Means)

    /// Values of all policies built from `rules`, in the order of `Policy class`.
    let internal ruleValues (rules: bool[][], model: ChainModel) : float[] =
        let values = Array.zeroCreate (pown rules.Length (model.Means.Length - 1))
        enumerate rules model (fun i v -> values[i] <- v)
        values

    let private bestOf (rules: bool[][]) (model: ChainModel) : ChainPolicy =
        Chain.validate model
        let best, bestNumber = ref Double.NegativeInfinity, ref 0
        enumerate rules model (fun i v ->
            if v > best.Value then
                best.Value <- v
                bestNumber.Value <- i)
        let last = model.Means.Length - 2
        { Stop = Array.init (last + 1) (fun k -> Array.copy rules[bestNumber.Value / pown rules.Length (last - k) % rules.Length])
          Value = best.Value }

    /// The best threshold policy, by enumeration of all (m+1)^(n-1).
    [<CompiledName "BestThreshold">]
    let bestThreshold (model: ChainModel) : ChainPolicy = bestOf (Reactive.thresholdRules model.Initial.Length) model

    /// The best interval policy, by enumeration of all (m(m+1)/2 + 1)^(n-1).
    [<CompiledName "BestInterval">]
    let bestInterval (model: ChainModel) : ChainPolicy = bestOf (Reactive.intervalRules model.Initial.Length) model

/// When a threshold policy is optimal in the chain (Theorem 1), and when looking one stage ahead is.
[<RequireQualifiedAccess>]
module ThresholdForm =

    /// Delta_k(s) = E[mu_{k+1}(S_{k+1}) | S_k = s] - mu_k(s): what one more stage adds to quality; (n-1) x m.
    [<CompiledName "OneStepGains">]
    let oneStepGains (model: ChainModel) : float[][] =
        model.Kernels
        |> Array.mapi (fun k kernel -> Array.map2 (fun row mean -> Chain.dot row model.Means[k + 1] - mean) kernel model.Means[k])

    /// (T1): is every kernel stochastically monotone, i.e. does P(S_{k+1} >= j | s) rise with s for every j (up to 1e-12)?
    [<CompiledName "IsStochasticallyMonotone">]
    let isStochasticallyMonotone (model: ChainModel) : bool =
        let tails (row: float[]) = Array.scanBack (+) row 0.0
        model.Kernels
        |> Array.forall (fun kernel ->
            kernel |> Array.map tails |> Array.pairwise |> Array.forall (fun (a, b) -> Array.forall2 (fun x y -> x <= y + 1e-12) a b))

    /// (T2): is every one-step gain nonincreasing in the bin (up to 1e-12)?
    [<CompiledName "HasNonincreasingGains">]
    let hasNonincreasingGains (model: ChainModel) : bool =
        oneStepGains model |> Array.forall (Array.pairwise >> Array.forall (fun (a, b) -> b <= a + 1e-12))

    /// Is the optimal plan a threshold policy at every stage? Sufficient, not necessary: T1 and T2 (Theorem 1).
    [<CompiledName "IsThresholdOptimal">]
    let isThresholdOptimal (model: ChainModel) : bool = (Chain.plan model).D |> Array.forall SingleCrossing.holds

    /// The one-step look-ahead rule (Chow, Robbins and Siegmund 1971): stop iff Delta_k(s) <= kappa_{k+1}, that is iff the next
    /// stage alone does not pay; a stop table, (n-1) x m.
    [<CompiledName "OneStepLookAhead">]
    let oneStepLookAhead (model: ChainModel) : bool[][] =
        Array.map2 (fun gains cost -> gains |> Array.map (fun gain -> gain <= cost)) (oneStepGains model) model.ContinueCosts

    /// The monotone case: is the look-ahead rule's stop set closed, so that once entered (at any stage, with any bin of positive
    /// probability to follow) it is never left? Then the look-ahead rule is optimal.
    [<CompiledName "IsMonotoneCase">]
    let isMonotoneCase (model: ChainModel) : bool =
        let stop = oneStepLookAhead model
        seq {
            for k in 0 .. stop.Length - 2 do
                for s in 0 .. stop[k].Length - 1 do
                    if stop[k].[s] then for t in 0 .. stop[k].Length - 1 -> model.Kernels[k].[s].[t] = 0.0 || stop[k + 1].[t]
        }
        |> Seq.forall id

/// A chain policy at run time: one comparison per stage on the raw confidence, no allocation. Safe for use by several threads.
[<Sealed>]
type ThresholdRule private (thresholds: float[]) =

    /// The rule "stop after stage k iff its confidence is at least thresholds[k]", for the n-1 stages with a choice. -infinity
    /// stops always, +infinity never; NaN is rejected.
    static member Create(thresholds: float[]) : ThresholdRule =
        thresholds
        |> Array.iteri (fun k x ->
            if Double.IsNaN x then raise (ArgumentException($"thresholds[{k}] is NaN; expected a number", nameof thresholds)))
        ThresholdRule(Array.copy thresholds)

    /// The rule of a plan whose bins are cut by edges[k] (strictly increasing; bin b holds [edges[b-1], edges[b])): stops from
    /// the lower edge of bin plan.Thresholds[k] on. It is the plan's own policy where `SingleCrossing` holds.
    static member FromPlan(plan: ChainPlan, edges: float[][]) : ThresholdRule =
        if edges.Length < plan.Thresholds.Length then
            raise (ArgumentException($"{edges.Length} rows of edges, expected {plan.Thresholds.Length}", nameof edges))
        let lower k theta =
            if theta = 0 then Double.NegativeInfinity
            elif theta > edges[k].Length then Double.PositiveInfinity
            else edges[k].[theta - 1]
        ThresholdRule.Create(plan.Thresholds |> Array.mapi lower)

    /// Number of stages n.
    member _.Stages: int = thresholds.Length + 1

    /// The n-1 thresholds (a copy).
    member _.Thresholds: float[] = Array.copy thresholds

    /// Stop after this stage (0 .. n-1) with this confidence? The last stage always does. NaN (no confidence) goes on.
    member _.Stops(stage: int, confidence: float) : bool = uint32 stage >= uint32 thresholds.Length || confidence >= thresholds[stage]

    /// The stage that answers, of n confidences in the order of the stages.
    member _.StopStage(confidences: ReadOnlySpan<float>) : int =
        let mutable k = 0
        while k < thresholds.Length && not (confidences[k] >= thresholds[k]) do
            k <- k + 1
        k
