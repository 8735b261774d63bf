namespace OptimalStopping.Theory

open System

/// Stages with the Markov property for jumps: given all signals seen so far, the distribution of a later stage's signal, and the
/// mean quality of the stage just run, depend on the last signal only. Bins are 0 .. m_k - 1.
type JumpModel =
    {
        /// Cost of running each stage (not cumulative), at least 0; n entries.
        Costs: float[]
        /// Means[k][s] = E[q_k | S_k = s].
        Means: float[][]
        /// Entry[k][s] = P(S_k = s): the distribution of a stage's signal when it is the first to run.
        Entry: float[][]
        /// Kernels[k][j][s][s'] = P(S_j = s' | S_k = s) for j > k; entries with j <= k are not read and may be empty.
        Kernels: float[][][][]
    }

/// An optimal jump policy as tables. Stage k at bin s has index [k][s].
type JumpPlan =
    {
        /// W_k(s): value from here on, costs of stages already run left out.
        Values: float[][]
        /// Q_k(s) = max_j -lambda c_j + E[W_j | s], the value of going on; -infinity at the last stage.
        Continuations: float[][]
        /// The stage to run next, or k itself to stop. Ties stop, then take the earliest stage.
        Actions: int[][]
        /// The first stage to run.
        Entry: int
        /// What the plan earns from the start, entry included.
        Outcome: PolicyValue
    }

[<RequireQualifiedAccess>]
module JumpModel =

    /// Throws ArgumentException, naming the place, unless shapes agree, costs are at least 0 and every distribution sums to 1.
    let validate (model: JumpModel) : unit =
        let n = model.Costs.Length
        if n = 0 then raise (ArgumentException "a model needs at least one stage")
        if model.Means.Length <> n || model.Entry.Length <> n || model.Kernels.Length < n - 1 then
            raise (
                ArgumentException(
                    $"{n} costs, {model.Means.Length} rows of means, {model.Entry.Length} entry distributions, \
                                       {model.Kernels.Length} of kernels; expected n, n, n, n - 1 or n"
                )
            )
        for k in 0 .. n - 1 do
            let bins = model.Means[k].Length
            if not (model.Costs[k] >= 0.0 && Double.IsFinite model.Costs[k]) then
                raise (ArgumentException($"Costs[{k}] is {model.Costs[k]}; expected a finite number of at least 0"))
            Samples.requireFinite $"Means[{k}]" (model.Means[k])
            Samples.requireDistribution $"Entry[{k}]" bins (model.Entry[k])
            for j in k + 1 .. n - 1 do
                let kernel = model.Kernels[k][j]
                if kernel.Length <> bins then raise (ArgumentException($"Kernels[{k}][{j}] has {kernel.Length} rows; expected {bins}"))
                kernel |> Array.iteri (fun s row -> Samples.requireDistribution $"Kernels[{k}][{j}][{s}]" model.Means[j].Length row)

    /// The model of a Markov chain of signals: distribution of S_1, one-step kernels P_k(s'|s) for k = 1 .. n-1 and means; jumps
    /// follow by multiplying kernels (Chapman-Kolmogorov), so that skipping a stage loses its signal and nothing else.
    let ofChain (costs: float[], means: float[][], initial: float[], steps: float[][][]) : JumpModel =
        let n = costs.Length
        if steps.Length <> n - 1 || means.Length <> n then
            raise (ArgumentException($"{n} costs, {means.Length} means, {steps.Length} kernels; expected n, n, n - 1"))
        let push (distribution: float[]) (kernel: float[][]) =
            let into t = Array.fold2 (fun sum p (row: float[]) -> sum + p * row[t]) 0.0 distribution kernel
            Array.init kernel[0].Length into
        let entry = Array.scan push initial steps
        let kernels =
            Array.init n (fun k ->
                // Rolling products: kernel to j is kernel to j-1 followed by one step.
                let products: float[][][] = Array.create n [||]
                if k < n - 1 then products[k + 1] <- steps[k]
                for j in k + 2 .. n - 1 do
                    products[j] <- products[j - 1] |> Array.map (fun row -> push row (steps[j - 1]))
                products)
        let model = { Costs = costs; Means = means; Entry = entry; Kernels = kernels }
        validate model
        model

    /// Backward induction for the jump action set: W_k = max(mu_k, max_{j>k} -lambda c_j + P_{k->j} W_j), and the best
    /// first stage. O(n^2 m^2) time, O(n m) memory. Optimal among all policies under the model's Markov property
    /// (theory section 2, Thm 1); a decision is one look-up.
    let plan (model: JumpModel, lambda: float) : JumpPlan =
        validate model
        if not (lambda >= 0.0 && Double.IsFinite lambda) then
            raise (ArgumentOutOfRangeException(nameof lambda, lambda, "expected a finite number of at least 0"))
        let n = model.Costs.Length
        let values = model.Means |> Array.map Array.copy
        let qualities = model.Means |> Array.map Array.copy
        let costs = model.Means |> Array.map (fun row -> Array.zeroCreate row.Length)
        let continuations = model.Means |> Array.map (fun row -> Array.create row.Length Double.NegativeInfinity)
        let actions = model.Means |> Array.mapi (fun k row -> Array.create row.Length k)
        for k in n - 2 .. -1 .. 0 do
            for s in 0 .. model.Means[k].Length - 1 do
                for j in k + 1 .. n - 1 do
                    let kernel = model.Kernels[k][j]
                    let distribution = kernel[s]
                    let value = ChainModel.dot distribution (values[j]) - lambda * model.Costs[j]
                    if value > continuations[k][s] then
                        continuations[k][s] <- value
                        if value > values[k][s] then
                            values[k][s] <- value
                            actions[k][s] <- j
                            qualities[k][s] <- ChainModel.dot distribution (qualities[j])
                            costs[k][s] <- model.Costs[j] + ChainModel.dot distribution (costs[j])
        let entries =
            Array.init n (fun k ->
                { Value = ChainModel.dot (model.Entry[k]) (values[k]) - lambda * model.Costs[k]
                  Quality = ChainModel.dot (model.Entry[k]) (qualities[k])
                  Cost = model.Costs[k] + ChainModel.dot (model.Entry[k]) (costs[k]) })
        let entry = [| 0 .. n - 1 |] |> Array.maxBy (fun k -> entries[k].Value)
        { Values = values; Continuations = continuations; Actions = actions; Entry = entry; Outcome = entries[entry] }

    /// Stop advantages D_k(s) = mu_k(s) - Q_k(s), +infinity at the last stage: what `SingleCrossing` reads.
    let advantages (model: JumpModel, plan: JumpPlan) : float[][] =
        Array.map2 (Array.map2 (fun mean continuation -> mean - continuation)) model.Means plan.Continuations

    /// Per stage, the least bin from which the plan stops in every bin above (`SingleCrossing.threshold`); the plan is
    /// "stop iff s >= theta_k" at the stages where `SingleCrossing.holds`. Where it goes otherwise is in `Actions`.
    let thresholds (model: JumpModel, plan: JumpPlan) : int[] = advantages (model, plan) |> Array.map SingleCrossing.threshold
