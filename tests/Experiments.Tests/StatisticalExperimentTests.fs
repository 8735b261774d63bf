module Experiments.Tests.StatisticalExperimentTests

open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Theory.Policies
open Support.TraceFiles
open Experiments.Tests.SmallCascades

let private table () =
    withFolder (fun folder ->
        StatisticalExperiment.Run(bench.Value, options, folder)
        rows folder "table1.csv")

[<Tests>]
let tests =
    testList
        "StatisticalExperiment"
        [ test "each row compares mean utilities at the price, on every test query" {
              let table, test = table (), (Support.SyntheticOutcomes.testOf bench.Value.Outcomes)
              let lambda = 0.25 / fst (single (Support.SyntheticOutcomes.calibrationOf bench.Value.Outcomes) 3)
              for r in table do
                  let name = r["baseline"]
                  Expect.floatClose Accuracy.high (number "lambda" r) lambda "price"
                  for who in [ "default"; "baseline" ] do
                      Expect.floatClose
                          Accuracy.high
                          (number $"utility_{who}" r)
                          (number $"quality_{who}" r - lambda * number $"cost_{who}" r)
                          name
                  let d = number "difference" r
                  Expect.floatClose Accuracy.high d (number "utility_default" r - number "utility_baseline" r) name
                  Expect.isTrue (number "ci_low" r <= d && d <= number "ci_high" r) $"{name}: interval"
                  Expect.isTrue (number "d_z_low" r <= number "d_z" r && number "d_z" r <= number "d_z_high" r) $"{name}: d_z"
                  Expect.equal (int r["pairs"]) test.Queries "every test query"
              for k in 0..3 do
                  let r = table |> Array.find (fun r -> r["baseline"] = $"fixed-{k + 1}")
                  let cost, quality = single test k
                  Expect.floatClose Accuracy.high (number "utility_baseline" r) (quality - lambda * cost) $"model {k + 1}"
          }

          test "the calibration part sets the price" {
              let calibration = cascade 3 150 1
              let dearer =
                  let test = cascade 3 150 2
                  RecordedCascade.Create(150, 3, test.Cost |> Array.map (fun c -> 2.0 * c), test.Confidence, test.Quality)
              inFolder "statistical" options (outcomesOf calibration dearer) (fun folder ->
                  for r in rows folder "table1.csv" do
                      Expect.floatClose Accuracy.high (number "lambda" r) (0.25 / 4.0) "the last stage costs 4 there, 8 in the test part")
          }

          test "every baseline competes at its best calibration point for the price" {
              let table = table ()
              for r in table do
                  let lambda, points = number "lambda" r, bench.Value[r["baseline"]].Points
                  let onCalibration (p: BenchPoint) = Array.average p.Calibration.Quality - lambda * Array.average p.Calibration.Cost
                  let used =
                      points
                      |> Seq.filter (fun p ->
                          abs (p.TestCost - number "cost_baseline" r) < 1e-9 && abs (p.TestQuality - number "quality_baseline" r) < 1e-9)
                  Expect.isTrue
                      (used |> Seq.exists (fun p -> onCalibration p >= (points |> Seq.map onCalibration |> Seq.max) - 1e-12))
                      r["baseline"]
          }

          test "Holm's correction is over all baselines; the oracle bounds and does not compete" {
              let table = table ()
              let oracle, family = table |> Array.partition (fun r -> r["baseline"] = "oracle")
              Expect.equal oracle.Length 1 "one oracle row"
              Expect.isTrue (oracle[0].["p_holm"] = "" && oracle[0].["p_bh"] = "") "no adjusted p-value"
              Expect.isTrue (number "difference" oracle[0] < 0.0) "the oracle is above"
              Expect.equal family.Length 11 "recall, jump, chain, two thresholds, pairs, random, four models"
              // The family that was taken as the default is not tested against itself.
              let family = family |> Array.filter (fun r -> r["baseline"] <> bench.Value.DefaultFamily)
              // Step down: the largest so far of (m - rank) p, at most 1.
              let mutable running = 0.0
              for i, r in family |> Array.sortBy (number "p_permutation") |> Array.indexed do
                  running <- max running (min 1.0 (float (family.Length - i) * number "p_permutation" r))
                  Expect.floatClose Accuracy.high (number "p_holm" r) running r["baseline"]
          }

          test "a difference that is the same on every query has no finite effect size, and the cell is empty" {
              // All stages are right or wrong together, so single models differ by cost alone, which is the same on every
              // query but for rounding: 1 - lambda c and 0 - lambda c lose different digits.
              let right = cascade 3 200 1 |> withQuality (fun q _ _ -> float (q % 2))
              inFolder "statistical" (ExperimentOptions(Resamples = 200, TablePrice = 0.3)) (outcomesOf right right) (fun folder ->
                  for r in rows folder "table1.csv" do
                      for cell in r.Values do
                          Expect.isFalse (cell.Contains "Infinity" || cell.Contains "NaN") "no such text"
                  let row = rows folder "table1.csv" |> Array.find (fun r -> r["baseline"] = "fixed-3")
                  Expect.isTrue (number "difference" row > 0.0) "dearer, no better"
                  for column in [ "d_z"; "g_z"; "d_z_low"; "d_z_high" ] do
                      Expect.equal row[column] "" column)
          } ]
