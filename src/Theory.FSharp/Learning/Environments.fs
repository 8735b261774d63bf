namespace OptimalStopping.Theory

open System

/// Where queries come from: an i.i.d. distribution of outcomes that is known exactly, so that regret can be computed rather than
/// estimated. Values leave the first stage's sunk cost out. Methods other than Draw may be called by several threads; Draw
/// too, with different generators and buffers.
type IEnvironment =
    abstract Stages: int
    abstract Bins: int
    /// B: an upper bound of 1 + lambda (C_n - C_1) over all outcomes.
    abstract Range: float
    /// Mean lambda-cost of going on from each stage; n-1 entries.
    abstract ContinueCosts: float[]
    /// Fills the buffers with the next outcome.
    abstract Draw: random: SplitMix64 * outcome: Outcome -> unit
    /// Exact expected reward of a reactive policy (a stop table, (n-1) x m).
    abstract Value: stop: bool[][] -> float
    /// Exact expected reward of every policy of a policy class, in order.
    abstract ClassValues: policyClass: PolicyClass -> float[]
    /// Best expected reward of all policies that may use the whole history of signals.
    abstract OptimalValue: float

/// A finite pool of recorded outcomes, drawn uniformly with replacement.
[<Sealed>]
type Pool private (bins: int, outcomes: Outcome[], continueCosts: float[], range: float) =
    let n = outcomes[0].Bins.Length
    let rows = float outcomes.Length

    // The tree of signal histories: node i stands for a prefix s_1 .. s_k. Children are contiguous.
    let nodeBin = ResizeArray<int>()
    let nodeReward = ResizeArray<float>() // total reward, over the pool, of stopping here
    let nodeFirst = ResizeArray<int>()
    let nodeLast = ResizeArray<int>()
    // One path and the per-stage total rewards of its rows, for each distinct path of the first n-1 bins.
    let cells = ResizeArray<struct (int[] * float[])>()

    let rec build level (members: int[]) : unit =
        // Appends one node per bin at this level for rows that share a prefix, then their children.
        let groups = members |> Array.groupBy (fun r -> outcomes[r].Bins[level]) |> Array.sortBy fst
        let start = nodeBin.Count
        for bin, group in groups do
            nodeBin.Add bin
            nodeReward.Add(group |> Array.sumBy (fun r -> Outcome.Reward(outcomes[r], level)))
            nodeFirst.Add 0
            nodeLast.Add 0
        groups
        |> Array.iteri (fun i (_, group) ->
            if level < n - 1 then
                nodeFirst[start + i] <- nodeBin.Count
                build (level + 1) group
                nodeLast[start + i] <- nodeFirst[start + i] + (group |> Array.distinctBy (fun r -> outcomes[r].Bins[level + 1])).Length)

    do
        build 0 [| 0 .. outcomes.Length - 1 |]
        for _, group in [| 0 .. outcomes.Length - 1 |] |> Array.groupBy (fun r -> String.Join(',', outcomes[r].Bins[.. n - 2])) do
            cells.Add(
                struct (outcomes[group[0]].Bins, Array.init n (fun k -> group |> Array.sumBy (fun r -> Outcome.Reward(outcomes[r], k))))
            )

    let roots = outcomes |> Array.distinctBy (fun o -> o.Bins[0]) |> Array.length
    let bin, reward, first, last = nodeBin.ToArray(), nodeReward.ToArray(), nodeFirst.ToArray(), nodeLast.ToArray()

    let rec total (stop: bool[][]) level start ending =
        let mutable sum = 0.0
        for i in start .. ending - 1 do
            sum <- sum + (if level = n - 1 || stop[level][bin[i]] then reward[i] else total stop (level + 1) first[i] last[i])
        sum

    let rec best level start ending =
        let mutable sum = 0.0
        for i in start .. ending - 1 do
            sum <- sum + (if level = n - 1 then reward[i] else max reward[i] (best (level + 1) first[i] last[i]))
        sum

    let optimal = best 0 0 roots / rows

    /// A pool of recorded queries: bins[row][stage] in 0 .. binCount-1, qualities[row][stage] in [0,1] and each stage's own
    /// (not cumulative) cost costs[row][stage] >= 0, priced at lambda >= 0. Throws ArgumentException, naming row and stage.
    static member Create(bins: int[][], qualities: float[][], costs: float[][], lambda: float, binCount: int) : Pool =
        if bins.Length = 0 || qualities.Length <> bins.Length || costs.Length <> bins.Length then
            raise (
                ArgumentException(
                    $"expected the same number of rows, at least 1: {bins.Length} bins, {qualities.Length} qualities, \
                                       {costs.Length} costs"
                )
            )
        if not (lambda >= 0.0 && Double.IsFinite lambda) then
            raise (ArgumentOutOfRangeException(nameof lambda, lambda, "expected a finite number of at least 0"))
        let n = bins[0].Length
        if n = 0 then raise (ArgumentException "expected at least one stage")
        for r in 0 .. bins.Length - 1 do
            if bins[r].Length <> n || qualities[r].Length <> n || costs[r].Length <> n then
                raise (ArgumentException($"row {r}: expected {n} stages, as row 0 has"))
            for k in 0 .. n - 1 do
                if bins[r][k] < 0 || bins[r][k] >= binCount then
                    raise (ArgumentException($"row {r}, stage {k}: bin {bins[r][k]}, expected 0 .. {binCount - 1}"))
                if not (qualities[r][k] >= 0.0 && qualities[r][k] <= 1.0) then
                    raise (ArgumentException($"row {r}, stage {k}: quality {qualities[r][k]}, expected [0,1]"))
                if not (costs[r][k] >= 0.0 && Double.IsFinite(costs[r][k])) then
                    raise (ArgumentException($"row {r}, stage {k}: cost {costs[r][k]}, expected a finite number of at least 0"))
        let outcomes =
            Array.init bins.Length (fun r ->
                { Bins = Array.copy bins[r]
                  Qualities = Array.copy qualities[r]
                  Costs = costs[r][1..] |> Array.scan (fun sum c -> sum + lambda * c) 0.0 })
        let meanCosts = Array.init (n - 1) (fun k -> lambda * (costs |> Array.averageBy (fun row -> row[k + 1])))
        Pool(binCount, outcomes, meanCosts, 1.0 + (outcomes |> Array.map (fun o -> o.Costs[n - 1]) |> Array.max))

    /// Number of recorded queries.
    member _.Count = outcomes.Length

    /// One recorded query (not a copy).
    member _.Item
        with get (row: int): Outcome = outcomes[row]

    interface IEnvironment with
        member _.Stages = n
        member _.Bins = bins
        member _.Range = range
        member _.ContinueCosts = continueCosts
        member _.Draw(random, outcome) =
            let row = outcomes[random.NextIndex outcomes.Length]
            Array.blit row.Bins 0 outcome.Bins 0 n
            Array.blit row.Qualities 0 outcome.Qualities 0 n
            Array.blit row.Costs 0 outcome.Costs 0 n
        member _.Value(stop) = total stop 0 0 roots / rows
        member _.ClassValues(policyClass) =
            let index, values = PolicyIndex policyClass, Array.zeroCreate (PolicyClass.Size policyClass)
            for struct (path, rewards) in cells do
                index.Add(values, path, rewards)
            values |> Array.map (fun v -> v / rows)
        member _.OptimalValue = optimal

