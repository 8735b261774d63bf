/// Random problems that the tests of learners share.
module Theory.Tests.Problems

open System
open OptimalStopping.Theory

/// A random outcome of n stages with m bins and bounded costs (at most 0.3 in all).
let outcome (random: Random) n m =
    { Bins = Array.init n (fun _ -> random.Next m)
      Qualities = Array.init n (fun _ -> random.NextDouble())
      Costs = Array.init (n - 1) (fun _ -> 0.3 / float n * random.NextDouble()) |> Array.scan (+) 0.0 }

/// Range that covers `outcome`.
let range = 1.3

/// A menu of random rules, which has no order that an implementation might lean on.
let menu (random: Random) n m rules =
    Menu.create (n, m, Array.init rules (fun _ -> Array.init m (fun _ -> random.Next 2 = 0)))

let settings menu feedback side horizon =
    { Menu = menu
      Feedback = feedback
      Side = side
      Horizon = horizon
      Range = range
      ContinueCosts = Array.create (menu.Stages - 1) 0.05
      Seed = 7UL }

/// The stage at which each menu policy stops, policy by policy, then the side expert if there is one.
let stopStages (state: NestState) (bins: int[]) =
    let menu = state.Settings.Menu
    let side = Nest.sidePolicy state
    [| for i in 0 .. Menu.size menu - 1 do Reactive.stopStage (Menu.policy (menu, i), bins)
       if state.Settings.Side <> SideExpert.None then Reactive.stopStage (side, bins) |]

/// Estimated losses of the menu policies, then of the side expert if there is one.
let losses (state: NestState) =
    if state.Settings.Side = SideExpert.None then state.Losses else Array.append state.Losses [| state.SideLoss |]

/// Weights of the same comparators.
let weights (state: NestState) =
    let w = Nest.weights state
    if state.Settings.Side = SideExpert.None then w[.. w.Length - 2] else w

/// Plays `rounds` queries as value semantics would, on outcomes given by round.
let play (state: NestState) rounds (outcomeAt: int -> Outcome) (random: SplitMix64) (visit: NestState -> Outcome -> int -> NestState -> unit) =
    let mutable state = state
    for t in 0 .. rounds - 1 do
        let outcome = outcomeAt t
        let stop = Reactive.stopStage ((Nest.choose (state, random)).Stop, outcome.Bins)
        let next = Nest.observe (state, outcome, stop)
        visit state outcome stop next
        state <- next
    state
