module Theory.Tests.RecallTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.JumpTests

[<Tests>]
let tests =
    testList
        "Examples.Recall"
        [ testCase "the planner equals the exact solver with all signals in its state, on 1,000 Markov distributions"
          <| fun () ->
              let random = Random 31
              for i in 1..1000 do
                  let chain = randomChain random (2 + i % 3) (2 + i % 2)
                  let lambda = 0.5 * random.NextDouble()
                  let planned = (Recall.plan (Jump.fromChain chain, lambda)).Outcome
                  let exact = BruteForce.solve (asJointDistribution chain, lambda, ActionSet.Recall)
                  within 1e-12 planned.Value exact.Value "value"
                  within 1e-9 planned.Cost exact.Cost "cost"

          testCase "at least the jump plan; equal to it when later stages always look better"
          <| fun () ->
              let random = Random 32
              for _ in 1..200 do
                  let costs, means, initial, steps = randomChain random 4 3
                  let model = Jump.fromChain (costs, means, initial, steps)
                  let recall model = (Recall.plan (model, 0.2)).Outcome.Value
                  let jump model = (Jump.plan (model, 0.2)).Outcome.Value
                  Expect.isTrue (recall model >= jump model - 1e-12) "recall"
                  let rising = { model with Means = means |> Array.mapi (fun k -> Array.map (fun q -> float k + q)) }
                  within 1e-12 (recall rising) (jump rising) "no use for recall"

          testCase "property 12: value convex, non-decreasing and 1-Lipschitz in the best level; stopping a threshold"
          <| fun () ->
              let random = Random 33
              for _ in 1..200 do
                  let model = Jump.fromChain (randomChain random 3 3)
                  let plan = Recall.plan (model, 0.15)
                  let count = plan.Levels.Length
                  for k in 0..2 do
                      for s in 0..2 do
                          let from = plan.LevelOf[k].[s]
                          let value b = plan.Values[k].[s * count + b]
                          let slope b = (value (b + 1) - value b) / (plan.Levels[b + 1] - plan.Levels[b])
                          let slopes = Array.map slope [| from .. count - 2 |]
                          Expect.all slopes (fun v -> v >= -1e-6 && v <= 1.0 + 1e-6) "slope in [0,1]"
                          Expect.isTrue (Array.pairwise slopes |> Array.forall (fun (a, b) -> a <= b + 1e-6)) "convex"
                          for b in from .. count - 1 do
                              Expect.equal (plan.Next(k, s, b) = k) (b >= plan.Thresholds[k].[s]) "threshold" ]
