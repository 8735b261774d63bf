module Experiments.Tests.CascadeReportTests

open System.Globalization
open Expecto
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open Support.SyntheticOutcomes
open Support.SyntheticRecords
open Support.TraceFiles

let private number (text: string) = System.Double.Parse(text, CultureInfo.InvariantCulture)

[<Tests>]
let tests =
    testList
        "CascadeReport"
        [ test "accuracies by cell, signals, and bins that hold every query" {
              withFolder (fun folder ->
                  let records = make 2 CascadeRecords.Test 600 5 lawful
                  CascadeReport.Write(records, ConfidenceCalibration.Fit(make 2 CascadeRecords.Calibration 1500 6 lawful), folder)
                  let header, stages = table folder "stages.csv"
                  Expect.equal header "stage,model,family,level,queries,accuracy,mean_tokens" "stages"
                  Expect.equal stages.Length (2 * 2 * 3) "a row per stage, family and level"
                  for r in stages do
                      let cell = records.Records |> Seq.filter (fun x -> x.Family = r[2] && x.Level = int r[3]) |> Seq.toArray
                      let k = int r[0] - 1
                      Expect.equal (r[1], int r[4]) ($"m{k + 1}", cell.Length) "cell"
                      Expect.floatClose Accuracy.veryHigh (number r[5]) (cell |> Array.averageBy (fun x -> x.Quality[k])) "accuracy"
                      Expect.floatClose
                          Accuracy.veryHigh
                          (number r[6])
                          (cell |> Array.averageBy (fun x -> float x.Features[k].Length))
                          "tokens"
                  let header, signals = table folder "calibration.csv"
                  Expect.equal header "stage,model,feature,auroc,ece,brier" "calibration"
                  Expect.equal signals.Length (2 * (ConfidenceFeatures.Names.Count + 2)) "signals"
                  let cell signal column = number (signals |> Array.find (fun r -> r[0] = "1" && r[2] = signal)).[column]
                  Expect.isGreaterThan (cell "min_log_probability" 3) 0.6 "the signal of the distribution ranks"
                  Expect.equal (cell "raw" 3) (cell "min_log_probability" 3) "the same order"
                  Expect.isLessThan (cell "calibrated" 4) (cell "raw" 4) "calibrated better than raw"
                  Expect.isLessThan (cell "calibrated" 5) (cell "raw" 5) "Brier"
                  let header, bins = table folder "reliability.csv"
                  Expect.equal header "stage,model,bin_low,bin_high,count,confidence,accuracy" "reliability"
                  Expect.equal (bins |> Array.sumBy (fun r -> int r[4])) (2 * 600) "counts")
          }
          test "models that are never or always right have no AUROC, and are no crash" {
              for label in [ 0.0; 1.0 ] do
                  withFolder (fun folder ->
                      let records = make 2 CascadeRecords.Test 120 5 (fun _ _ _ -> label)
                      CascadeReport.Write(records, ConfidenceCalibration.Fit records, folder)
                      for r in snd (table folder "calibration.csv") do
                          Expect.equal r[3] "" "auroc")
          } ]
