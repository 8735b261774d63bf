module Theory.Tests.HistogramBinningTests

open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.HistogramBinning"
        [ testCase "a worked example: four signals, two bins"
          <| fun () ->
              let fitted = HistogramBinning.fit ([| 0.1; 0.2; 0.7; 0.9 |], [| 0.0; 1.0; 1.0; 1.0 |], 2)
              Expect.equal fitted { Edges = [| 0.7 |]; Values = [| 0.5; 1.0 |] } "cells"
              survivesJson fitted
              Expect.equal (fitted.Apply 0.69, fitted.Apply 0.7) (0.5, 1.0) "a cell holds its lower edge"

          testCase "cells are of equal mass without ties, never empty with them, and keep the mean"
          <| fun () ->
              let signals = Array.init 100 (fun i -> float ((i * 37) % 100))
              let edges = HistogramBinning.equalMassEdges (signals, 7)
              let binning = { Edges = edges; Values = Array.zeroCreate 7 }
              for _, count in signals |> Array.countBy binning.Bin do
                  Expect.isTrue (count = 14 || count = 15) "100 over 7"
              for seed in 1..10 do
                  let signals, labels = IsotonicTests.sample seed 60
                  let fitted = HistogramBinning.fit (signals, labels, 25)
                  within 1e-12 (signals |> Array.averageBy fitted.Apply) (Array.average labels) "mean"
              Expect.equal (HistogramBinning.fit ([| 0.5; 0.5 |], [| 0.0; 1.0 |], 4)).Values [| 0.5 |] "one distinct signal" ]
