namespace OptimalStopping.Theory.Policies

open System
open OptimalStopping.Theory

/// What a comparison of policy families on held-out queries found.
type FamilySelection =
    {
        /// Held-out area under the curve of each family, over the costs from the cheapest to the best single model.
        Score: float[]
        /// Standard error of the best family's lead over each; 0 for the best itself.
        Error: float[]
        /// The family that is taken.
        Chosen: int
    }

/// Chooses between policy families by cross-validation. Each fold holds what every family, fitted without the fold's
/// queries, did on them; the comparison is paired by query. The families stand from the simplest to the richest: the richest
/// whose score lies within `slack` standard errors of the best is taken, and of equal scores the simplest. The scores of a
/// few hundred queries are noisy, and on other cascades the richer family was better more often than not: taking the simplest
/// within a standard error instead lost 0.4 to 0.7 points of area with 1,000 queries and gained nothing with 100.
[<RequireQualifiedAccess>]
module FamilyChoice =

    let private resamples = 200

    /// Area of the curve of one fold when group g counts weight[g] times.
    let private area (points: GroupedOutcome[]) (models: GroupedOutcome[]) low high (weight: int[]) =
        let dot (sums: float[]) : float =
            let mutable s = 0.0
            for g in 0 .. sums.Length - 1 do
                s <- s + sums[g] * float (weight[g])
            s
        let queries =
            let total = models[0].Queries
            let mutable n = 0.0
            for g in 0 .. weight.Length - 1 do
                n <- n + float (weight[g]) * float ((total - g + weight.Length - 1) / weight.Length)
            n
        let cost, quality = points |> Array.map (fun p -> dot p.Cost / queries), points |> Array.map (fun p -> dot p.Quality / queries)
        // A curve that begins above the cheapest model is joined to it, as CurveMetrics does.
        let cheapest = models |> Array.minBy (fun m -> dot m.Cost)
        let start = dot cheapest.Cost / queries
        let cost, quality =
            if Array.min cost <= start then
                cost, quality
            else
                Array.append [| start |] cost, Array.append [| dot cheapest.Quality / queries |] quality
        let order = Frontier.order cost quality
        Frontier.area (order |> Array.map (fun i -> cost[i])) (order |> Array.map (fun i -> quality[i])) low high

    /// folds: per fold and family, the held-out outcomes of the family's operating points. models: per fold, those of the
    /// single models. All outcomes of a fold have the same groups of queries. slack: one for each family, at least 0.
    /// Raises ArgumentException where there is no fold or no family, or not one slack for each.
    [<CompiledName "Choose">]
    let choose (folds: GroupedOutcome[][][], models: GroupedOutcome[][], slack: float[]) : FamilySelection =
        if folds.Length = 0 || folds[0].Length = 0 then invalidArg (nameof folds) "expected at least one fold and one family"
        let families = folds[0].Length
        if slack.Length <> families then
            invalidArg (nameof slack) $"expected {families}, one for each family, got {slack.Length}"
        let total = models |> Array.sumBy (fun m -> float m.[0].Queries)
        let mean (value: GroupedOutcome -> float) k = models |> Array.sumBy (fun m -> value (m[k]) * float (m[k].Queries) / total)
        let stages = [| 0 .. models[0].Length - 1 |]
        let low = stages |> Array.map (mean _.MeanCost) |> Array.min
        let best = stages |> Array.maxBy (mean _.MeanQuality)
        let high = max low (mean _.MeanCost best)
        let score (weights: int[][]) family =
            let mutable s = 0.0
            for f in 0 .. folds.Length - 1 do
                s <- s + (area folds.[f].[family] models.[f] low high weights.[f]) * float models.[f].[0].Queries / total
            s
        let ones = models |> Array.map (fun m -> Array.create (m[0].Cost.Length) 1)
        let scores = Array.init families (score ones)
        let winner = Array.IndexOf(scores, Array.max scores)
        let random = SplitMix64 0x5E1EC7UL
        let draws =
            Array.init resamples (fun _ ->
                ones
                |> Array.map (fun groups ->
                    let weight = Array.zeroCreate<int> groups.Length
                    for _ in 1 .. groups.Length do
                        let g = int (random.NextDouble() * float groups.Length)
                        weight[g] <- weight[g] + 1
                    weight))
        let samples = draws |> Array.Parallel.map (fun weights -> Array.init families (score weights))
        let error =
            Array.init families (fun c ->
                let leads = samples |> Array.map (fun s -> s[winner] - s[c])
                let mean = Array.average leads
                sqrt (leads |> Array.averageBy (fun l -> (l - mean) * (l - mean))))
        let within = seq { families - 1 .. -1 .. 0 } |> Seq.find (fun c -> scores[c] + slack[c] * error[c] >= scores[winner])
        let chosen = seq { 0..within } |> Seq.find (fun c -> abs (scores[c] - scores[within]) < 1e-9)
        { Score = scores; Error = error; Chosen = chosen }
