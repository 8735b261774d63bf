module Theory.Tests.CalibrationMetricsTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.CalibrationMetrics"
        [ testCase "AUROC with ties is U / (n+ n-): scipy 1.10.1, mannwhitneyu"
          <| fun () ->
              let s, y = [| 0.1; 0.4; 0.35; 0.8; 0.4; 0.4; 0.9; 0.35 |], [| 0.; 0.; 1.; 1.; 1.; 0.; 1.; 0. |]
              within 1e-15 (CalibrationMetrics.auroc (s, y)) 0.78125 "auroc"
              within 1e-15 (CalibrationMetrics.auroc (Array.map (~-) s, y)) (1.0 - 0.78125) "reversed"
              Expect.isTrue (Double.IsNaN(CalibrationMetrics.auroc (s, Array.create 8 1.0))) "one class"
              within 1e-15 (CalibrationMetrics.auroc (Array.create 8 0.5, y)) 0.5 "no information"

          testCase "AUROC equals the count over all pairs"
          <| fun () ->
              let s, y = IsotonicTests.sample 2 120
              let pairs =
                  [ for i in 0..119 do
                        for j in 0..119 do
                            if y[i] = 1.0 && y[j] = 0.0 then compare s[i] s[j] ]
              let expected = pairs |> List.averageBy (fun c -> (1.0 + float (sign c)) / 2.0)
              within 1e-12 (CalibrationMetrics.auroc (s, y)) expected "auroc"

          testCase "Brier, log loss and both calibration errors on a worked example"
          <| fun () ->
              let p, y = [| 0.1; 0.3; 0.8; 1.0 |], [| 0.0; 1.0; 1.0; 1.0 |]
              within 1e-15 (CalibrationMetrics.brier (p, y)) ((0.01 + 0.49 + 0.04) / 4.0) "Brier"
              within 1e-11 (CalibrationMetrics.logLoss (p, y)) (-(log 0.9 + log 0.3 + log 0.8) / 4.0) "log loss"
              // Halves [0,.5) and [.5,1]: gaps |.2 - .5| and |.9 - 1|, weight one half each; by mass the cells are the same.
              within 1e-12 (CalibrationMetrics.eceEqualWidth (p, y, 2)) 0.2 "equal width"
              within 1e-12 (CalibrationMetrics.eceEqualMass (p, y, 2)) 0.2 "equal mass"
              let bins = CalibrationMetrics.reliabilityEqualWidth (p, y, 10)
              Expect.equal (bins |> Array.sumBy (fun b -> b.Count)) 4 "all counted"
              Expect.equal bins[9].Count 1 "1.0 falls in the last bin"

          testCase "calibrated predictions have a small error, shifted ones the shift"
          <| fun () ->
              let random = Random 4
              let p = Array.init 40000 (fun _ -> 0.1 + 0.6 * random.NextDouble())
              let y = p |> Array.map (fun p -> if random.NextDouble() < p then 1.0 else 0.0)
              Expect.isLessThan (CalibrationMetrics.eceEqualMass (p, y, 10)) 0.015 "calibrated"
              within 0.01 (CalibrationMetrics.eceEqualMass (p |> Array.map (fun p -> p + 0.2), y, 10)) 0.2 "shifted"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> CalibrationMetrics.brier ([| 1.2 |], [| 1.0 |]) |> ignore) "probability"
              rejects (fun () -> CalibrationMetrics.eceEqualWidth ([| 0.2 |], [| 1.0 |], 0) |> ignore) "no bins" ]
