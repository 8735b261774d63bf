namespace OptimalStopping.Theory.Policies

open System
open System.Threading.Tasks

/// The classic cascade: run the stages of a sub-chain in order and stop at the first whose confidence reaches its
/// threshold. A stage that reports no confidence never stops the cascade, except the last. Threshold 0 always stops
/// (with a confidence), +infinity never.
[<Sealed>]
type ThresholdCascade(stages: int, chain: int[], thresholds: float[]) =

    do
        if chain.Length = 0 then invalidArg (nameof chain) "expected at least one stage, got none"
        if thresholds.Length <> chain.Length - 1 then
            invalidArg (nameof thresholds) $"expected {chain.Length - 1} thresholds, got {thresholds.Length}"
        for i in 0 .. chain.Length - 1 do
            if chain[i] < 0 || chain[i] >= stages || (i > 0 && chain[i] <= chain[i - 1]) then
                invalidArg (nameof chain) $"expected increasing stages in 0..{stages - 1}, got {chain[i]} at position {i}"

    member _.Chain = chain
    member _.Thresholds = thresholds

    /// The single model: always runs the stage, always answers with it.
    static member Fixed(stages: int, stage: int) = ThresholdCascade(stages, [| stage |], [||])

    interface IStoppingPolicy with
        member _.Stages = stages

        member _.Decide(observation) =
            let last = observation.Last
            // Position of the next stage of the chain. After a fail-over the latest stage need not be of the chain;
            // it then answers for the chain stage that it stands in for.
            let mutable next = 0
            while next < chain.Length && chain[next] <= last do
                next <- next + 1
            if last < 0 then Decision.GoTo chain[0]
            elif next = chain.Length then Decision.StopWith last
            elif next > 0 && observation.Confidence[last] >= thresholds[next - 1] then Decision.StopWith last
            else Decision.GoTo chain[next]

/// The first stage answers; the bin of its confidence says which stage answers in the end (0: itself).
/// edges: increasing lower ends of the bins from the second on. choice: per bin, and last for no confidence, a stage.
[<Sealed>]
type OneLookPolicy(stages: int, edges: float[], choice: int[]) =

    do
        if choice.Length <> edges.Length + 2 then
            invalidArg (nameof choice) $"expected {edges.Length + 2} choices, got {choice.Length}"
        if choice |> Array.exists (fun k -> k < 0 || k >= stages) then
            invalidArg (nameof choice) $"expected stages in 0..{stages - 1}"

    /// The bin of a confidence; the last for NaN.
    static member Bin (edges: float[]) (confidence: float) : int =
        if Double.IsNaN confidence then
            edges.Length + 1
        else
            let mutable bin = 0
            while bin < edges.Length && confidence >= edges[bin] do
                bin <- bin + 1
            bin

    interface IStoppingPolicy with
        member _.Stages = stages

        member _.Decide(observation) =
            let last = observation.Last
            if last < 0 then
                Decision.GoTo 0
            elif last > 0 then
                Decision.StopWith last
            else
                match choice[OneLookPolicy.Bin edges observation.Confidence[0]] with
                | 0 -> Decision.StopWith 0
                | k -> Decision.GoTo k

