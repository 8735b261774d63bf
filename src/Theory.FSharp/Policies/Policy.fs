namespace OptimalStopping.Theory.Policies

open System
open System.Numerics
open System.Runtime.CompilerServices

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