/// A mixture of Markov chains with Bernoulli qualities: the type of a query is drawn first and never shown. One chain alone
/// satisfies the Markov assumption; a mixture in general does not.
[<Sealed>]
type ChainMixture(weights: float[], models: ChainModel[]) =
    do
        if models.Length = 0 || weights.Length <> models.Length then
            raise (ArgumentException $"expected as many weights as models, at least one: {weights.Length}, {models.Length}")
        if weights |> Array.exists (fun w -> not (w >= 0.0)) || abs (Array.sum weights - 1.0) > 1e-9 then
            raise (ArgumentException("expected weights of at least 0 that sum to 1", nameof weights))
        models |> Array.iter Chain.validate
        if models |> Array.exists (fun x -> x.ContinueCosts <> models[0].ContinueCosts || x.Initial.Length <> models[0].Initial.Length) then
            raise (ArgumentException("expected models of the same stages, bins and costs", nameof models))
    let n, m = models[0].Means.Length, models[0].Initial.Length
    let costs = models[0].ContinueCosts
    let cumulative = Array.scan (+) 0.0 costs

    let draw (distribution: float[]) (random: SplitMix64) =
        let u = random.NextDouble()
        let mutable i, sum = 0, distribution[0]
        while sum <= u && i < distribution.Length - 1 do
            i <- i + 1
            sum <- sum + distribution[i]
        // Rounding may run past the last bin that has mass.
        while distribution[i] = 0.0 && i > 0 do
            i <- i - 1
        i

    let optimal =
        if models.Length = 1 then
            Chain.optimalValue models[0]
        else
            // belief[c] = P(type c and the history so far); impossible histories are pruned.
            let rec value k s (belief: float[]) =
                let now = Array.fold2 (fun sum b (x: ChainModel) -> sum + b * x.Means[k].[s]) 0.0 belief models
                if k = n - 1 then
                    now
                else
                    let mutable onward = -costs[k] * Array.sum belief
                    for t in 0 .. m - 1 do
                        let next = Array.map2 (fun b (x: ChainModel) -> b * x.Kernels[k].[s].[t]) belief models
                        if Array.sum next > 0.0 then onward <- onward + value (k + 1) t next
                    max now onward
            Seq.sum (seq { for s in 0 .. m - 1 -> value 0 s (Array.map2 (fun w (x: ChainModel) -> w * x.Initial[s]) weights models) })

    /// One Markov chain.
    new(model: ChainModel) = ChainMixture([| 1.0 |], [| model |])

    interface IEnvironment with
        member _.Stages = n
        member _.Bins = m
        member _.Range = Chain.range models[0]
        member _.ContinueCosts = costs
        member _.Draw(random, outcome) =
            let model = if models.Length = 1 then models[0] else models[draw weights random]
            for k in 0 .. n - 1 do
                let distribution = if k = 0 then model.Initial else model.Kernels[k - 1].[outcome.Bins[k - 1]]
                outcome.Bins[k] <- draw distribution random
                outcome.Qualities[k] <- if random.NextDouble() < model.Means[k].[outcome.Bins[k]] then 1.0 else 0.0
                outcome.Costs[k] <- cumulative[k]
        member _.Value(stop) = Array.fold2 (fun sum w model -> sum + w * Chain.value (model, stop)) 0.0 weights models
        member _.ClassValues(policyClass) =
            let values = models |> Array.map (fun model -> ChainPolicyClasses.ruleValues (policyClass.Rules, model))
            Array.init values[0].Length (fun i -> Array.fold2 (fun sum w (v: float[]) -> sum + w * v[i]) 0.0 weights values)
        member _.OptimalValue = optimal

