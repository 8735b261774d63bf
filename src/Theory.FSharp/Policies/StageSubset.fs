namespace OptimalStopping.Theory.Policies

#nowarn "9"

open System
open Microsoft.FSharp.NativeInterop

/// A policy for some of a cascade's stages, as a policy for all of them: it asks none of the others, and sees only the
/// context columns that it was made for. Stages that never pay cost estimates; leaving them out is worth more than
/// planning around them.
/// kept: the stages, increasing, in the order of the inner policy's. columns: the context columns that it sees, in order.
[<Sealed>]
type SubsetPolicy(inner: IStoppingPolicy, stages: int, kept: int[], columns: int[]) =

    do
        if kept.Length <> inner.Stages then
            invalidArg (nameof kept) $"expected {inner.Stages} stages, as the policy was made for, got {kept.Length}"
        for i in 0 .. kept.Length - 1 do
            if kept[i] < 0 || kept[i] >= stages || (i > 0 && kept[i] <= kept[i - 1]) then
                invalidArg (nameof kept) $"expected increasing stages in 0..{stages - 1}, got {kept[i]} at position {i}"
        if columns |> Array.exists (fun c -> c < 0) then invalidArg (nameof columns) "expected context columns from 0 on"

    member _.Inner = inner
    member _.Kept = kept
    member _.Columns = columns

    interface IStoppingPolicy with
        member _.Stages = stages

        member _.Decide(observation) =
            let n = kept.Length
            let confidence = Span<float>(NativePtr.toVoidPtr (NativePtr.stackalloc<float> n), n)
            let answer = Span<int>(NativePtr.toVoidPtr (NativePtr.stackalloc<int> n), n)
            let context = Span<float>(NativePtr.toVoidPtr (NativePtr.stackalloc<float>(columns.Length + 1)), columns.Length)
            let mutable ran = 0u
            for i in 0 .. n - 1 do
                // A stage that stands in for one that failed need not be of the subset: what it said is not looked at.
                if observation.Ran &&& (1u <<< kept[i]) <> 0u then ran <- ran ||| (1u <<< i)
                confidence[i] <- observation.Confidence[kept[i]]
                if not observation.Answer.IsEmpty then answer[i] <- observation.Answer[kept[i]]
            for j in 0 .. columns.Length - 1 do
                context[j] <- observation.Context[columns[j]]
            let last = observation.Last
            // Beyond the last stage of the subset there is nothing to plan: its stand-in answers.
            if last > kept[n - 1] then
                Decision.StopWith last
            else
                let seen =
                    Observation(
                        ran,
                        Span.op_Implicit confidence,
                        (if observation.Answer.IsEmpty then ReadOnlySpan<int>.Empty else Span.op_Implicit answer),
                        Span.op_Implicit context
                    )
                let decision = inner.Decide seen
                { decision with Stage = kept[decision.Stage] }
