namespace OptimalStopping.Theory.Policies

#nowarn "9"

open System
open OptimalStopping.Theory

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

/// How stop values and continuation values are estimated.
[<Struct>]
type EstimatorSettings =
    {
        Shape: BasisShape
        /// Penalty of the regressions in pseudo-observations.
        Penalty: float
        /// Share in [0,1] of the realised reward in the regression target of a continuation; the rest is the estimated
        /// value. Realised rewards are unbiased and noisy (Longstaff and Schwartz 2001), estimated values smooth and
        /// biased upwards by the maximum (Tsitsiklis and Van Roy 2001).
        Realised: float
        /// Most stages that a state remembers.
        Window: int
        Folds: int
    }

/// The stopping policy for one price of cost, with what cross-fitting says about it.
type Plan =
    {
        Lambda: float
        Policy: IStoppingPolicy
        /// Mean cost and quality on the training rows when every row is decided by fits that did not see it.
        HeldOutCost: float
        HeldOutQuality: float
    }

/// Backward induction on recorded queries with regression continuation values (least-squares Monte Carlo), for any
/// action set. Everything that does not depend on lambda is computed once, in the constructor.
[<Sealed>]
type Planner(data: RecordedCascade, rows: int[], actions: ActionSet, settings: EstimatorSettings) =

    let n = data.Stages
    let m = rows.Length
    let space = StateSpace(n, actions, settings.Window, data.Judges)
    let folds = max 2 (min settings.Folds m)
    let scales = Array.init n (fun k -> ConfidenceScale.Fit(rows |> Array.map (fun q -> data.Confidence[q * n + k])))
    let hasNull = Array.init n (fun k -> rows |> Array.exists (fun q -> Double.IsNaN data.Confidence[q * n + k]))
    let inputs =
        { Scales = scales
          HasNull = hasNull
          HasAnswers = data.HasAnswers
          ContextWidth = data.ContextWidth
          Shape = settings.Shape }
    let members = Array.init space.Count space.Members
    let next = Array.init space.Count space.Next
    let answers = Array.init space.Count space.Answers
    let bases = members |> Array.map (fun s -> StateBasis(s, inputs))

    /// Training rows (positions in rows) on which a state can be reached, fold after fold, and where each fold starts.
    let inState, starts =
        members
        |> Array.map (fun s ->
            let needed = if actions = ActionSet.Chain && s.Length > 0 then [| Array.last s |] else s
            let own =
                Array.init folds (fun f ->
                    [| for i in f..folds .. m - 1 do
                           if needed |> Array.forall (fun k -> data.IsRecorded(rows[i], k)) then i |])
            Array.concat own, own |> Array.scan (fun at part -> at + part.Length) 0)
        |> Array.unzip

    let regressions =
        Array.Parallel.init space.Count (fun s ->
            let basis = bases[s]
            let positions = inState[s]
            let x = Array.zeroCreate (positions.Length * basis.Width)
            let columns = Array.zeroCreate basis.Width
            for r in 0 .. positions.Length - 1 do
                let q = rows[positions[r]]
                let answer = if data.HasAnswers then ReadOnlySpan(data.Answer, q * n, n) else ReadOnlySpan<int>.Empty
                let context = ReadOnlySpan(data.Context, q * data.ContextWidth, data.ContextWidth)
                basis.Fill(Observation(0u, ReadOnlySpan(data.Confidence, q * n, n), answer, context), Span<float> columns)
                for j in 0 .. columns.Length - 1 do
                    x[j * positions.Length + r] <- columns[j]
            RidgeRegression(x, basis.Width, starts[s], settings.Penalty))

    let costs = Array.init n (fun k -> rows |> Array.map (fun q -> data.Cost[q * n + k]))

    /// Per state: coefficients of each possible answer's quality, and on each row the best held-out prediction and
    /// the answer that has it.
    let stopCoefficients, stopValue, stopStage =
        Array.Parallel.init space.Count (fun s ->
            let positions = inState[s]
            let target = answers[s] |> Array.map (fun k -> positions |> Array.map (fun i -> data.Quality[rows[i] * n + k]))
            let heldOut = answers[s] |> Array.map (fun _ -> Array.zeroCreate<float> positions.Length)
            let coefficients = regressions[s].Fit(target, heldOut)
            let value, stage = Array.create m -infinity, Array.create m -1
            for a in 0 .. answers[s].Length - 1 do
                for r in 0 .. positions.Length - 1 do
                    let v = min 1.0 (max 0.0 (heldOut[a][r]))
                    if v > value[positions[r]] then
                        value[positions[r]] <- v
                        stage[positions[r]] <- answers[s][a]
            coefficients, value, stage)
        |> Array.unzip3

    /// The stage that runs on a row when the state's policy asks for one (Replay.query's rule), or -1.
    let available state row stage =
        let ran = space.Mask state
        let mutable k = Replay.available (data, row, ran, stage)
        if k < 0 && state = space.Start then
            k <- n - 1
            while not (data.IsRecorded(row, k) && data.MayRun(k, ran)) do
                k <- k - 1
        k

    /// Per state and next stage, the stage that runs on each of the state's rows; empty where it is always that stage.
    let runs =
        let writes = Array.forall (fun judged -> judged < 0) data.Judges
        let everywhere = Array.init n (fun k -> writes && rows |> Array.forall (fun q -> data.IsRecorded(q, k)))
        Array.Parallel.init space.Count (fun s ->
            next[s]
            |> Array.map (fun k -> if everywhere[k] then [||] else inState[s] |> Array.map (fun i -> sbyte (available s (rows[i]) k))))

    /// Regression columns of all states together: with the number of rows, the memory that a planner needs.
    static member DesignWidth(data: RecordedCascade, actions: ActionSet, settings: EstimatorSettings) : int =
        let space = StateSpace(data.Stages, actions, settings.Window, data.Judges)
        let inputs =
            { Scales = [||]
              HasNull = Array.create data.Stages true
              HasAnswers = data.HasAnswers
              ContextWidth = data.ContextWidth
              Shape = settings.Shape }
        let width s = StateBasis(space.Members s, inputs).Width
        Seq.sumBy width (seq { 0 .. space.Count - 1 })

    member _.Space = space
    member _.Scales = scales

    /// Plans for one price of cost (quality per unit of cost, at least 0).
    member _.Plan(lambda: float) : Plan =
        let value = Array.init space.Count (fun _ -> Array.zeroCreate<float> m)
        let quality = Array.init space.Count (fun _ -> Array.zeroCreate<float> m)
        let cost = Array.init space.Count (fun _ -> Array.zeroCreate<float> m)
        let goCoefficients = Array.create space.Count [||]
        // Room for the targets of the state with most of them, and for what is predicted of them.
        let targets, heldOut = Array.init n (fun _ -> Array.zeroCreate<float> m), Array.init n (fun _ -> Array.zeroCreate<float> m)
        let share = settings.Realised
        /// What running a stage after a state is worth on a row: the regressions' target.
        let inline after (t: int) (stage: int) (i: int) =
            let realised = quality[t][i] - lambda * cost[t][i]
            (1.0 - share) * value[t][i] + share * realised - lambda * costs[stage][i]
        for s in 0 .. space.Count - 1 do
            let positions = inState[s]
            for a in 0 .. next[s].Length - 1 do
                let target, own = targets[a], runs[s][a]
                if own.Length = 0 then
                    let stage = next[s][a]
                    let t = space.After(s, stage)
                    for r in 0 .. positions.Length - 1 do
                        target[r] <- after t stage (positions[r])
                else
                    for r in 0 .. positions.Length - 1 do
                        let i, stage = positions[r], int own[r]
                        target[r] <- if stage < 0 then stopValue[s][i] else after (space.After(s, stage)) stage i
            goCoefficients[s] <- regressions[s].Fit(Array.truncate next[s].Length targets, heldOut)
            let runs = runs[s]
            for r in 0 .. positions.Length - 1 do
                let i = positions[r]
                let mutable best, chosen = stopValue[s][i], -1
                for a in 0 .. next[s].Length - 1 do
                    if heldOut[a][r] > best then
                        best <- heldOut[a][r]
                        chosen <- a
                value[s][i] <- best
                let stage =
                    if chosen < 0 then -1
                    elif runs[chosen].Length = 0 then next[s][chosen]
                    else int (runs[chosen][r])
                if stage >= 0 then
                    let t = space.After(s, stage)
                    quality[s][i] <- quality[t][i]
                    cost[s][i] <- cost[t][i] + costs[stage][i]
                else
                    let answer = if chosen < 0 then stopStage[s][i] else Array.last members[s]
                    quality[s][i] <- data.Quality[rows[i] * n + answer]
        { Lambda = lambda
          Policy = PlannedPolicy(space, inputs, bases, stopCoefficients, goCoefficients)
          HeldOutCost = Array.average cost[space.Start]
          HeldOutQuality = Array.average quality[space.Start] }