/// The named simulated instances of theory section 8. Model costs are (1, 2, 4.5, 10) for four stages, else geometric from 1
/// to 10; the price lambda is such that running all stages costs 0.3 (aliased: 0.1) of reward.
[<RequireQualifiedAccess>]
module Instances =

    /// Costs of the n models relative to the smallest.
    [<CompiledName "Costs">]
    let costs (stages: int) : float[] =
        if stages < 1 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 1"))
        if stages = 4 then
            [| 1.0; 2.0; 4.5; 10.0 |]
        else
            Array.init stages (fun k -> Math.Pow(10.0, float k / float (max 1 (stages - 1))))

    let private continueCosts stages (whole: float) =
        let c = costs stages
        c[1..] |> Array.map (fun x -> whole * x / Array.sum c)

    let private check (stages: int) (bins: int) =
        if stages < 2 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 2"))
        if bins < 2 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 2"))

    /// Noisy autoregressive signals and means that rise with the bin and with the stage: a regular cascade, where thresholds
    /// are close to optimal.
    [<CompiledName "Structured">]
    let structured (stages: int, bins: int, seed: uint64) : ChainModel =
        check stages bins
        let random = SplitMix64 seed
        let uniform low high = low + (high - low) * random.NextDouble()
        let centre s = (float s + 0.5) / float bins
        let bell at width =
            let w = Array.init bins (fun s -> exp (-0.5 * ((centre s - at) / width) ** 2.0))
            w |> Array.map (fun x -> x / Array.sum w)
        let initial = bell (uniform 0.3 0.5) (uniform 0.2 0.35)
        let kernels =
            Array.init (stages - 1) (fun _ ->
                let memory, level, width = uniform 0.4 0.9, uniform 0.5 0.8, uniform 0.1 0.3
                Array.init bins (fun s -> bell (memory * centre s + (1.0 - memory) * level) width))
        let means =
            Array.init stages (fun k ->
                let rank = float k / float (stages - 1)
                let low, high, power = uniform 0.05 0.15 + 0.15 * rank, uniform 0.8 0.9 + 0.08 * rank, uniform 0.7 1.5
                Array.init bins (fun s -> low + (high - low) * Math.Pow(centre s, power)))
        { Initial = initial; Kernels = kernels; Means = means; ContinueCosts = continueCosts stages 0.3 }

    /// Random kernels and means: the best threshold policy is far from optimal.
    [<CompiledName "Unstructured">]
    let unstructured (stages: int, bins: int, seed: uint64) : ChainModel =
        check stages bins
        let random = SplitMix64 seed
        // Gamma(1/2) weights: Dirichlet(1/2) rows, most mass on a few bins.
        let sampling = Sampling random
        let distribution () =
            let w = Array.init bins (fun _ -> sampling.Gamma 0.5 + 1e-12)
            w |> Array.map (fun x -> x / Array.sum w)
        { Initial = distribution ()
          Kernels = Array.init (stages - 1) (fun _ -> Array.init bins (fun _ -> distribution ()))
          Means = Array.init stages (fun _ -> Array.init bins (fun _ -> random.NextDouble()))
          ContinueCosts = continueCosts stages 0.3 }

    /// Two equally likely types told apart by the first signal only (bin 0: type A, 1: type B), which the later, constant
    /// signals hide: not Markov. The first stage's mean quality is .35, the middle ones' .2; the last one's is .95 for A and
    /// .05 for B. The best policy goes on iff bin 0; a Markov learner believes that going on pays for B too. n >= 3.
    [<CompiledName "Aliased">]
    let aliased (stages: int) : ChainMixture =
        if stages < 3 then
            raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 3: some stage must hide the type"))
        let kind bin last =
            { Initial = Array.init 2 (fun s -> if s = bin then 1.0 else 0.0)
              Kernels = Array.init (stages - 1) (fun _ -> Array.init 2 (fun _ -> [| 1.0; 0.0 |]))
              Means =
                Array.init stages (fun k ->
                    Array.create
                        2
                        (if k = 0 then 0.35
                         elif k = stages - 1 then last
                         else 0.2))
              ContinueCosts = continueCosts stages 0.1 }
        ChainMixture([| 0.5; 0.5 |], [| kind 0 0.95; kind 1 0.05 |])
