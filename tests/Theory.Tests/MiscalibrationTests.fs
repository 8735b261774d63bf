module Theory.Tests.MiscalibrationTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// A model with other tables than the true one: means off by up to `size`, kernels mixed with noise.
let internal perturbed (random: Random) size kernelShare (model: ChainModel) =
    let mean q = Math.Clamp(q + size * (2.0 * random.NextDouble() - 1.0), 0.0, 1.0)
    let mix row = Array.map2 (fun a b -> (1.0 - kernelShare) * a + kernelShare * b) row (ChainTests.randomSimplex random row.Length)
    { model with Means = model.Means |> Array.map (Array.map mean); Kernels = model.Kernels |> Array.map (Array.map mix) }

[<Tests>]
let tests =
    testList
        "Examples.Miscalibration"
        [ testCase "property 32: planning with perturbed means and kernels never loses more than the bound"
          <| fun () ->
              let random = Random 91
              let mutable worst = 0.0
              for i in 1..2000 do
                  let model = ChainTests.randomChain random 3 3
                  let wrong = perturbed random (0.3 * random.NextDouble()) (if i % 2 = 0 then 0.0 else 0.1) model
                  let plan = Chain.policy (Chain.plan wrong)
                  let loss = Chain.optimalValue model - Chain.value (model, plan)
                  let errors = Array.map2 (Array.map2 (fun (a: float) b -> abs (a - b))) model.Means wrong.Means
                  // The distribution of S_k over all traces, reached or not: the occupancy of the policy that never stops.
                  let marginals = Chain.occupancy (model, Array.init 2 (fun _ -> Array.create 3 false))
                  let eces = Array.map2 (fun distribution error -> Array.map2 (*) distribution error |> Array.sum) marginals errors
                  let distance p q = SpeculativeSampling.totalVariation (p, q)
                  let kernelErrors = Array.map2 (fun p q -> Array.map2 distance p q |> Array.max) model.Kernels wrong.Kernels
                  let bound = Miscalibration.valueLoss (Array.map Array.max errors, eces, kernelErrors, Chain.range model)
                  Expect.isTrue (loss >= -1e-12 && loss <= bound + 1e-12) $"loss {loss}, bound {bound}"
                  worst <- max worst (loss / bound)
              // The bound is not idle: some perturbation reaches a fair part of it.
              Expect.isGreaterThan worst 0.05 "worst ratio"

          testCase "theory.md Thm 4: the loss is at most the decision error times the expected number of wrong decisions"
          <| fun () ->
              let random = Random 92
              for _ in 1..1000 do
                  let model = ChainTests.randomChain random 3 3
                  let wrong = perturbed random 0.2 0.1 model
                  let truth, made = Chain.plan model, Chain.plan wrong
                  let stop = Chain.policy made
                  let gap a b = Array.map2 (Array.map2 (fun (x: float) y -> abs (x - y))) a b |> Array.concat |> Array.max
                  let reached = Chain.occupancy (model, stop)
                  let wrongDecisions =
                      Seq.sum (
                          seq {
                              for k in 0..1 do
                                  for s in 0..2 do
                                      if stop[k][s] <> (truth.D[k][s] >= 0.0) then reached[k][s]
                          }
                      )
                  let bound = Miscalibration.decisionLoss (gap model.Means[..1] wrong.Means[..1], gap truth.Q made.Q, wrongDecisions)
                  let loss = Chain.optimalValue model - Chain.value (model, stop)
                  Expect.isTrue (loss <= bound + 1e-12) $"loss {loss}, bound {bound}"

          testCase "perfectly calibrated and half of the quality lost: the tables' errors count too"
          <| fun () ->
              // Stage 2 is right half of the time and says so; the table promises that it is always right.
              let model =
                  { Initial = [| 1.0; 0.0 |]
                    Kernels = [| [| [| 1.0; 0.0 |]; [| 1.0; 0.0 |] |] |]
                    Means = [| [| 0.5; 0.5 |]; [| 0.0; 1.0 |] |]
                    ContinueCosts = [| 0.0 |] }
              let wrong = { model with Kernels = [| [| [| 0.0; 1.0 |]; [| 0.0; 1.0 |] |] |] }
              let loss = Chain.optimalValue model - Chain.value (model, Chain.policy (Chain.plan wrong))
              within 1e-15 loss 0.5 "loss"
              Expect.isLessThan
                  (Miscalibration.valueLoss ([| 0.0; 0.0 |], [| 0.0; 0.0 |], [| 0.0 |], 1.0))
                  loss
                  "ECEs alone do not bound it"
              within
                  1e-15
                  (Miscalibration.valueLoss ([| 0.0; 0.0 |], [| 0.0; 0.0 |], [| 1.0 |], 1.0))
                  1.0
                  "the table is wrong by 1 everywhere"

          testCase "the smaller of the two stopping terms counts, errors of stages add, and the bound never exceeds B"
          <| fun () ->
              within 1e-15 (Miscalibration.valueLoss ([| 0.1; 0.05 |], [| 0.02; 0.03 |], [||], 1.0)) 0.1 "ECEs"
              within 1e-15 (Miscalibration.valueLoss ([| 0.04; 0.01 |], [| 0.04; 0.03 |], [| 0.01 |], 1.5)) 0.11 "sup, kernel"
              Expect.equal (Miscalibration.valueLoss ([| 1.0 |], [| 1.0 |], [||], 1.2)) 1.2 "vacuous"
              rejects (fun () -> Miscalibration.valueLoss ([| 0.1 |], [||], [||], 1.0) |> ignore) "lengths" ]
