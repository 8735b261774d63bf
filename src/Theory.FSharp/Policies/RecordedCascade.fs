namespace OptimalStopping.Theory.Policies

open System

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
