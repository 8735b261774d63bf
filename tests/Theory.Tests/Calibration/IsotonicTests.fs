module Theory.Tests.IsotonicTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let internal sample (seed: int) count =
    let random = Random seed
    let signals = Array.init count (fun _ -> Math.Round(random.NextDouble(), 2))
    let labels = signals |> Array.map (fun s -> if random.NextDouble() < s * s then 1.0 else 0.0)
    signals, labels

[<Tests>]
let tests =
    testList
        "Examples.Isotonic"
        [ testCase "pool adjacent violators: R 4.2.2, example of isoreg"
          <| fun () ->
              let y = [| 1.; 0.; 4.; 3.; 3.; 5.; 4.; 2.; 0. |]
              allWithin 1e-12 (Isotonic.poolAdjacentViolators (y, Array.create 9 1.0)) [| 0.5; 0.5; 3.; 3.; 3.; 3.; 3.; 3.; 3. |] "fit"

          testCase "the fit is monotone, keeps the mean, and no monotone step function of two values fits better"
          <| fun () ->
              for seed in 1..20 do
                  let signals, labels = sample seed 150
                  let fitted = Isotonic.fit (signals, labels)
                  let predicted = signals |> Array.map fitted.Apply
                  within 1e-12 (Array.average predicted) (Array.average labels) "mean"
                  let grid = Array.init 201 (fun i -> fitted.Apply(float i / 200.0))
                  Expect.isTrue (grid |> Array.pairwise |> Array.forall (fun (a, b) -> a <= b)) "monotone"
                  let brier = CalibrationMetrics.brier (predicted, labels)
                  for cut in 0.05..0.1..0.95 do
                      for low in 0.0..0.1..0.5 do
                          let steps = signals |> Array.map (fun s -> if s < cut then low else min 1.0 (low + 0.4))
                          Expect.isLessThanOrEqual brier (CalibrationMetrics.brier (steps, labels) + 1e-12) "least squares"

          testCase "beyond the ends it is flat, between knots linear"
          <| fun () ->
              let map = Isotonic.fit ([| 0.2; 0.4; 0.8 |], [| 0.0; 0.5; 1.0 |])
              allWithin 1e-12 ([| 0.0; 0.2; 0.3; 0.6; 0.9 |] |> Array.map map.Apply) [| 0.0; 0.0; 0.25; 0.75; 1.0 |] "values"

          testCase "it survives a round trip through JSON" <| fun () -> survivesJson (Isotonic.fit (sample 3 50))

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> Isotonic.fit ([| 0.1 |], [| 1.5 |]) |> ignore) "label above 1"
              rejects (fun () -> Isotonic.fit ([| 0.1; 0.2 |], [| 1.0 |]) |> ignore) "lengths"
              rejects (fun () -> Isotonic.fit ([||], [||]) |> ignore) "empty" ]
