namespace OptimalStopping.Theory.Policies

open System
open System.Threading.Tasks

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
