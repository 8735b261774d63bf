namespace OptimalStopping.Theory

open System

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
module ChainModel =

    let private requireDistribution (place: string) (bins: int) (p: float[]) =
        if p.Length <> bins then raise (ArgumentException($"{place}: expected {bins} probabilities"))
        if p |> Array.exists (fun x -> not (x >= 0.0)) || abs (Array.sum p - 1.0) > 1e-9 then
            raise (ArgumentException($"{place}: expected numbers of at least 0 that sum to 1, got sum {Array.sum p}"))

    /// Throws ArgumentException, naming the place, unless shapes agree, rows are distributions, means lie in [0,1] and costs are finite
    /// and at least 0.
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
    let range (model: ChainModel) : float = 1.0 + Array.sum model.ContinueCosts

    let internal dot (p: float[]) (w: float[]) =
        let mutable sum = 0.0
        for i in 0 .. p.Length - 1 do
            sum <- sum + p[i] * w[i]
        sum

    /// Backward induction (theory 1.1): optimal among all policies under M. Ties stop. O(n m^2).
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
    let optimalValue (model: ChainModel) : float = dot model.Initial (plan model).W[0]

    /// The plan's own policy: stop iff D_k(s) >= 0.
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
    let value (model: ChainModel, stop: bool[][]) : float =
        checkPolicy model stop
        dot model.Initial (valuesFrom model stop).[0]

    /// P(stage k is run and S_k = s) under a reactive policy, n x m; row k sums to P(tau >= k).
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
    let expectedCost (model: ChainModel, stop: bool[][]) : float =
        let reached = occupancy (model, stop)
        model.ContinueCosts |> Array.mapi (fun k c -> c * Array.sum reached[k + 1]) |> Array.sum

    /// E_pi sum_k [W_k(S_k) - Q_k(S_k, a_k)]: each wrong decision at (k,s) costs |D_k(s)|. Equals V* - V^pi (theory 1.1).
    let performanceDifference (model: ChainModel, plan: ChainPlan, stop: bool[][]) : float =
        let reached = occupancy (model, stop)
        let mutable loss = 0.0
        for k in 0 .. stop.Length - 1 do
            for s in 0 .. model.Initial.Length - 1 do
                let chosen = if stop[k][s] then model.Means[k][s] else plan.Q[k][s]
                loss <- loss + reached[k][s] * (plan.W[k][s] - chosen)
        loss
