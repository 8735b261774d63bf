namespace OptimalStopping.Theory

open System

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
    let plan (model: JumpModel, lambda: float) : RecallPlan =
        JumpModel.validate model
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
