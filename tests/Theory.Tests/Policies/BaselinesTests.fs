module Theory.Tests.BaselinesTests

open System
open Expecto
open OptimalStopping.Theory.Policies
open Theory.Tests

let private data = SyntheticCascade.continuous 3 300 51
let private rows = SyntheticCascade.allRows data

let private value lambda (o: ReplayOutcome) = Array.average o.Quality - lambda * Array.average o.Cost

let private best lambda (family: FittedFamily) =
    family.Policies |> Array.map (fun p -> value lambda (Replay.run (p, data, rows))) |> Array.max

[<Tests>]
let tests =
    testList
        "Examples.Baselines"
        [ test "the oracle is above every family, the pair envelope above the mixtures, on the training part" {
              for lambda in [ 0.0; 0.02; 0.05; 0.1; 0.5 ] do
                  let oracle = value lambda (Baselines.oracle data rows lambda)
                  let pairs, mixtures = best lambda (Baselines.pairEnvelope data rows), best lambda (Baselines.mixtures data rows)
                  for family in
                      [ Baselines.pairEnvelope data rows
                        Baselines.mixtures data rows
                        Baselines.commonThreshold data rows
                        Baselines.chainThresholds data rows [| lambda |] ] do
                      Expect.isTrue (best lambda family <= oracle + 1e-12) $"{family.Name} at {lambda}"
                  Expect.isTrue (pairs >= mixtures - 1e-12) $"pairs {pairs}, mixtures {mixtures}"
          }

          test "chain thresholds come close to the best of a full grid" {
              for lambda in [ 0.02; 0.05; 0.1 ] do
                  let mutable grid = -infinity
                  for i in 0..25 do
                      for j in 0..25 do
                          let cascade = ThresholdCascade(3, [| 0; 1; 2 |], [| float i / 25.0; float j / 25.0 |])
                          grid <- max grid (value lambda (Replay.run (cascade, data, rows)))
                  let found = best lambda (Baselines.chainThresholds data rows [| lambda |])
                  Expect.isTrue (found >= grid - 0.01) $"lambda {lambda}: found {found}, grid {grid}"
          }

          test "random stopping: uniform and extreme tilts by hand" {
              let mean f = rows |> Array.averageBy f
              let q k = mean (fun r -> data.Quality[r * 3 + k])
              let uniform = Baselines.randomStop data rows 0.0
              Close.within 1e-12 (Array.average uniform.Cost) ((1.0 + 3.0 + 7.0) / 3.0) "cost: 1, 1+2, 1+2+4"
              Close.within 1e-12 (Array.average uniform.Quality) ((q 0 + q 1 + q 2) / 3.0) "quality"
              Close.within 1e-9 (Array.average (Baselines.randomStop data rows 50.0).Cost) 7.0 "always the last"
              Close.within 1e-9 (Array.average (Baselines.randomStop data rows -50.0).Cost) 1.0 "always the first"
          } ]
