namespace OptimalStopping.Theory.Policies

open System
open System.Numerics
open OptimalStopping.Theory

/// A stage's confidences put on a common axis: the share of training queries with a smaller confidence (ties count
/// half), so that models that are sure of everything and models that are sure of nothing become comparable, and one
/// set of regression knots suits both. Piecewise linear between at most 129 training quantiles; constant beyond them.
[<Sealed>]
type ConfidenceScale private (knots: float[], ranks: float[]) =

    /// First index of a sorted array whose entry is at least the value.
    static let lowerBound (sorted: float[]) value =
        let mutable lo, hi = 0, sorted.Length
        while lo < hi do
            let mid = (lo + hi) >>> 1
            if sorted[mid] < value then lo <- mid + 1 else hi <- mid
        lo

    /// Distinct confidences between which the scale is linear, increasing; empty when training saw none.
    member _.Knots = knots
    /// The rank in [0,1] of each knot, increasing.
    member _.Ranks = ranks

    /// The scale through given points.
    /// Raises ArgumentException unless both arrays have one length, knots strictly increase within [0,1] and ranks do
    /// not decrease within [0,1].
    static member Create(knots: float[], ranks: float[]) : ConfidenceScale =
        if knots.Length <> ranks.Length then
            invalidArg (nameof ranks) $"expected {knots.Length} ranks, one for each confidence, got {ranks.Length}"
        for i in 0 .. knots.Length - 1 do
            if not (knots[i] >= 0.0 && knots[i] <= 1.0) || (i > 0 && knots[i] <= knots[i - 1]) then
                invalidArg (nameof knots) $"expected increasing confidences in [0,1], got {knots[i]} at position {i}"
            if not (ranks[i] >= 0.0 && ranks[i] <= 1.0) || (i > 0 && ranks[i] < ranks[i - 1]) then
                invalidArg (nameof ranks) $"expected ranks in [0,1] that do not decrease, got {ranks[i]} at position {i}"
        ConfidenceScale(knots, ranks)

    /// Rank in [0,1] of a confidence (not NaN). 0.5 when no confidence was seen in training.
    member _.Rank(confidence: float) : float =
        if knots.Length = 0 then
            0.5
        elif confidence <= knots[0] then
            ranks[0]
        elif confidence >= knots[knots.Length - 1] then
            ranks[knots.Length - 1]
        else
            let mutable lo, hi = 0, knots.Length - 1
            while hi - lo > 1 do
                let mid = (lo + hi) >>> 1
                if knots[mid] <= confidence then lo <- mid else hi <- mid
            ranks[lo] + (ranks[hi] - ranks[lo]) * (confidence - knots[lo]) / (knots[hi] - knots[lo])

    /// The least confidence at which the scale reaches the rank: the inverse of Rank, clipped to what training saw.
    member _.Confidence(rank: float) : float =
        if knots.Length = 0 then
            nan
        elif rank <= ranks[0] then
            knots[0]
        elif rank > ranks[knots.Length - 1] then
            knots[knots.Length - 1]
        else
            let mutable k = 1
            while ranks[k] < rank do
                k <- k + 1
            knots[k - 1] + (knots[k] - knots[k - 1]) * (rank - ranks[k - 1]) / (ranks[k] - ranks[k - 1])

    /// Fits the scale to confidences; NaN entries are ignored.
    static member Fit(confidences: float[]) : ConfidenceScale =
        let sorted = confidences |> Array.filter (Double.IsNaN >> not) |> Array.sort
        let n = sorted.Length
        let steps = min n 128
        let knots = ResizeArray<float>()
        let ranks = ResizeArray<float>()
        for s in 0..steps do
            let value = if n = 0 then nan else sorted[min (n - 1) (int (int64 s * int64 n / int64 steps))]
            if n > 0 && (knots.Count = 0 || value > knots[knots.Count - 1]) then
                // Mid-rank of the value among all training confidences.
                let below = lowerBound sorted value
                let upTo = lowerBound sorted (Math.BitIncrement value)
                knots.Add value
                ranks.Add((float below + float upTo) / (2.0 * float n))
        ConfidenceScale(knots.ToArray(), ranks.ToArray())

