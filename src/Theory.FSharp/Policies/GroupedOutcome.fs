namespace OptimalStopping.Theory.Policies

open System

/// What a policy did on many queries, summed over groups of queries (query i is in group i mod Groups): enough for
/// means and for resampling them, in memory that does not grow with the number of queries.
type GroupedOutcome =
    {
        /// Sum of the costs in each group.
        Cost: float[]
        /// Sum of the qualities in each group.
        Quality: float[]
        /// Queries answered by each stage; NaN where the policy does not answer with one stage.
        Stops: float[]
        Queries: int
    }

    member this.MeanCost = Array.sum this.Cost / float this.Queries
    member this.MeanQuality = Array.sum this.Quality / float this.Queries

    /// Runs a policy on the given queries.
    static member Replay(policy: IStoppingPolicy, data: RecordedCascade, rows: int[], groups: int) : GroupedOutcome =
        let cost = Array.zeroCreate groups
        let quality = Array.zeroCreate groups
        let stops = Array.zeroCreate data.Stages
        for i in 0 .. rows.Length - 1 do
            let struct (c, k) = Replay.query (policy, data, rows[i])
            let g = i % groups
            cost[g] <- cost[g] + c
            quality[g] <- quality[g] + data.Quality[rows[i] * data.Stages + k]
            stops[k] <- stops[k] + 1.0
        { Cost = cost; Quality = quality; Stops = stops; Queries = rows.Length }

    /// Sums an outcome that was computed query by query.
    static member OfOutcome(outcome: ReplayOutcome, stages: int, groups: int) : GroupedOutcome =
        let cost = Array.zeroCreate groups
        let quality = Array.zeroCreate groups
        let stops = Array.create stages (if Array.contains -1 outcome.Stage then nan else 0.0)
        for i in 0 .. outcome.Cost.Length - 1 do
            let g = i % groups
            cost[g] <- cost[g] + outcome.Cost[i]
            quality[g] <- quality[g] + outcome.Quality[i]
            if outcome.Stage[i] >= 0 then stops[outcome.Stage[i]] <- stops[outcome.Stage[i]] + 1.0
        { Cost = cost; Quality = quality; Stops = stops; Queries = outcome.Cost.Length }
