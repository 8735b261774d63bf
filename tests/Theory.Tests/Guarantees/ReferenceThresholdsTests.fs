module Theory.Tests.ReferenceThresholdsTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private cascade = [| 1.0; 2.0; 4.5; 10.0 |]

/// Independent stages on a grid of `m` equally likely confidences; the last stage always right if `certain`.
let private onGrid m (costs: float[]) certain : JumpModel =
    let n = costs.Length
    let distribution = Array.create m (1.0 / float m)
    let means k = Array.init m (fun s -> if certain && k = n - 1 then 1.0 else (float s + 0.5) / float m)
    { Costs = costs
      Means = Array.init n means
      Entry = Array.create n distribution
      Kernels = Array.init n (fun _ -> Array.create n (Array.create m distribution)) }

[<Tests>]
let tests =
    testList
        "Examples.ReferenceThresholds"
        [ testCase "jump and recall thresholds = planning on a fine grid, both assumptions, five prices"
          <| fun () ->
              let m = 200
              for lambda in [ 0.0; 0.005; 0.02; 0.04; 0.09 ] do
                  for certain, reference in
                      [ false, ReferenceThresholds.Uniform(cascade, lambda); true, ReferenceThresholds.Reference(cascade, lambda) ] do
                      let model = onGrid m cascade certain
                      let jump = Jump.plan (model, lambda)
                      let cell = 1.0 / float m
                      within cell reference.Value jump.Outcome.Value $"value at {lambda}, {certain}"
                      for k in 0..2 do
                          // Independent offers: the value of going on is the threshold, the same from every bin.
                          within
                              cell
                              reference.Jump[k]
                              (Math.Clamp(jump.Continuations[k].[0], 0.0, 1.0))
                              $"jump {k}, lambda {lambda}, {certain}"
                      let small = onGrid 40 cascade certain
                      let recall = Recall.plan (small, lambda)
                      for k in 0..2 do
                          let least = recall.Thresholds[k].[0]
                          let found =
                              if least = recall.Levels.Length then 1.0
                              elif least = 0 then 0.0
                              else recall.Levels[least]
                          within (2.0 / 40.0) reference.Recall[k] found $"recall {k}, lambda {lambda}, {certain}"

          testCase "the chain's thresholds are Moser's recursion; by hand at lambda 0.02"
          <| fun () ->
              let t = ReferenceThresholds.Uniform(cascade, 0.02)
              let w3 = 0.5 - 0.2
              let w2 = (1.0 + w3 * w3) / 2.0 - 0.09
              let w1 = (1.0 + w2 * w2) / 2.0 - 0.04
              allWithin 1e-15 t.Chain [| w1; w2; w3 |] "uniform"
              allWithin 1e-15 t.Recall [| 1.0 - sqrt 0.08; 1.0 - sqrt 0.18; 1.0 - sqrt 0.4 |] "Weitzman"
              let r = ReferenceThresholds.Reference(cascade, 0.02)
              within 1e-15 r.Chain[2] 0.8 "before a model that is always right: 1 - lambda c"

          testCase "no threshold above the ceiling; none rises with lambda; jump >= chain; break-even prices"
          <| fun () ->
              let random = Random 72
              for _ in 1..500 do
                  let costs = Array.init (2 + random.Next 5) (fun _ -> 0.1 + random.NextDouble()) |> Array.scan (+) 0.1
                  let low = random.NextDouble()
                  let high = low + random.NextDouble()
                  let at lambda = ReferenceThresholds.All(costs, lambda)
                  let mutable last = at low
                  for t in last do
                      for k in 0 .. costs.Length - 2 do
                          for x in [ t.Chain[k]; t.Jump[k]; t.Recall[k] ] do
                              Expect.isTrue (x <= last[0].Chain[k] + 1e-12 && x >= 0.0) "within [0, ceiling]"
                          Expect.isTrue (t.Jump[k] >= t.Chain[k]) "jump >= chain"
                  Array.iter2
                      (fun a b ->
                          for k in 0 .. costs.Length - 2 do
                              Expect.isTrue
                                  (b.Chain[k] <= a.Chain[k] && b.Jump[k] <= a.Jump[k] && b.Recall[k] <= a.Recall[k])
                                  "falls with lambda")
                      last
                      (at high)
                  ReferenceThresholds.BreakEvenPrices costs
                  |> Array.iteri (fun k price ->
                      Expect.isTrue ((ReferenceThresholds.Ceiling(costs, 0.999 * price)).Chain[k] > 0.0) "just below it may pay"
                      Expect.equal (ReferenceThresholds.Ceiling(costs, 1.001 * price)).Chain[k] 0.0 "beyond it cannot")

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> ReferenceThresholds.Uniform(cascade, -1.0) |> ignore) "negative price"
              rejects (fun () -> ReferenceThresholds.Uniform([||], 1.0) |> ignore) "no stage"
              rejects (fun () -> ReferenceThresholds.Ceiling([| 1.0; nan |], 1.0) |> ignore) "NaN cost" ]