/// How rich the regressions on a state are. Chosen by cross-validation: a small training part gets few columns.
[<Struct>]
type BasisShape =
    {
        /// Interior knots of the piecewise linear function of each confidence rank (0 = a straight line).
        Knots: int
        /// Whether products of the ranks of two stages enter (stages that disagree, stages that confirm each other).
        Products: bool
        /// Whether confidences enter at all; without them the best policy is a single model.
        Confidences: bool
    }

/// What the columns of every state of a policy are made from.
type StateInputs =
    {
        /// The common axis of each stage's confidences.
        Scales: ConfidenceScale[]
        /// Stages that now and then ran without reporting a confidence.
        HasNull: bool[]
        /// Whether agreement between answers is seen.
        HasAnswers: bool
        /// Numbers known before any model runs.
        ContextWidth: int
        Shape: BasisShape
    }

/// The regression columns of one state: a fixed set of stages that have run. Column 0 is the constant 1.
[<Sealed>]
type StateBasis(stages: int[], inputs: StateInputs) =

    let scales, hasNull, hasAnswers = inputs.Scales, inputs.HasNull, inputs.HasAnswers
    let contextWidth, shape = inputs.ContextWidth, inputs.Shape
    let pairs = stages.Length * (stages.Length - 1) / 2
    let knots = Array.init shape.Knots (fun i -> float (i + 1) / float (shape.Knots + 1))
    let nulls = stages |> Array.filter (fun k -> hasNull[k]) |> Array.length

    let width =
        1
        + contextWidth
        + (if shape.Confidences then stages.Length * (1 + knots.Length) + nulls else 0)
        + (if shape.Confidences && shape.Products then pairs else 0)
        + (if shape.Confidences && hasAnswers then pairs else 0)

    member _.Stages = stages
    member _.Width = width

    /// Writes the Width columns of an observation in which the state's stages have run. A confidence that was not
    /// reported counts as the middle rank, with an indicator column where training had such cases.
    member _.Fill(observation: Observation, columns: Span<float>) : unit =
        columns[0] <- 1.0
        let mutable c = 1
        for i in 0 .. contextWidth - 1 do
            columns[c] <- observation.Context[i]
            c <- c + 1
        if shape.Confidences then
            let first = c
            for i in 0 .. stages.Length - 1 do
                let k = stages[i]
                let confidence = observation.Confidence[k]
                let isNull = Double.IsNaN confidence
                let rank = if isNull then 0.5 else scales[k].Rank confidence
                columns[first + i] <- rank - 0.5
                for h in 0 .. knots.Length - 1 do
                    columns[first + stages.Length + i * knots.Length + h] <- max 0.0 (rank - knots[h])
                c <- first + stages.Length * (1 + knots.Length)
            for i in 0 .. stages.Length - 1 do
                if hasNull[stages[i]] then
                    columns[c] <- if Double.IsNaN observation.Confidence[stages[i]] then 1.0 else 0.0
                    c <- c + 1
            if shape.Products then
                for i in 0 .. stages.Length - 1 do
                    for j in i + 1 .. stages.Length - 1 do
                        columns[c] <- columns[first + i] * columns[first + j]
                        c <- c + 1
            if hasAnswers then
                for i in 0 .. stages.Length - 1 do
                    for j in i + 1 .. stages.Length - 1 do
                        columns[c] <-
                            if observation.Answer.IsEmpty then
                                0.0
                            else
                                let a, b = observation.Answer[stages[i]], observation.Answer[stages[j]]
                                if a >= 0 && a = b then 1.0 else 0.0
                        c <- c + 1

