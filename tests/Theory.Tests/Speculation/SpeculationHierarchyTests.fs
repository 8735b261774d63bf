module Theory.Tests.SpeculationHierarchyTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Cost per token of three levels by simulation, token by token, overshoot of the middle level discarded.
let private simulated (costs: float[]) (alphas: float[]) (drafts: int[]) rounds =
    let random = Random 121
    let accepted alpha g =
        let rec go i = if i < g && random.NextDouble() < alpha then go (i + 1) else i
        go 0
    let mutable cost, tokens = 0.0, 0
    for _ in 1..rounds do
        let mutable made = 0
        while made < drafts[1] do
            cost <- cost + float drafts[0] * costs[0] + costs[1]
            made <- made + accepted alphas[0] drafts[0] + 1
        cost <- cost + costs[2]
        tokens <- tokens + accepted alphas[1] drafts[1] + 1
    cost / float tokens

[<Tests>]
let tests =
    testList
        "Examples.SpeculationHierarchy"
        [ testCase "the worked example: approximation 9.71, exact 10.47, simulation 10.47"
          <| fun () ->
              let costs, alphas, drafts = [| 1.0; 5.0; 20.0 |], [| 0.7; 0.8 |], [| 3; 4 |]
              within 0.005 (SpeculationHierarchy.approximateCost (costs, alphas, drafts)) 9.71 "approximation"
              let exact = SpeculationHierarchy.exactCost (costs, alphas, drafts)
              within 0.005 exact 10.47 "exact"
              within 0.05 (simulated costs alphas drafts 200000) exact "simulated"

          testCase "property 33: renewal u(g) >= g / E, u(r) by hand, and monotone"
          <| fun () ->
              // u(1) = 1, u(2) = 1 + .3, u(3) = 1 + .3 1.3 + .21, u(4) = 1 + .3 1.6 + .21 1.3 + .147 at alpha = .7, length 3.
              let u r = SpeculationHierarchy.renewalRounds (r, 0.7, 3)
              allWithin 1e-12 [| u 0; u 1; u 2; u 3; u 4 |] [| 0.0; 1.0; 1.3; 1.6; 1.9 |] "by hand"
              for alpha in [ 0.2; 0.7; 0.95 ] do
                  for g in [ 0; 2; 5 ] do
                      for r in 1..30 do
                          let rounds = SpeculationHierarchy.renewalRounds (r, alpha, g)
                          Expect.isTrue (rounds >= float r / DraftLength.expectedTokens (alpha, g) - 1e-12) "Wald"
                          Expect.isTrue (rounds >= SpeculationHierarchy.renewalRounds (r - 1, alpha, g)) "monotone"

          testCase "two levels: exact = approximation = the fixed-length cost; more levels: approximation is optimistic"
          <| fun () ->
              let random = Random 122
              for _ in 1..200 do
                  let costs = Array.init 4 (fun _ -> 0.1 + random.NextDouble())
                  let alphas, drafts = Array.init 3 (fun _ -> random.NextDouble()), Array.init 3 (fun _ -> 1 + random.Next 5)
                  let two = SpeculationHierarchy.exactCost (costs[..1], alphas[..0], drafts[..0])
                  within 1e-12 two (SpeculationHierarchy.approximateCost (costs[..1], alphas[..0], drafts[..0])) "two levels"
                  within 1e-12 two (costs[1] / DraftLength.speedup (alphas[0], drafts[0], costs[0] / costs[1])) "speed-up"
                  let approximate = SpeculationHierarchy.approximateCost (costs, alphas, drafts)
                  Expect.isTrue (SpeculationHierarchy.exactCost (costs, alphas, drafts) >= approximate - 1e-12) "optimistic"

          testCase "the best hierarchy: never worse than any pair; drops a level that does not pay"
          <| fun () ->
              let acceptance = [| [| 0.0; 0.7; 0.5 |]; [| 0.0; 0.0; 0.8 |] |]
              let plan = SpeculationHierarchy.best ([| 1.0; 5.0; 20.0 |], acceptance, 8)
              for alpha, ratio in [ 0.5, 1.0 / 20.0; 0.8, 5.0 / 20.0 ] do
                  let cost = 20.0 / DraftLength.speedup (alpha, DraftLength.optimal (alpha, ratio), ratio)
                  Expect.isTrue (plan.CostPerToken <= cost + 1e-12) "pairs"
              let weak = [| [| 0.0; 0.1; 0.6 |]; [| 0.0; 0.0; 0.7 |] |]
              let useless = SpeculationHierarchy.best ([| 1.0; 9.9; 10.0 |], weak, 6)
              Expect.equal useless.Levels [| 0; 2 |] "without the middle"
              let hopeless = SpeculationHierarchy.best ([| 5.0; 10.0 |], [| [| 0.0; 0.1 |] |], 6)
              Expect.equal (hopeless.Levels, hopeless.CostPerToken) ([| 1 |], 10.0) "target alone" ]
