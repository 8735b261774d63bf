namespace OptimalStopping.Theory.Policies

open System.Numerics
open OptimalStopping.Theory

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
