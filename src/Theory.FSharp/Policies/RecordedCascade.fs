namespace OptimalStopping.Theory.Policies

open System
open System.Numerics
open System.Runtime.CompilerServices

/// What a cascade of models did on a set of queries, as flat arrays: entry q * Stages + k belongs to query q (0-based)
/// and stage k (0-based, the order of the cascade). Policies are fitted on some of its queries and replayed on others.
///
/// A stage that was not recorded for a query has cost and quality NaN. A stage that ran without reporting a
/// confidence has confidence NaN. Answers (optional) are labels, equal for equal answers to one query, negative when
/// unknown. Context (optional) holds ContextWidth numbers per query that are known before any model runs.
///
/// A stage may judge instead of answer: it reads the answer of an earlier stage and says how sure it is of it, for the
/// price of reading. Its answer is the judged one, and it can run only after the stage that it judges (Judges).
[<Sealed>]
type RecordedCascade
    private
    (
        queries: int,
        stages: int,
        cost: float[],
        confidence: float[],
        quality: float[],
        answer: int[],
        contextWidth: int,
        context: float[],
        judges: int[]
    ) =

    /// The most stages that a cascade may have: the set of stages that ran is kept in the bits of one integer.
    static member MaxStages = 16

    member _.Queries = queries
    member _.Stages = stages
    /// Cost of running the stage on the query, at least 0; NaN where the stage was not recorded.
    member _.Cost = cost
    /// Confidence in [0,1] seen after the stage ran; NaN for none.
    member _.Confidence = confidence
    /// Quality in [0,1] of answering with the stage; NaN where the stage was not recorded.
    member _.Quality = quality
    /// Labels of the answers, or an empty array when the record has none.
    member _.Answer = answer
    member _.ContextWidth = contextWidth
    member _.Context = context
    member _.HasAnswers = answer.Length > 0
    /// Per stage, the earlier stage whose answer it judges, or -1 for a stage that writes an answer of its own.
    member _.Judges = judges

    /// The same records where stage k judges the answer of stage judges[k] (-1: it writes its own).
    /// Raises ArgumentException for a wrong length, a judge that is not behind what it judges, a judge of a judge, or a
    /// query on which judge and judged have different qualities.
    member _.WithJudges(judges: int[]) : RecordedCascade =
        if judges.Length <> stages then invalidArg (nameof judges) $"expected {stages} entries, got {judges.Length}"
        judges
        |> Array.iteri (fun k j ->
            if j < -1 || j >= k then invalidArg (nameof judges) $"stage {k}: expected an earlier stage or -1, got {j}"
            if j >= 0 && judges[j] >= 0 then
                invalidArg (nameof judges) $"stage {k}: expected a stage that answers, got the judge {j}"
            if j >= 0 then
                for q in 0 .. queries - 1 do
                    let own, judged = quality[q * stages + k], quality[q * stages + j]
                    if not (Double.IsNaN own) && own <> judged then
                        invalidArg (nameof judges) $"query {q}: stage {k} judges stage {j}: expected its quality {judged}, got {own}")
        RecordedCascade(queries, stages, cost, confidence, quality, answer, contextWidth, context, judges)

    /// The stages that write an answer of their own, increasing.
    member _.Writers: int[] =
        [| for k in 0 .. stages - 1 do
               if judges[k] < 0 then k |]

    /// The records of the given stages alone, which must write answers of their own, in their order.
    /// Raises ArgumentException where a query has none of them recorded.
    member _.Only(kept: int[]) : RecordedCascade =
        let pick (values: 'T[]) =
            if values.Length = 0 then
                [||]
            else
                Array.init (queries * kept.Length) (fun i -> values[i / kept.Length * stages + kept[i % kept.Length]])
        if kept |> Array.exists (fun k -> judges[k] >= 0) then
            invalidArg (nameof kept) "expected stages that write answers of their own"
        RecordedCascade.Create(queries, kept.Length, pick cost, pick confidence, pick quality, pick answer, contextWidth, context)

    /// Whether a stage may run after the given ones: always, but for a judge without the answer that it judges.
    member _.MayRun(stage: int, ran: uint32) : bool = judges[stage] < 0 || ran &&& (1u <<< judges[stage]) <> 0u

    /// Whether the stage was recorded for the query.
    member _.IsRecorded(query: int, stage: int) = not (Double.IsNaN cost[query * stages + stage])

    /// Checks shapes and ranges and wraps the arrays (they are not copied).
    /// Raises ArgumentException for a wrong length, a stage count outside 1..16, a number out of its range, or a query
    /// without any recorded stage.
    static member Create
        (queries: int, stages: int, cost: float[], confidence: float[], quality: float[], answer: int[], contextWidth: int, context: float[]) : RecordedCascade =
        if queries < 0 then invalidArg (nameof queries) $"expected at least 0 queries, got {queries}"
        if stages < 1 || stages > RecordedCascade.MaxStages then
            invalidArg (nameof stages) $"expected 1 to {RecordedCascade.MaxStages} stages, got {stages}"
        let length name (actual: int) (expected: int) =
            if actual <> expected then invalidArg name $"expected {expected} entries, got {actual}"
        length (nameof cost) cost.Length (queries * stages)
        length (nameof confidence) confidence.Length (queries * stages)
        length (nameof quality) quality.Length (queries * stages)
        if answer.Length > 0 then length (nameof answer) answer.Length (queries * stages)
        length (nameof context) context.Length (queries * contextWidth)
        for q in 0 .. queries - 1 do
            let mutable recorded = 0
            for k in 0 .. stages - 1 do
                let i = q * stages + k
                if Double.IsNaN cost[i] <> Double.IsNaN quality[i] then
                    invalidArg (nameof quality) $"query {q}, stage {k}: cost and quality must be recorded together"
                if not (Double.IsNaN cost[i]) then
                    recorded <- recorded + 1
                    if not (cost[i] >= 0.0 && cost[i] < infinity) then
                        invalidArg (nameof cost) $"query {q}, stage {k}: expected a finite cost of at least 0, got {cost[i]}"
                    if not (quality[i] >= 0.0 && quality[i] <= 1.0) then
                        invalidArg (nameof quality) $"query {q}, stage {k}: expected a quality in [0,1], got {quality[i]}"
                if not (Double.IsNaN confidence[i]) && not (confidence[i] >= 0.0 && confidence[i] <= 1.0) then
                    invalidArg (nameof confidence) $"query {q}, stage {k}: expected a confidence in [0,1], got {confidence[i]}"
            if recorded = 0 then invalidArg (nameof cost) $"query {q}: expected at least one recorded stage, got none"
        for x in context do
            if not (Double.IsFinite x) then invalidArg (nameof context) $"expected finite numbers, got {x}"
        RecordedCascade(queries, stages, cost, confidence, quality, answer, contextWidth, context, Array.create stages -1)

    /// The common case: every stage recorded or NaN, no answers and no context.
    static member Create(queries: int, stages: int, cost: float[], confidence: float[], quality: float[]) =
        RecordedCascade.Create(queries, stages, cost, confidence, quality, [||], 0, [||])

    /// Mean cost of running the stage alone over the given queries that recorded it; NaN when none did.
    member this.MeanCost(rows: int[], stage: int) = this.MeanOf(cost, rows, stage)

    /// Mean quality of the stage over the given queries that recorded it; NaN when none did.
    member this.MeanQuality(rows: int[], stage: int) = this.MeanOf(quality, rows, stage)

    member private _.MeanOf(values: float[], rows: int[], stage: int) =
        let mutable sum, count = 0.0, 0
        for q in rows do
            let v = values[q * stages + stage]
            if not (Double.IsNaN v) then
                sum <- sum + v
                count <- count + 1
        if count = 0 then nan else sum / float count

/// What is known about one query when a decision is due.
[<Struct; IsByRefLike>]
type Observation =
    /// Bit k is set when stage k has run (0 before the first).
    val Ran: uint32
    /// Confidence of each stage; read only where the stage ran, NaN where it reported none.
    val Confidence: ReadOnlySpan<float>
    /// Answer labels of each stage (equal labels for equal answers, negative for unknown), or empty.
    val Answer: ReadOnlySpan<int>
    /// Numbers known before any model ran, or empty.
    val Context: ReadOnlySpan<float>

    new(ran, confidence, answer, context) = { Ran = ran; Confidence = confidence; Answer = answer; Context = context }

    new(ran, confidence) = { Ran = ran; Confidence = confidence; Answer = ReadOnlySpan<int>.Empty; Context = ReadOnlySpan<float>.Empty }

    /// The latest stage that ran, or -1 before the first.
    member this.Last = 31 - BitOperations.LeadingZeroCount this.Ran

/// Either stop and answer with a stage that ran, or go on and run a later stage.
[<Struct>]
type Decision =
    { Stop: bool
      Stage: int }

    static member StopWith(stage: int) = { Stop = true; Stage = stage }
    static member GoTo(stage: int) = { Stop = false; Stage = stage }

/// A stopping policy that can be run query by query. Implementations do not change once built, may be shared by
/// threads, and allocate nothing in Decide.
[<Interface>]
type IStoppingPolicy =
    /// Number of stages of the cascade it was made for.
    abstract Stages: int

    /// The next step. When Ran is 0 it is always a stage to run; after the last stage it is always a stop.
    abstract Decide: observation: Observation -> Decision

/// A policy family that was fitted on a training part: one policy for each operating point, from the largest price of
/// cost (cheapest behaviour) to the smallest.
type FittedFamily =
    {
        Name: string
        /// The parameter's value at each operating point: lambda (quality per unit of cost), or a family's own parameter.
        Parameter: float[]
        Policies: IStoppingPolicy[]
    }

/// What a policy did on recorded queries.
type ReplayOutcome =
    {
        /// Cost paid on each query.
        Cost: float[]
        /// Quality of the answer to each query.
        Quality: float[]
        /// Stage that answered each query.
        Stage: int[]
    }

/// Runs policies on recorded queries, as a live cascade would have run them.
[<RequireQualifiedAccess>]
module Replay =

    /// The stage that runs when a policy asks for the given one: itself when it was recorded, else the next later
    /// recorded one (fail over to a larger model) that may run, else -1.
    let internal available (data: RecordedCascade, query: int, ran: uint32, stage: int) : int =
        let mutable k = stage
        while k < data.Stages && not (data.IsRecorded(query, k) && data.MayRun(k, ran)) do
            k <- k + 1
        if k < data.Stages then k else -1

    /// Runs the policy on one query and returns (cost paid, stage that answers). The policy sees only stages that it
    /// ran. A stage without a record fails over to the next later one; if there is none, the query is answered with
    /// the latest stage that ran, and if none ran at all, with the latest recorded stage.
    [<CompiledName "Query">]
    let query (policy: IStoppingPolicy, data: RecordedCascade, query: int) : struct (float * int) =
        let n = data.Stages
        let confidence = ReadOnlySpan(data.Confidence, query * n, n)
        let answer = if data.HasAnswers then ReadOnlySpan(data.Answer, query * n, n) else ReadOnlySpan<int>.Empty
        let context = ReadOnlySpan(data.Context, query * data.ContextWidth, data.ContextWidth)
        let mutable ran = 0u
        let mutable cost = 0.0
        let mutable result = -1
        while result < 0 do
            let decision = policy.Decide(Observation(ran, confidence, answer, context))
            if decision.Stop then
                result <- decision.Stage
            else
                let mutable next = available (data, query, ran, decision.Stage)
                if next < 0 && ran = 0u then
                    next <- n - 1
                    while not (data.IsRecorded(query, next) && data.MayRun(next, ran)) do
                        next <- next - 1
                if next < 0 then
                    result <- 31 - BitOperations.LeadingZeroCount ran
                else
                    ran <- ran ||| (1u <<< next)
                    cost <- cost + data.Cost[query * n + next]
        struct (cost, result)

    /// Runs the policy on the given queries, in order.
    [<CompiledName "Run">]
    let run (policy: IStoppingPolicy, data: RecordedCascade, rows: int[]) : ReplayOutcome =
        let cost = Array.zeroCreate rows.Length
        let quality = Array.zeroCreate rows.Length
        let stage = Array.zeroCreate rows.Length
        for i in 0 .. rows.Length - 1 do
            let struct (c, k) = query (policy, data, rows[i])
            cost[i] <- c
            quality[i] <- data.Quality[rows[i] * data.Stages + k]
            stage[i] <- k
        { Cost = cost; Quality = quality; Stage = stage }

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
    static member FromOutcome(outcome: ReplayOutcome, stages: int, groups: int) : GroupedOutcome =
        let cost = Array.zeroCreate groups
        let quality = Array.zeroCreate groups
        let stops = Array.create stages (if Array.contains -1 outcome.Stage then nan else 0.0)
        for i in 0 .. outcome.Cost.Length - 1 do
            let g = i % groups
            cost[g] <- cost[g] + outcome.Cost[i]
            quality[g] <- quality[g] + outcome.Quality[i]
            if outcome.Stage[i] >= 0 then stops[outcome.Stage[i]] <- stops[outcome.Stage[i]] + 1.0
        { Cost = cost; Quality = quality; Stops = stops; Queries = outcome.Cost.Length }
