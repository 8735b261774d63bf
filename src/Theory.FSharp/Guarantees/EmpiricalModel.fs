namespace OptimalStopping.Theory

open System

/// Recorded queries with binned confidences, every stage recorded: what plug-in planning is fitted to, and replayed on.
type BinnedRecords =
    {
        /// Bins[q][k]: bin of stage k's confidence on query q, 0 .. BinCounts[k]-1.
        Bins: int[][]
        /// Qualities[q][k] in [0,1].
        Qualities: float[][]
        /// Costs[q][k]: what running stage k on query q costs (not cumulative), at least 0.
        Costs: float[][]
        /// Number of bins of each stage, at least 1.
        BinCounts: int[]
    }

/// Plug-in models of recorded queries: frequencies in place of probabilities, averages in place of means. Nothing is
/// smoothed: how far to trust them is what `SampleComplexity.epsilonForPlugIn` says.
[<RequireQualifiedAccess>]
module EmpiricalModel =

    let private check (records: BinnedRecords) =
        let n, queries = records.BinCounts.Length, records.Bins.Length
        if n = 0 || queries = 0 then raise (ArgumentException "expected at least one stage and one query")
        if records.Qualities.Length <> queries || records.Costs.Length <> queries then
            raise (
                ArgumentException(
                    $"{queries} rows of bins, {records.Qualities.Length} of qualities, \
                                       {records.Costs.Length} of costs; expected as many"
                )
            )
        for q in 0 .. queries - 1 do
            if records.Bins[q].Length <> n || records.Qualities[q].Length <> n || records.Costs[q].Length <> n then
                raise (ArgumentException($"query {q}: expected {n} stages"))
            for k in 0 .. n - 1 do
                if records.Bins[q].[k] < 0 || records.Bins[q].[k] >= records.BinCounts[k] then
                    raise (ArgumentException($"query {q}, stage {k}: bin {records.Bins[q].[k]}, expected 0 .. {records.BinCounts[k] - 1}"))

    /// Counts[k][s]: how many queries showed bin s at stage k.
    [<CompiledName "Counts">]
    let counts (records: BinnedRecords) : int64[][] =
        check records
        records.BinCounts
        |> Array.mapi (fun k bins ->
            let row = Array.zeroCreate<int64> bins
            for path in records.Bins do
                row[path[k]] <- row[path[k]] + 1L
            row)

    /// The plug-in jump model. A bin that no query showed takes the stage's overall mean and the later stages' overall distributions.
    [<CompiledName "Jump">]
    let jump (records: BinnedRecords) : JumpModel =
        let counts = counts records
        let n, queries = records.BinCounts.Length, float records.Bins.Length
        let overall = Array.init n (fun k -> records.Qualities |> Array.averageBy (fun row -> row[k]))
        let entry = counts |> Array.map (Array.map (fun c -> float c / queries))
        let means =
            Array.init n (fun k ->
                let sums: float[] = Array.zeroCreate records.BinCounts[k]
                for q in 0 .. records.Bins.Length - 1 do
                    let s = records.Bins[q].[k]
                    sums[s] <- sums[s] + records.Qualities[q].[k]
                Array.map2 (fun sum count -> if count = 0L then overall[k] else sum / float count) sums counts[k])
        let kernel k j =
            let rows = Array.init records.BinCounts[k] (fun _ -> Array.zeroCreate<float> records.BinCounts[j])
            for path in records.Bins do
                rows[path[k]].[path[j]] <- rows[path[k]].[path[j]] + 1.0
            Array.map2
                (fun (row: float[]) count -> if count = 0L then Array.copy entry[j] else row |> Array.map (fun x -> x / float count))
                rows
                counts[k]
        { Costs = Array.init n (fun k -> records.Costs |> Array.averageBy (fun row -> row[k]))
          Means = means
          Entry = entry
          Kernels = Array.init n (fun k -> Array.init n (fun j -> if j > k then kernel k j else [||])) }

    /// The plug-in chain at the price `lambda`, of as many bins at every stage as the stage that has most (the others' surplus
    /// bins are never shown). Its first stage's cost is left out, as in every `ChainModel`.
    [<CompiledName "Chain">]
    let chain (records: BinnedRecords, lambda: float) : ChainModel =
        let model = jump records
        let bins = Array.max records.BinCounts
        let widen (row: float[]) = Array.append row (Array.zeroCreate (bins - row.Length))
        let rows k (table: 'a[]) surplus = Array.append table (Array.init (bins - records.BinCounts[k]) (fun _ -> surplus))
        { Initial = widen model.Entry[0]
          Kernels = Array.init (model.Costs.Length - 1) (fun k -> rows k model.Kernels[k].[k + 1] model.Entry[k + 1] |> Array.map widen)
          Means = model.Means |> Array.mapi (fun k row -> rows k row (Array.max row))
          ContinueCosts = model.Costs[1..] |> Array.map (fun c -> lambda * c) }

    /// Reward of stopping at stage k on query q, less the first stage's cost, which is sunk.
    let private reward (records: BinnedRecords) lambda q k = records.Qualities[q].[k] - lambda * (Array.sum records.Costs[q].[1..k])

    /// The mean reward, first stage's cost left out, of the best chain policy of all on the recorded queries themselves, which may look
    /// at the whole history of bins: backward induction on the tree of histories. An upper bound of what any reactive policy
    /// earns on them. O(queries * stages^2 + sorting).
    [<CompiledName "TreeOptimum">]
    let treeOptimum (records: BinnedRecords, lambda: float) : float =
        check records
        let n = records.BinCounts.Length
        let rec best k (rows: int[]) : float =
            let now = rows |> Array.sumBy (fun q -> reward records lambda q k)
            if k = n - 1 then
                now
            else
                let onward = rows |> Array.groupBy (fun q -> records.Bins[q].[k + 1]) |> Array.sumBy (fun (_, group) -> best (k + 1) group)
                max now onward
        let first = [| 0 .. records.Bins.Length - 1 |] |> Array.groupBy (fun q -> records.Bins[q].[0])
        (first |> Array.sumBy (fun (_, group) -> best 0 group)) / float records.Bins.Length

    /// Theorem 14's gap: by how much the tree optimum of the recorded queries exceeds what a chain policy (a stop table) earns on
    /// them; at least 0.
    [<CompiledName "ReactiveGap">]
    let reactiveGap (records: BinnedRecords, stop: bool[][], lambda: float) : float =
        check records
        let earned = records.Bins |> Array.mapi (fun q bins -> reward records lambda q (Reactive.stopStage (stop, bins))) |> Array.average
        max 0.0 (treeOptimum (records, lambda) - earned)

    // Walks a policy over every query. `next` gives the stage to run after (stage, bin, memory), the stage itself to stop;
    // `remember` updates the memory, `answer` picks the stage whose answer is returned.
    let private replay (records: BinnedRecords) lambda entry (next: int -> int -> int -> int) (remember: int -> int -> int -> int) answer =
        check records
        let mutable quality, cost = 0.0, 0.0
        for q in 0 .. records.Bins.Length - 1 do
            let mutable stage, memory, stopped = entry, -1, false
            while not stopped do
                cost <- cost + records.Costs[q].[stage]
                let bin = records.Bins[q].[stage]
                memory <- remember memory stage bin
                let following = next stage bin memory
                stopped <- following = stage
                if stopped then quality <- quality + records.Qualities[q].[answer stage memory]
                stage <- following
        let count = float records.Bins.Length
        let quality, cost = quality / count, cost / count
        { Value = quality - lambda * cost; Quality = quality; Cost = cost }

    /// What a chain policy (a stop table) earns on average over recorded queries, the first stage's cost included.
    [<CompiledName "ReplayChain">]
    let replayChain (records: BinnedRecords, stop: bool[][], lambda: float) : PolicyValue =
        replay records lambda 0 (fun k s _ -> if k < stop.Length && not (stop[k].[s]) then k + 1 else k) (fun _ _ _ -> 0) (fun k _ -> k)

    /// What a jump plan earns on average over recorded queries.
    [<CompiledName "ReplayJump">]
    let replayJump (records: BinnedRecords, plan: JumpPlan, lambda: float) : PolicyValue =
        replay records lambda plan.Entry (fun k s _ -> plan.Actions[k].[s]) (fun _ _ _ -> 0) (fun k _ -> k)

    /// What a recall plan earns on average over recorded queries: it answers with the stage of best mean quality so far.
    [<CompiledName "ReplayRecall">]
    let replayRecall (records: BinnedRecords, plan: RecallPlan, lambda: float) : PolicyValue =
        let levels = plan.Levels.Length
        // Memory: best level and the stage that has it, as one number; the earliest stage wins a tie.
        let remember memory stage bin =
            let level = plan.LevelOf[stage].[bin]
            if memory < 0 || level > memory % levels then stage * levels + level else memory
        replay records lambda plan.Entry (fun k s memory -> plan.Next(k, s, memory % levels)) remember (fun _ memory -> memory / levels)
