namespace OptimalStopping.Theory.Policies

#nowarn "9"
open System

/// A planned policy: linear functions of each state's columns predict the quality of each possible answer and the
/// value of each possible next stage; the largest wins, and a stop wins ties.
[<Sealed>]
type PlannedPolicy internal (space: StateSpace, inputs: StateInputs, bases: StateBasis[], stop: float[][][], go: float[][][]) =

    let next = Array.init space.Count space.Next
    let answers = Array.init space.Count space.Answers
    let widest = bases |> Array.map (fun b -> b.Width) |> Array.max

    member _.Space = space
    /// What the columns of the states are made from.
    member _.Inputs = inputs
    member internal _.Bases = bases
    member internal _.Next = next
    member internal _.Answers = answers
    /// Coefficients of the quality of each of Space.Answers, by state; one object for all prices of a planner.
    member _.Stop = stop
    /// Coefficients of the value of each of Space.Next, by state.
    member _.Go = go

    /// The policy that the parts make: what is needed to read one back from a file. Arrays are not copied.
    /// Raises ArgumentException when a part does not have the shape or range that the state space asks for.
    static member Create(space: StateSpace, inputs: StateInputs, stop: float[][][], go: float[][][]) : PlannedPolicy =
        let expect name what (expected: int) (actual: int) =
            if expected <> actual then invalidArg name $"{what}: expected {expected}, got {actual}"
        expect (nameof inputs) "scales" space.Stages inputs.Scales.Length
        expect (nameof inputs) "null flags" space.Stages inputs.HasNull.Length
        let bases = Array.init space.Count (fun s -> StateBasis(space.Members s, inputs))
        let check name (coefficients: float[][][]) (choices: int -> int[]) =
            expect name "states" space.Count coefficients.Length
            for s in 0 .. space.Count - 1 do
                expect name $"choices in state {s}" (choices s).Length coefficients[s].Length
                for beta in coefficients[s] do
                    expect name $"coefficients in state {s}" bases[s].Width beta.Length
                    if not (Array.forall Double.IsFinite beta) then invalidArg name $"state {s}: expected finite numbers"
        check (nameof stop) stop space.Answers
        check (nameof go) go space.Next
        PlannedPolicy(space, inputs, bases, stop, go)

    /// Predicted quality in [0,1] of answering with a stage that ran; NaN for one that may not answer.
    member _.PredictedQuality(observation: Observation, stage: int) : float =
        let state = space.IndexOf observation.Ran
        let a = Array.IndexOf(answers[state], stage)
        if a < 0 then
            nan
        else
            let columns = Array.zeroCreate bases[state].Width
            bases[state].Fill(observation, Span<float> columns)
            let beta = stop[state][a]
            let mutable v = 0.0
            for j in 0 .. columns.Length - 1 do
                v <- v + beta[j] * columns[j]
            min 1.0 (max 0.0 v)

    interface IStoppingPolicy with
        member _.Stages = space.Stages

        member _.Decide(observation) =
            let state = space.IndexOf observation.Ran
            let memory = Microsoft.FSharp.NativeInterop.NativePtr.stackalloc<float> widest
            let columns = Span<float>(Microsoft.FSharp.NativeInterop.NativePtr.toVoidPtr memory, bases[state].Width)
            bases[state].Fill(observation, columns)
            let mutable best = -infinity
            let mutable decision = Unchecked.defaultof<Decision>
            for a in 0 .. answers[state].Length - 1 do
                let beta = stop[state][a]
                let mutable v = 0.0
                for j in 0 .. columns.Length - 1 do
                    v <- v + beta[j] * columns[j]
                v <- min 1.0 (max 0.0 v)
                if v > best then
                    best <- v
                    decision <- Decision.StopWith(answers[state][a])
            for a in 0 .. next[state].Length - 1 do
                let beta = go[state][a]
                let mutable v = 0.0
                for j in 0 .. columns.Length - 1 do
                    v <- v + beta[j] * columns[j]
                if v > best then
                    best <- v
                    decision <- Decision.GoTo(next[state][a])
            decision
