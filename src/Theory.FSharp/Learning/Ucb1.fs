namespace OptimalStopping.Theory

open System

/// What UCB1 knows: how often it answered with each stage, and the sum of those losses (in [0,1]).
type Ucb1State =
    {
        /// B: an upper bound of 1 + lambda (C_n - C_1).
        Range: float
        Plays: float[]
        Losses: float[]
    }

/// UCB1 (Auer, Cesa-Bianchi and Fischer 2002) over the n fixed depths: signals are ignored, and only the returned answer is
/// used whatever the feedback. Each depth once, then the largest mean + sqrt(2 ln t / plays); ties go to the cheapest.
[<RequireQualifiedAccess>]
module Ucb1 =

    /// The state before the first query.
    let init (stages: int, range: float) : Ucb1State =
        if stages < 1 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 1"))
        if not (range >= 1.0) then raise (ArgumentOutOfRangeException(nameof range, range, "expected at least 1"))
        { Range = range; Plays = Array.zeroCreate stages; Losses = Array.zeroCreate stages }

    let internal depth (plays: float[]) (losses: float[]) =
        let t = Array.sum plays
        let mutable best, bestIndex = Double.NegativeInfinity, 0
        for k in 0 .. plays.Length - 1 do
            let index = if plays[k] = 0.0 then infinity else 1.0 - losses[k] / plays[k] + sqrt (2.0 * log (t + 1.0) / plays[k])
            if index > best then
                best <- index
                bestIndex <- k
        bestIndex

    /// The stage (0 .. n-1) at which the next query stops. Deterministic.
    let choose (state: Ucb1State) : int = depth state.Plays state.Losses

    /// The state after a query that stopped at `stop`.
    let observe (state: Ucb1State, outcome: Outcome, stop: int) : Ucb1State =
        let at change = Array.mapi (fun k x -> if k = stop then x + change else x)
        { state with Plays = at 1.0 state.Plays; Losses = at (Outcome.loss (outcome, stop, state.Range)) state.Losses }

/// The mutable driver of UCB1.
[<Sealed>]
type Ucb1Run(initial: Ucb1State, bins: int) =
    inherit LearnerRun()
    let plays, losses = Array.copy initial.Plays, Array.copy initial.Losses
    let stop: bool[][] = Array.init (plays.Length - 1) (fun _ -> Array.zeroCreate bins)
    let mutable depth = 0

    /// The state after what was observed so far (copies).
    member _.State: Ucb1State = { initial with Plays = Array.copy plays; Losses = Array.copy losses }

    override _.Begin(_random) =
        depth <- Ucb1.depth plays losses
        for k in 0 .. stop.Length - 1 do
            Array.fill stop[k] 0 bins (k >= depth)

    override _.Stops(stage, _bin, _random) = stage >= depth

    override _.Observe(outcome, stopped) =
        plays[stopped] <- plays[stopped] + 1.0
        losses[stopped] <- losses[stopped] + Outcome.loss (outcome, stopped, initial.Range)

    override _.ExpectedValue(value, _classValues) = value.Invoke stop
