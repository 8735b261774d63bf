module Theory.Tests.DraftStoppingTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// What drafting one more token and then stopping optimally nets, E[tokens - rho cost], when the draft so far survives
/// with probability `survival` and at most `left` more may be drafted: dynamic programming on histories.
let rec private goOn (distribution: DiscreteDistribution) c rho survival left =
    Array.fold2
        (fun sum a p ->
            let next = survival * a
            sum + p * (next + (if left = 1 then 0.0 else max 0.0 (goOn distribution c rho next (left - 1)))))
        (-rho * c)
        distribution.Values
        distribution.Probabilities

let private randomDistribution (random: Random) size =
    { Values = Array.init size (fun _ -> 0.2 + 0.79 * random.NextDouble())
      Probabilities = ChainTests.randomSimplex random size }

[<Tests>]
let tests =
    testList
        "Examples.DraftStopping"
        [ testCase "property 35: the rate is the Dinkelbach root of the dynamic programme over all stopping rules"
          <| fun () ->
              let random = Random 111
              for _ in 1..100 do
                  let distribution, c = randomDistribution random 2, 0.05 + 0.4 * random.NextDouble()
                  let rule = DraftStopping.optimal (distribution, c, 10)
                  within 1e-9 (1.0 - rule.Rate + max 0.0 (goOn distribution c rule.Rate 1.0 10)) 0.0 "root"

          testCase "property 35: the threshold makes the decisions of the truncated dynamic programme"
          <| fun () ->
              let random = Random 112
              for _ in 1..100 do
                  let distribution, c = randomDistribution random 3, 0.05 + 0.3 * random.NextDouble()
                  let rule = DraftStopping.optimal (distribution, c, 6)
                  for survival in 0.05..0.1..0.95 do
                      let net = goOn distribution c rule.Rate survival 5
                      if abs net > 1e-9 then Expect.equal (survival > rule.Threshold) (net > 0.0) $"A = {survival}"

          testCase "many values: survivals are grouped, the rate is that of the plan on a grid and nearly that of fewer values"
          <| fun () ->
              let spread k =
                  { Values = Array.init k (fun i -> 0.5 + 0.49 * (float i + 0.5) / float k)
                    Probabilities = Array.create k (1.0 / float k) }
              for c in [ 0.02; 0.1 ] do
                  let rule = DraftStopping.optimal (spread 20, c, 40)
                  let plan = DraftPlanning.optimal (spread 20, c, Array.create 41 1.0)
                  within (3e-4 * plan.Rate) rule.Rate plan.Rate "rate"
                  within 5e-3 rule.Threshold plan.Continue[0] "threshold"
                  within (1e-2 * plan.Rate) (DraftStopping.optimal (spread 60, c, 40)).Rate rule.Rate "60 values"
              // Two values, where the survivals are few: grouped and exact are told apart by the bar of the exact test above.
              let few = DraftStopping.optimal ({ Values = [| 0.6; 0.95 |]; Probabilities = [| 0.5; 0.5 |] }, 0.05, 200)
              let many =
                  DraftStopping.optimal (
                      { Values = Array.init 40 (fun i -> (if i % 2 = 0 then 0.6 else 0.95) + 1e-7 * float i)
                        Probabilities = Array.create 40 0.025 },
                      0.05,
                      200
                  )
              within (1e-4 * few.Rate) many.Rate few.Rate "each value split into twenty"

          testCase "constant acceptance: the rate is the best fixed length's speed-up, and its length"
          <| fun () ->
              for alpha, c in [ 0.8, 0.1; 0.6, 0.05; 0.3, 0.5; 0.95, 0.2 ] do
                  let rule = DraftStopping.optimal ({ Values = [| alpha |]; Probabilities = [| 1.0 |] }, c, 100)
                  let best = DraftLength.optimal (alpha, c)
                  within 1e-12 rule.Rate (DraftLength.speedup (alpha, best, c)) "rate"
                  within 1e-12 rule.MeanLength (float best) "length"

          testCase "looking at the drafter's confidence never loses, and gains when it varies"
          <| fun () ->
              let random = Random 113
              for _ in 1..50 do
                  let distribution, c = randomDistribution random 3, 0.05 + 0.2 * random.NextDouble()
                  let mean = Pandora.expectedMaximum (distribution, 0.0)
                  let fixedLength = DraftLength.speedup (mean, DraftLength.optimal (mean, c), c)
                  Expect.isTrue ((DraftStopping.optimal (distribution, c, 100)).Rate >= fixedLength - 1e-12) "at least"
              let sharp = { Values = [| 0.1; 0.99 |]; Probabilities = [| 0.3; 0.7 |] }
              let mean = 0.3 * 0.1 + 0.7 * 0.99
              let blind = DraftLength.speedup (mean, DraftLength.optimal (mean, 0.1), 0.1)
              Expect.isGreaterThan (DraftStopping.optimal (sharp, 0.1, 100)).Rate (1.1 * blind) "10 % more"

          testCase "bad input is rejected"
          <| fun () ->
              let constant a = { Values = [| a |]; Probabilities = [| 1.0 |] }
              rejects (fun () -> DraftStopping.optimal (constant 1.2, 0.1, 5) |> ignore) "above 1"
              rejects (fun () -> DraftStopping.optimal (constant 0.0, 0.1, 5) |> ignore) "mean 0" ]
