namespace OptimalStopping.Theory.Policies

open System
open System.Threading.Tasks
open OptimalStopping.Theory

/// Runs all operating points of a family on many queries at once. The points of a planned family differ only in their
/// continuation values, those of a cascade router only in their prices, so what a query's states show is computed once
/// for all of them; the result is the same as replaying them one by one, several times sooner.
[<RequireQualifiedAccess>]
module FamilyReplay =

    let private dot (beta: float[]) (x: float[]) at =
        let mutable v = 0.0
        for j in 0 .. beta.Length - 1 do
            v <- v + beta[j] * x[at + j]
        v

    /// What is known of one query: per state, its columns and its best answer, computed when first asked for.
    [<Sealed>]
    type private Query(policy: PlannedPolicy, data: RecordedCascade) =
        let n = data.Stages
        let offset = policy.Bases |> Array.scan (fun at b -> at + b.Width) 0
        let columns = Array.zeroCreate<float>(Array.last offset)
        let known = Array.create policy.Bases.Length -1
        let stopValue = Array.zeroCreate<float> policy.Bases.Length
        let stopStage = Array.zeroCreate<int> policy.Bases.Length

        member private _.Learn(state: int, q: int) =
            let basis = policy.Bases[state]
            let answer = if data.HasAnswers then ReadOnlySpan(data.Answer, q * n, n) else ReadOnlySpan<int>.Empty
            let context = ReadOnlySpan(data.Context, q * data.ContextWidth, data.ContextWidth)
            basis.Fill(
                Observation(0u, ReadOnlySpan(data.Confidence, q * n, n), answer, context),
                Span<float>(columns, offset[state], basis.Width)
            )
            stopValue[state] <- -infinity
            for a in 0 .. policy.Answers[state].Length - 1 do
                let v = min 1.0 (max 0.0 (dot (policy.Stop[state][a]) columns (offset[state])))
                if v > stopValue[state] then
                    stopValue[state] <- v
                    stopStage[state] <- policy.Answers[state][a]
            known[state] <- q

        /// The decision of one of the family's policies in a state; PlannedPolicy's rule.
        member this.Decide(point: PlannedPolicy, state: int, q: int) : Decision =
            if known[state] <> q then this.Learn(state, q)
            let mutable best = stopValue[state]
            let mutable next = -1
            for a in 0 .. point.Next[state].Length - 1 do
                let v = dot (point.Go[state][a]) columns (offset[state])
                if v > best then
                    best <- v
                    next <- point.Next[state][a]
            if next < 0 then Decision.StopWith(stopStage[state]) else Decision.GoTo next

    /// The members of one family as policies that share what they learn of a query, and the way to tell them its row;
    /// None when the policies are not of one family.
    let private sharing (policies: IStoppingPolicy[]) (data: RecordedCascade) : (IStoppingPolicy[] * (int -> unit)) option =
        let all choose = let chosen = Array.choose choose policies in if chosen.Length = policies.Length then chosen else [||]
        let planned =
            all (fun p ->
                match p with
                | :? PlannedPolicy as x -> Some x
                | _ -> None)
        let routers =
            all (fun p ->
                match p with
                | :? CascadeRouter as x -> Some x
                | _ -> None)
        if planned.Length > 0 && planned |> Array.forall (fun p -> Object.ReferenceEquals(p.Stop, planned[0].Stop)) then
            let query = Query(planned[0], data)
            let at = ref -1
            let view (point: PlannedPolicy) =
                { new IStoppingPolicy with
                    member _.Stages = point.Space.Stages
                    member _.Decide(observation) = query.Decide(point, point.Space.IndexOf observation.Ran, at.Value) }
            Some(planned |> Array.map view, fun q -> at.Value <- q)
        elif routers.Length > 0 && routers |> Array.forall (fun p -> Object.ReferenceEquals(p.Estimates, routers[0].Estimates)) then
            let memory = RouterMemory(routers[0].Estimates, data)
            Some(routers |> Array.map memory.View, fun q -> memory.Row <- q)
        else
            None

    let private replayGroups
        (policies: IStoppingPolicy[])
        (tell: int -> unit)
        (data: RecordedCascade)
        (rows: int[])
        groups
        first
        last
        (result: GroupedOutcome[])
        =
        let stops = policies |> Array.map (fun _ -> Array.zeroCreate<float> data.Stages)
        for g in first .. last - 1 do
            for i in g..groups .. rows.Length - 1 do
                tell rows[i]
                for p in 0 .. policies.Length - 1 do
                    let struct (cost, stage) = Replay.query (policies[p], data, rows[i])
                    result[p].Cost[ g ] <- result[p].Cost[g] + cost
                    result[p].Quality[ g ] <- result[p].Quality[g] + data.Quality[rows[i] * data.Stages + stage]
                    stops[p][stage] <- stops[p][stage] + 1.0
        stops

    /// Runs every policy on the given queries; query i counts in group i mod groups. The result does not depend on the
    /// number of threads.
    [<CompiledName "Run">]
    let run (policies: IStoppingPolicy[], data: RecordedCascade, rows: int[], groups: int) : GroupedOutcome[] =
        if (sharing policies data).IsSome then
            let result =
                policies
                |> Array.map (fun _ ->
                    { Cost = Array.zeroCreate groups
                      Quality = Array.zeroCreate groups
                      Stops = Array.zeroCreate data.Stages
                      Queries = rows.Length })
            // A group belongs to one block, so each sum is made in one order; counts of stops are whole numbers.
            let blocks = min 16 groups
            let stops: float[][][] = Array.zeroCreate blocks
            Parallel.For(
                0,
                blocks,
                fun b ->
                    let members, tell = (sharing policies data).Value
                    stops[b] <- replayGroups members tell data rows groups (b * groups / blocks) ((b + 1) * groups / blocks) result
            )
            |> ignore
            for block in stops do
                for p in 0 .. policies.Length - 1 do
                    let total = result[p].Stops
                    for k in 0 .. total.Length - 1 do
                        total[k] <- total[k] + block[p][k]
            result
        else
            let result = Array.zeroCreate policies.Length
            Parallel.For(0, policies.Length, fun i -> result[i] <- GroupedOutcome.Replay(policies[i], data, rows, groups)) |> ignore
            result