/// The policies that others use, each tuned on the same training queries as ours. Operating points are those on the
/// upper concave hull of the training points, so each family is at its best.
[<RequireQualifiedAccess>]
module Baselines =

    /// Training queries beyond this number do not move a threshold on a grid of 64: the rest is left out.
    let internal trainingCap = 20_000

    let internal head (rows: int[]) = if rows.Length > trainingCap then Array.sub rows 0 trainingCap else rows

    /// Keeps the candidates on the upper hull of their training (cost, quality).
    let internal onHull name (data: RecordedCascade) (rows: int[]) (parameter: float[]) (policies: IStoppingPolicy[]) =
        let rows = head rows
        let cost = Array.zeroCreate policies.Length
        let quality = Array.zeroCreate policies.Length
        Parallel.For(
            0,
            policies.Length,
            fun i ->
                let outcome = Replay.run (policies[i], data, rows)
                cost[i] <- Array.average outcome.Cost
                quality[i] <- Array.average outcome.Quality
        )
        |> ignore
        let hull = Frontier.upperHull cost quality
        { Name = name
          Parameter = hull |> Array.map (fun i -> parameter[i])
          Policies = hull |> Array.map (fun i -> policies[i]) }

    /// Up to `count` distinct thresholds at the quantiles of the training confidences of a stage, 0 first and
    /// +infinity last.
    let internal grid (data: RecordedCascade) (rows: int[]) stage count =
        let sorted =
            head rows |> Array.map (fun q -> data.Confidence[q * data.Stages + stage]) |> Array.filter (Double.IsNaN >> not) |> Array.sort
        [| 0.0
           if sorted.Length > 0 then
               for g in 1 .. count - 1 do
                   sorted[g * sorted.Length / count]
           infinity |]
        |> Array.distinct

    let internal singles (data: RecordedCascade) =
        Array.init data.Stages (fun k -> ThresholdCascade.Fixed(data.Stages, k) :> IStoppingPolicy)

    /// Mixtures of single models: the hull of the fixed choices. Parameter: the stage.
    [<CompiledName "Mixtures">]
    let mixtures (data: RecordedCascade) (rows: int[]) : FittedFamily =
        onHull "mixture" data rows (Array.init data.Stages float) (singles data)

    /// The full chain with one threshold for all stages, on a grid of all confidences. Parameter: the threshold.
    [<CompiledName "CommonThreshold">]
    let commonThreshold (data: RecordedCascade) (rows: int[]) : FittedFamily =
        let n = data.Stages
        let thresholds = Array.init n (fun k -> grid data rows k 64) |> Array.concat |> Array.distinct |> Array.sort
        let step = max 1 (thresholds.Length / 128)
        let thresholds = thresholds |> Array.indexed |> Array.filter (fun (i, _) -> i % step = 0) |> Array.map snd
        let parameter = Array.append thresholds [| infinity |] |> Array.distinct
        let policies = parameter |> Array.map (fun t -> ThresholdCascade(n, Array.init n id, Array.create (n - 1) t) :> IStoppingPolicy)
        onHull "threshold" data rows parameter policies

    /// The envelope of all two-model cascades: every pair, 64 thresholds each, and the single models. The parameter is the
    /// position on the hull (0 = cheapest).
    [<CompiledName "PairEnvelope">]
    let pairEnvelope (data: RecordedCascade) (rows: int[]) : FittedFamily =
        let n = data.Stages
        let pairs =
            [| for i in 0 .. n - 1 do
                   let thresholds = grid data rows i 64
                   for j in i + 1 .. n - 1 do
                       for t in thresholds do
                           ThresholdCascade(n, [| i; j |], [| t |]) :> IStoppingPolicy |]
        let family = onHull "pair-envelope" data rows (Array.zeroCreate (n + pairs.Length)) (Array.append (singles data) pairs)
        { family with Parameter = Array.init family.Policies.Length float }

    /// FrugalGPT's cascade (Chen, Zaharia and Zou 2023): at most three models in a row, each with a threshold on a score of
    /// its answer; models and thresholds are chosen together. The confidences of the data are the scores. Pairs have 32
    /// thresholds, chains of three 8 for each; at most 3,000 queries choose. The parameter is the position on the hull.
    [<CompiledName "ScoredChains">]
    let scoredChains (data: RecordedCascade) (rows: int[]) : FittedFamily =
        let n = data.Stages
        let rows = if rows.Length > 3000 then Array.sub rows 0 3000 else rows
        let fine, coarse = Array.init n (fun k -> grid data rows k 32), Array.init n (fun k -> grid data rows k 8)
        let chains =
            [| for i in 0 .. n - 1 do
                   for j in i + 1 .. n - 1 do
                       for t in fine[i] do
                           ThresholdCascade(n, [| i; j |], [| t |]) :> IStoppingPolicy
                       for k in j + 1 .. n - 1 do
                           for t in coarse[i] do
                               for u in coarse[j] do
                                   ThresholdCascade(n, [| i; j; k |], [| t; u |]) :> IStoppingPolicy |]
        let family = onHull "frugal-gpt" data rows (Array.zeroCreate (n + chains.Length)) (Array.append (singles data) chains)
        { family with Parameter = Array.init family.Policies.Length float }

    /// AutoMix's rule (Madaan et al. 2023), with any confidence in place of its self-verification: the cheapest model answers
    /// first; its confidence, in ten bins, tells what every model's answer is worth on average, and the best of stopping and
    /// asking one larger model, which then answers, is done. One operating point for each price of cost.
    [<CompiledName "OneLook">]
    let oneLook (data: RecordedCascade) (rows: int[]) (lambdas: float[]) : FittedFamily =
        let n, bins = data.Stages, 10
        let known = rows |> Array.filter (fun q -> data.IsRecorded(q, 0))
        let edges = grid data known 0 bins |> Array.filter (fun t -> t > 0.0 && t < infinity)
        let look = OneLookPolicy.Bin edges
        let cells = edges.Length + 2
        let worth = Array.init cells (fun _ -> Array.zeroCreate<float> n)
        let price = Array.init n (fun k -> data.MeanCost(rows, k))
        let overall = Array.init n (fun k -> data.MeanQuality(rows, k))
        for cell in 0 .. cells - 1 do
            let own = known |> Array.filter (fun q -> look data.Confidence[q * n] = cell)
            for k in 0 .. n - 1 do
                let seen = own |> Array.filter (fun q -> data.IsRecorded(q, k))
                let sum = seen |> Array.sumBy (fun q -> data.Quality[q * n + k])
                // One query's weight of the mean over all bins, so that an empty bin has a value.
                worth[cell][k] <- (sum + overall[k]) / float (seen.Length + 1)
        let policy lambda =
            let choice =
                worth
                |> Array.map (fun w ->
                    [| 0 .. n - 1 |]
                    |> Array.filter (fun k -> not (Double.IsNaN w[k]))
                    |> Array.maxBy (fun k -> w[k] - (if k = 0 then 0.0 else lambda * price[k])))
            OneLookPolicy(n, edges, choice) :> IStoppingPolicy
        let sorted = lambdas |> Array.sortDescending
        onHull "automix" data rows sorted (sorted |> Array.map policy)

    /// The full chain with a threshold of its own for each stage, on a grid of 32 quantiles per stage: for each price
    /// of cost, coordinate ascent from the last stage to the first, from two starts (never stop early, always stop at
    /// once). Each step finds the best threshold of one stage given the others exactly, so the training reward never
    /// falls; the better end is kept.
    [<CompiledName "ChainThresholds">]
    let chainThresholds (data: RecordedCascade) (rows: int[]) (lambdas: float[]) : FittedFamily =
        let n = data.Stages
        let rows = head rows
        let grids = Array.init (n - 1) (fun k -> grid data rows k 32)
        // Index of the largest grid threshold that the confidence reaches; -1 for none reported.
        let bin =
            Array.init (n - 1) (fun k ->
                rows
                |> Array.map (fun q ->
                    let c = data.Confidence[q * n + k]
                    if Double.IsNaN c then -1 else Array.FindLastIndex(grids[k], fun t -> c >= t)))

        /// Entry i * n + k: quality - lambda * cost of stopping at stage k. A stage that is not recorded is passed
        /// over: it earns what the latest before it does.
        let rewards lambda =
            let reward = Array.zeroCreate<float>(rows.Length * n)
            for i in 0 .. rows.Length - 1 do
                let mutable spent, latest = 0.0, nan
                for k in 0 .. n - 1 do
                    let e = rows[i] * n + k
                    if data.IsRecorded(rows[i], k) then
                        spent <- spent + data.Cost[e]
                        latest <- data.Quality[e] - lambda * spent
                    reward[i * n + k] <- latest
            reward

        let rec stopFrom (thresholds: int[]) i k = if k = n - 1 || bin[k][i] >= thresholds[k] then k else stopFrom thresholds i (k + 1)

        let bestThreshold (reward: float[]) (thresholds: int[]) k =
            let gain = Array.zeroCreate<float> grids[k].Length
            for i in 0 .. rows.Length - 1 do
                if bin[k][i] >= 0 && stopFrom thresholds i 0 >= k then
                    let difference = reward[i * n + k] - reward[i * n + stopFrom thresholds i (k + 1)]
                    if not (Double.IsNaN difference) then gain[bin[k][i]] <- gain[bin[k][i]] + difference
            // Stopping from threshold t upwards earns the sum of the gains from t on.
            let mutable best, at, sum = 0.0, grids[k].Length - 1, 0.0
            for t in grids[k].Length - 1 .. -1 .. 0 do
                sum <- sum + gain[t]
                if sum > best + 1e-12 then
                    best <- sum
                    at <- t
            at

        let ascend (reward: float[]) (start: int[]) =
            let thresholds = Array.copy start
            let mutable sweeps, moved = 0, true
            while moved && sweeps < 10 do
                moved <- false
                sweeps <- sweeps + 1
                for k in n - 2 .. -1 .. 0 do
                    let at = bestThreshold reward thresholds k
                    if at <> thresholds[k] then
                        thresholds[k] <- at
                        moved <- true
            let mutable total = 0.0
            for i in 0 .. rows.Length - 1 do
                let r = reward[i * n + stopFrom thresholds i 0]
                if not (Double.IsNaN r) then total <- total + r
            total, thresholds

        let sorted = lambdas |> Array.sortDescending
        let policies =
            sorted
            |> Array.Parallel.map (fun lambda ->
                let reward = rewards lambda
                let never = grids |> Array.map (fun g -> g.Length - 1)
                let _, thresholds = [| ascend reward never; ascend reward (Array.zeroCreate (n - 1)) |] |> Array.maxBy fst
                ThresholdCascade(n, Array.init n id, Array.init (n - 1) (fun k -> grids[k][thresholds[k]])) :> IStoppingPolicy)
        onHull "chain-thresholds" data rows sorted policies

    /// The oracle at a price of cost: knows every quality in advance and runs only the stage with the largest
    /// quality - lambda * cost (ties go to the cheaper stage). No policy can do better on any query.
    [<CompiledName "Oracle">]
    let oracle (data: RecordedCascade) (rows: int[]) (lambda: float) : ReplayOutcome =
        let n = data.Stages
        let stage =
            rows
            |> Array.map (fun q ->
                let mutable best = -1
                let value k = data.Quality[q * n + k] - lambda * data.Cost[q * n + k]
                for k in 0 .. n - 1 do
                    if data.IsRecorded(q, k) then
                        if
                            best < 0 || value k > value best || (value k = value best && data.Cost[q * n + k] < data.Cost[q * n + best])
                        then
                            best <- k
                best)
        { Cost = Array.map2 (fun q k -> data.Cost[q * n + k]) rows stage
          Quality = Array.map2 (fun q k -> data.Quality[q * n + k]) rows stage
          Stage = stage }

    /// Random stopping on the full chain: stops at stage k with probability proportional to exp(tilt * k), whatever
    /// the confidences (tilt 0: uniform). Costs and qualities are expectations over the stopping stage, so there is no
    /// sampling noise; Stage is -1.
    [<CompiledName "RandomStop">]
    let randomStop (data: RecordedCascade) (rows: int[]) (tilt: float) : ReplayOutcome =
        let n = data.Stages
        let weight = Array.init n (fun k -> exp (tilt * float k - (if tilt > 0.0 then tilt * float (n - 1) else 0.0)))
        let cost = Array.zeroCreate rows.Length
        let quality = Array.zeroCreate rows.Length
        for i in 0 .. rows.Length - 1 do
            let mutable spent, total, c, v = 0.0, 0.0, 0.0, 0.0
            for k in 0 .. n - 1 do
                if data.IsRecorded(rows[i], k) then
                    spent <- spent + data.Cost[rows[i] * n + k]
                    total <- total + weight[k]
                    c <- c + weight[k] * spent
                    v <- v + weight[k] * data.Quality[rows[i] * n + k]
            cost[i] <- c / total
            quality[i] <- v / total
        { Cost = cost; Quality = quality; Stage = Array.create rows.Length -1 }