/// The states of the stopping problem: which stages have run. The confidences seen are the continuous part of the
/// state; they enter through regressions, one set per state. Beyond a window of the latest stages the state forgets
/// (their confidences and, under recall, their answers), so the number of states grows like n^window, not 2^n.
///
/// A stage that judges an earlier answer may run only where that answer is remembered (judges[k]: the judged stage, or -1).
///
/// States are numbered so that every successor of a state comes before it; the last number is the start (nothing ran).
[<Sealed>]
type StateSpace(stages: int, actions: ActionSet, window: int, judges: int[]) =

    /// The mask without all but its latest `window` stages.
    let trim (mask: uint32) =
        let mutable m = mask
        while BitOperations.PopCount m > window do
            m <- m &&& (m - 1u)
        m

    let isState (mask: uint32) =
        let last = 31 - BitOperations.LeadingZeroCount mask
        match actions with
        | ActionSet.Chain -> mask = trim ((1u <<< (last + 1)) - 1u)
        | _ ->
            // A judge without the answer that it judges is reached only if that answer was forgotten since.
            let full, least = BitOperations.PopCount mask = window, BitOperations.TrailingZeroCount mask
            let reached k j = j < 0 || mask &&& (1u <<< k) = 0u || mask &&& (1u <<< j) <> 0u || (full && j < least)
            mask = trim mask && Seq.forall2 reached (seq { 0 .. stages - 1 }) judges

    let masks =
        [| for last in stages - 1 .. -1 .. 0 do
               for mask in 1u <<< last .. (1u <<< (last + 1)) - 1u do
                   if isState mask then mask
           0u |]

    let indexOfMask =
        let known = Array.create (1 <<< stages) -1
        masks |> Array.iteri (fun i mask -> known[int mask] <- i)
        Array.init (1 <<< stages) (fun ran ->
            match actions with
            | ActionSet.Chain when ran > 0 ->
                let last = 31 - BitOperations.LeadingZeroCount(uint32 ran)
                known[int (trim ((1u <<< (last + 1)) - 1u))]
            | _ -> known[int (trim (uint32 ran))])

    /// A cascade in which every stage writes an answer of its own.
    new(stages, actions, window) = StateSpace(stages, actions, window, Array.create stages -1)

    member _.Stages = stages
    /// Per stage, the stage whose answer it judges, or -1.
    member _.Judges = judges
    member _.Actions = actions
    /// The most stages that a state remembers.
    member _.Window = window
    member _.Count = masks.Length
    member _.Start = masks.Length - 1

    /// The stages of a state, increasing.
    member _.Members(state: int) : int[] =
        [| for k in 0 .. stages - 1 do
               if masks[state] &&& (1u <<< k) <> 0u then k |]

    /// The stages of a state as bits.
    member _.Mask(state: int) : uint32 = masks[state]

    /// The state that stands for a set of stages that ran.
    member _.IndexOf(ran: uint32) : int = indexOfMask[int ran]

    /// The state after running one more stage.
    member this.After(state: int, stage: int) : int = this.IndexOf(masks[state] ||| (1u <<< stage))

    /// The stages that may run next, increasing; empty after the last stage.
    member _.Next(state: int) : int[] =
        let last = 31 - BitOperations.LeadingZeroCount masks[state]
        match actions with
        | ActionSet.Chain -> [| if last + 1 < stages then last + 1 |]
        | _ ->
            [| for k in last + 1 .. stages - 1 do
                   if judges[k] < 0 || masks[state] &&& (1u <<< judges[k]) <> 0u then k |]

    /// The stages whose answer may be given, increasing; empty at the start.
    member this.Answers(state: int) : int[] =
        let members = this.Members state
        if actions = ActionSet.Recall then
            // What a judge would return stands there already, unless it was forgotten.
            members |> Array.filter (fun k -> judges[k] < 0 || not (Array.contains judges[k] members))
        elif members.Length = 0 then
            members
        else
            [| Array.last members |]
