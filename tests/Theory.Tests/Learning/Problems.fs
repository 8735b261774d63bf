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

/// A policy class of random rules, which has no order that an implementation might lean on.
let policyClass (random: Random) n m rules = PolicyClass.Create(n, m, Array.init rules (fun _ -> Array.init m (fun _ -> random.Next 2 = 0)))

let settings policyClass feedback side horizon =
    { PolicyClass = policyClass
      Feedback = feedback
      Side = side
      Horizon = horizon
      Range = range
      ContinueCosts = Array.create (policyClass.Stages - 1) 0.05
      Seed = 7UL
      AuditRate = 1.0 }

/// The stage at which each policy class policy stops, policy by policy, then the side expert if there is one.
let stopStages (state: NestState) (bins: int[]) =
    let policyClass = state.Settings.PolicyClass
    let side = Nest.sidePolicy state
    [| for i in 0 .. PolicyClass.Size policyClass - 1 do
           Reactive.stopStage (PolicyClass.Policy(policyClass, i), bins)
       if state.Settings.Side <> SideExpert.None then Reactive.stopStage (side, bins) |]

/// Estimated losses of the policy class policies, then of the side expert if there is one.
let losses (state: NestState) =
    if state.Settings.Side = SideExpert.None then state.Losses else Array.append state.Losses [| state.SideLoss |]

/// Weights of the same comparators.
let weights (state: NestState) =
    let w = Nest.weights state
    if state.Settings.Side = SideExpert.None then w[.. w.Length - 2] else w

/// Plays `rounds` queries as value semantics would, on outcomes given by round.
let play
    (state: NestState)
    rounds
    (outcomeAt: int -> Outcome)
    (random: SplitMix64)
    (visit: NestState -> Outcome -> int -> NestState -> unit)
    =
    let mutable state = state
    for t in 0 .. rounds - 1 do
        let outcome = outcomeAt t
        let stop = Reactive.stopStage ((Nest.choose (state, random)).Stop, outcome.Bins)
        let next = Nest.observe (state, outcome, stop)
        visit state outcome stop next
        state <- next
    state