/// A planned family with what its fit found out.
type FittedPlan =
    {
        Family: FittedFamily
        /// The estimator that cross-validation chose.
        Settings: EstimatorSettings
        /// Held-out AUC on the training part of each candidate, in the order of PlannedFamily.candidates.
        CandidateScores: float[]
        /// Cross-fitted mean cost and quality on the training part, one entry per operating point.
        HeldOutCost: float[]
        HeldOutQuality: float[]
    }

/// Fits the policies of an action set for a whole range of prices, with the estimator chosen by cross-validation.
[<RequireQualifiedAccess>]
module PlannedFamily =

    /// Training queries that the regressions use at most; more do not change them visibly.
    let private fitCap = 20_000
    /// Training queries that the choice of the estimator uses at most.
    let private choiceCap = 6_000
    /// Numbers in all design matrices together, at most: bounds memory on long cascades.
    let private designCap = 40_000_000

    let private window stages =
        if stages <= 4 then 4
        elif stages <= 7 then 3
        else 2

    /// The estimators that compete for a cascade and a number of training queries, from the most to the least regular.
    /// A shape competes only when there are ten queries for each column of its widest state, and realised rewards only
    /// from 1,000 queries on: below that their noise decides the competition more often than their merit.
    [<CompiledName "Candidates">]
    let candidates (stages: int, queries: int) : EstimatorSettings[] =
        let setting knots products penalty realised =
            { Shape = { Knots = knots; Products = products; Confidences = true }
              Penalty = penalty
              Realised = realised
              Window = window stages
              Folds = 5 }
        let widest (s: BasisShape) =
            let w = min stages (window stages)
            1 + w * (1 + s.Knots) + (if s.Products then w * (w - 1) / 2 else 0)
        [| setting 0 false 1000.0 0.0
           setting 0 false 100.0 0.0
           setting 0 false 30.0 0.0
           setting 0 false 10.0 0.0
           setting 2 false 100.0 0.0
           setting 2 false 30.0 0.0
           setting 2 false 10.0 0.5
           setting 4 false 30.0 0.0
           setting 4 false 10.0 0.0
           setting 4 false 10.0 0.5
           setting 8 true 10.0 0.5 |]
        |> Array.filter (fun s -> s.Shape.Knots = 0 || (10 * widest s.Shape <= queries && (s.Realised = 0.0 || queries >= 1000)))

    /// The estimator that is taken unless another one is clearly better: what did best on average over other cascades and
    /// sizes of the training part.
    let private preferred (settings: EstimatorSettings[]) queries =
        let index knots penalty realised =
            settings |> Array.tryFindIndex (fun s -> s.Shape.Knots = knots && s.Penalty = penalty && s.Realised = realised)
        [ if queries >= 1500 then index 4 10.0 0.5
          if queries >= 200 then index 2 30.0 0.0
          if queries >= 50 then index 0 30.0 0.0
          index 0 1000.0 0.0 ]
        |> List.pick id

    /// Chooses by held-out AUC. The scores of few queries are noisy, so the preferred estimator gives way only to one
    /// that is better by more than 0.1 / sqrt(queries).
    let internal choose (settings: EstimatorSettings[], scores: float[], queries: int) : EstimatorSettings =
        let home = preferred settings queries
        let best = Array.IndexOf(scores, Array.max scores)
        settings[if scores[best] > scores[home] + 0.1 / sqrt (float queries) then best else home]

    let private head (rows: int[]) cap = if rows.Length > cap then Array.sub rows 0 cap else rows

    let private planAll (planner: Planner) (lambdas: float[]) =
        let plans = Array.zeroCreate lambdas.Length
        // A plan needs room: no more at a time than there are processors.
        let workers = ParallelOptions(MaxDegreeOfParallelism = Environment.ProcessorCount)
        Parallel.For(0, lambdas.Length, workers, (fun i -> plans[i] <- planner.Plan lambdas[i])) |> ignore
        plans

    /// Prices of cost (quality per unit of cost), decreasing: geometric from one at which nothing but a cheapest stage
    /// can pay to one that hardly matters, then 0.
    [<CompiledName "Prices">]
    let prices (data: RecordedCascade, rows: int[], count: int) : float[] =
        let costs =
            [| for k in data.Writers do
                   let c = data.MeanCost(rows, k)
                   if c > 0.0 then c |]
        if costs.Length = 0 then
            [| 0.0 |]
        else
            let high, low = 1.0 / Array.min costs, 1e-3 / Array.max costs
            Array.append (Array.init count (fun i -> high * Math.Pow(low / high, float i / float (count - 1)))) [| 0.0 |]

    /// Inserts prices where neighbouring plans are far apart in cost, until the curve is even or has `most` points.
    let private refine (planner: Planner) (lambdas: float[]) most =
        let mutable plans = planAll planner lambdas
        let mutable growing = true
        while growing && plans.Length < most do
            let costs = plans |> Array.map (fun p -> p.HeldOutCost)
            let gap = (Array.max costs - Array.min costs) / 48.0
            let fresh =
                [| for i in 1 .. plans.Length - 1 do
                       let a, b = plans[i - 1].Lambda, plans[i].Lambda
                       let distance = abs (costs[i] - costs[i - 1])
                       if b > 0.0 && distance > gap && a / b > 1.01 then yield (distance, sqrt (a * b)) |]
                |> Array.sortByDescending fst
                |> Array.truncate (most - plans.Length)
                |> Array.map snd
            growing <- fresh.Length > 0
            plans <- Array.append plans (planAll planner fresh) |> Array.sortByDescending (fun p -> p.Lambda)
        plans

    /// Held-out AUC of a set of plans between the costs of the cheapest and of the best single model.
    let private score (data: RecordedCascade) (rows: int[]) (plans: Plan[]) =
        let cost = plans |> Array.map (fun p -> p.HeldOutCost)
        let quality = plans |> Array.map (fun p -> p.HeldOutQuality)
        let hull = Frontier.order cost quality
        let stages = data.Writers |> Array.filter (fun k -> not (Double.IsNaN(data.MeanCost(rows, k))))
        let cheapest = stages |> Array.map (fun k -> data.MeanCost(rows, k)) |> Array.min
        let best = stages |> Array.maxBy (fun k -> data.MeanQuality(rows, k))
        Frontier.area (hull |> Array.map (fun i -> cost[i])) (hull |> Array.map (fun i -> quality[i])) cheapest (data.MeanCost(rows, best))

    /// Fits the family: chooses the estimator by held-out AUC inside the training rows, then plans for prices that
    /// spread the cost evenly. Rows must be in random order (only the first 20,000 are used).
    /// Raises ArgumentException for fewer than 2 rows.
    [<CompiledName "Fit">]
    let fit (data: RecordedCascade, rows: int[], actions: ActionSet) : FittedPlan =
        if rows.Length < 2 then invalidArg (nameof rows) $"expected at least 2 training queries, got {rows.Length}"
        let settings = candidates (data.Writers.Length, rows.Length)
        let choiceRows = head rows (min choiceCap (designCap / (Planner.DesignWidth(data, actions, Array.last settings))))
        let lambdas = prices (data, choiceRows, 14)
        let scores = settings |> Array.map (fun s -> score data choiceRows (planAll (Planner(data, choiceRows, actions, s)) lambdas))
        let chosen = choose (settings, scores, rows.Length)
        let fitRows = head rows (min fitCap (designCap / (Planner.DesignWidth(data, actions, chosen))))
        let plans = refine (Planner(data, fitRows, actions, chosen)) (prices (data, fitRows, 16)) 64
        { Family =
            { Name = actions.ToString().ToLowerInvariant()
              Parameter = plans |> Array.map (fun p -> p.Lambda)
              Policies = plans |> Array.map (fun p -> p.Policy) }
          Settings = chosen
          CandidateScores = scores
          HeldOutCost = plans |> Array.map (fun p -> p.HeldOutCost)
          HeldOutQuality = plans |> Array.map (fun p -> p.HeldOutQuality) }
