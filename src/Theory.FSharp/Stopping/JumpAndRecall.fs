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
module Jump =

    /// Throws ArgumentException, naming the place, unless shapes agree, costs are at least 0 and every distribution sums to 1.
    [<CompiledName "Validate">]
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
    [<CompiledName "FromChain">]
    let fromChain (costs: float[], means: float[][], initial: float[], steps: float[][][]) : JumpModel =
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
    [<CompiledName "Plan">]
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
                    let value = Chain.dot distribution (values[j]) - lambda * model.Costs[j]
                    if value > continuations[k][s] then
                        continuations[k][s] <- value
                        if value > values[k][s] then
                            values[k][s] <- value
                            actions[k][s] <- j
                            qualities[k][s] <- Chain.dot distribution (qualities[j])
                            costs[k][s] <- model.Costs[j] + Chain.dot distribution (costs[j])
        let entries =
            Array.init n (fun k ->
                { Value = Chain.dot (model.Entry[k]) (values[k]) - lambda * model.Costs[k]
                  Quality = Chain.dot (model.Entry[k]) (qualities[k])
                  Cost = model.Costs[k] + Chain.dot (model.Entry[k]) (costs[k]) })
        let entry = [| 0 .. n - 1 |] |> Array.maxBy (fun k -> entries[k].Value)
        { Values = values; Continuations = continuations; Actions = actions; Entry = entry; Outcome = entries[entry] }

    /// Stop advantages D_k(s) = mu_k(s) - Q_k(s), +infinity at the last stage: what `SingleCrossing` reads.
    [<CompiledName "Advantages">]
    let advantages (model: JumpModel, plan: JumpPlan) : float[][] =
        Array.map2 (Array.map2 (fun mean continuation -> mean - continuation)) model.Means plan.Continuations

    /// Per stage, the least bin from which the plan stops in every bin above (`SingleCrossing.threshold`); the plan is
    /// "stop iff s >= theta_k" at the stages where `SingleCrossing.holds`. Where it goes otherwise is in `Actions`.
    [<CompiledName "Thresholds">]
    let thresholds (model: JumpModel, plan: JumpPlan) : int[] = advantages (model, plan) |> Array.map SingleCrossing.threshold

/// An optimal jump-with-recall policy as tables. The state after running stage k at bin s is (k, s, b), where
/// Levels[b] is the best conditional mean quality among the stages run so far, s's own included.
type RecallPlan =
    {
        /// The distinct mean qualities of all stages and bins, increasing.
        Levels: float[]
        /// LevelOf[k][s] = index in Levels of the mean quality of stage k at bin s.
        LevelOf: int[][]
        /// V_k(s, b), costs already paid left out, at [k][s * Levels.Length + b].
        Values: float[][]
        /// The stage to run next, or k itself to stop, at the same index. Ties stop, then take the earliest stage.
        Actions: int[][]
        /// Thresholds[k][s]: the least level index from which stopping is optimal: stop iff b >= Thresholds[k][s].
        Thresholds: int[][]
        /// The first stage to run.
        Entry: int
        /// What the plan earns from the start.
        Outcome: PolicyValue
    }

    /// The next stage to run after stage k showed bin s with best level b so far (b >= LevelOf[k][s]); k to stop.
    member this.Next(k: int, s: int, b: int) : int = this.Actions[k][s * this.Levels.Length + b]

    /// The best level after stage k shows bin s, when it was b before (-1 when nothing ran).
    member this.Raise(b: int, k: int, s: int) : int = max b (this.LevelOf[k][s])

[<RequireQualifiedAccess>]
module Recall =

    /// Backward induction for jump with recall, on the state (stage, bin, best level so far):
    /// V_k(s, b) = max(Levels[b], max_{j>k} -lambda c_j + sum_s' P_{k->j}(s'|s) V_j(s', max(b, level of (j, s')))).
    /// Assumes, beyond the jump model's Markov property, that E[q_i | all signals seen] = Means[i][S_i] for every
    /// stage run (later signals say nothing new about earlier answers); then it is optimal among all policies. V_k(s,
    /// .) is non-decreasing, convex and 1-Lipschitz in the level, so that stopping is a threshold in the best level
    /// for every (k, s), without any monotonicity of kernels. O(n^2 m^2 L) time with L <= n m levels.
    [<CompiledName "Plan">]
    let plan (model: JumpModel, lambda: float) : RecallPlan =
        Jump.validate model
        if not (lambda >= 0.0 && Double.IsFinite lambda) then
            raise (ArgumentOutOfRangeException(nameof lambda, lambda, "expected a finite number of at least 0"))
        let n = model.Costs.Length
        let levels = model.Means |> Array.concat |> Array.distinct |> Array.sort
        let count = levels.Length
        let levelOf = model.Means |> Array.map (Array.map (fun mean -> Array.BinarySearch(levels, mean)))
        let table fill = model.Means |> Array.mapi (fun k row -> Array.init (row.Length * count) (fun i -> fill k (i % count)))
        let values = table (fun _ b -> levels[b])
        let qualities = table (fun _ b -> levels[b])
        let costs = table (fun _ _ -> 0.0)
        let actions = table (fun k _ -> k)
        // Mean under `distribution` of a table of stage j, from best level b before j ran.
        let ahead (target: float[][]) (distribution: float[]) j b =
            let mutable sum = 0.0
            for t in 0 .. distribution.Length - 1 do
                sum <- sum + distribution[t] * target[j][t * count + max b (levelOf[j][t])]
            sum
        for k in n - 2 .. -1 .. 0 do
            for s in 0 .. model.Means[k].Length - 1 do
                for b in levelOf[k][s] .. count - 1 do
                    let i = s * count + b
                    for j in k + 1 .. n - 1 do
                        let kernel = model.Kernels[k][j]
                        let distribution = kernel[s]
                        let value = ahead values distribution j b - lambda * model.Costs[j]
                        if value > values[k][i] then
                            values[k][i] <- value
                            actions[k][i] <- j
                            qualities[k][i] <- ahead qualities distribution j b
                            costs[k][i] <- model.Costs[j] + ahead costs distribution j b
        let thresholds =
            model.Means
            |> Array.mapi (fun k row ->
                Array.init row.Length (fun s ->
                    let goesOn b = values[k][s * count + b] > levels[b] + SingleCrossing.Tolerance
                    let rec lowest b = if b > levelOf[k][s] && not (goesOn (b - 1)) then lowest (b - 1) else b
                    lowest count))
        let nothingYet = -1
        let fromEntry target k = ahead target (model.Entry[k]) k nothingYet
        let entries =
            Array.init n (fun k ->
                { Value = fromEntry values k - lambda * model.Costs[k]
                  Quality = fromEntry qualities k
                  Cost = model.Costs[k] + fromEntry costs k })
        let entry = [| 0 .. n - 1 |] |> Array.maxBy (fun k -> entries[k].Value)
        { Levels = levels
          LevelOf = levelOf
          Values = values
          Actions = actions
          Thresholds = thresholds
          Entry = entry
          Outcome = entries[entry] }
