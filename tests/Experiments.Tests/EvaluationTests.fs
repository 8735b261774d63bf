module Experiments.Tests.EvaluationTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open Support.TraceFiles

let private options traces out = EvaluationOptions(traces, out, Seed = 3, Resamples = 100)

let private evaluate lines = withLines lines (fun path -> Evaluation.Run(TraceReader.ReadTable path, options path "", null))

[<Tests>]
let tests =
    testList
        "Evaluation"
        [ test "writes the fixed headers, and curve.csv yields summary.csv's AUC" {
              withFolder (fun folder ->
                  withLines (cascade 1200 1) (fun path ->
                      let report = Evaluation.Run(options path folder, null)
                      let rows name = File.ReadAllLines(Path.Combine(folder, name)) |> Array.map (fun l -> l.Split ',')
                      let curve, summary = rows "curve.csv", rows "summary.csv"
                      Expect.equal (String.Join(",", curve[0])) "policy,lambda,cost,quality" "curve header"
                      Expect.equal (String.Join(",", summary[0])) "policy,auc,cost_at_98pct,quality_max" "summary header"
                      let best = Array.IndexOf(report.ModelQuality, Array.max report.ModelQuality)
                      let low, high = Array.min report.ModelCost, report.ModelCost[best]
                      for row in summary[1..] do
                          let points =
                              curve[1..]
                              |> Array.filter (fun r -> r[0] = row[0])
                              |> Array.map (fun r -> float r[2], float r[3])
                              |> Array.sort
                          let at c =
                              let before = points |> Array.filter (fun (x, _) -> x <= c)
                              let after = points |> Array.filter (fun (x, _) -> x > c)
                              if before.Length = 0 then
                                  snd after[0]
                              elif after.Length = 0 then
                                  snd (Array.last before)
                              else
                                  let (x0, y0), (x1, y1) = Array.last before, after[0]
                                  y0 + (y1 - y0) * (c - x0) / (x1 - x0)
                          let steps = 20_000
                          let area = Array.init steps (fun i -> at (low + (high - low) * (float i + 0.5) / float steps))
                          Expect.isTrue (abs (Array.average area - float row[1]) < 1e-4) $"{row[0]}: {Array.average area}, {row[1]}"
                          Expect.equal (float row[3]) (points |> Array.map snd |> Array.max) "quality_max"
                      Expect.isEmpty (Directory.GetFiles(folder, "*.part")) "nothing half-written"))
          }

          test "the default leads, the oracle bounds everything, intervals hold their values" {
              let report = evaluate (cascade 3000 2)
              let auc name = report[name].["auc"].Value
              for policy in report.Policies do
                  Expect.isTrue (auc policy.Policy <= auc "oracle") $"{policy.Policy} above the oracle"
                  let m = policy["auc"]
                  Expect.isTrue (m.Low <= m.Value && m.Value <= m.High) $"{policy.Policy}: {m}"
                  Expect.isTrue (m.DifferenceLow <= m.Difference && m.Difference <= m.DifferenceHigh) $"{policy.Policy}: {m}"
              Expect.isTrue (auc "recall" > auc "random" && auc "recall" > auc "threshold") "recall leads"
              Expect.equal report["pair-envelope"].["auc"].Difference 0.0 "the reference differs from itself by nothing"
          }

          test "the sentence says what the chosen point keeps and costs, within its intervals" {
              let report = evaluate (cascade 3000 2)
              let headline = report.Headline |> Option.ofObj |> Option.get
              let reference = Seq.findIndex ((=) headline.Reference) report.Models
              let point = report["default"].Points |> Seq.find (fun p -> p.Lambda = headline.Lambda)
              Expect.isTrue headline.Saves "a cheaper policy"
              Expect.floatClose Accuracy.high headline.Quality.Value (point.Quality / report.ModelQuality[reference]) "quality"
              Expect.floatClose Accuracy.high headline.Cost.Value (point.Cost / report.ModelCost[reference]) "cost"
              Expect.isTrue (headline.Quality.Value > 0.95 && headline.Cost.Value < 1.0) "about what was asked for"
              for share in [ headline.Quality; headline.Cost ] do
                  Expect.isTrue (share.Low < share.Value && share.Value < share.High) $"{share}"
              Expect.stringStarts (headline.Sentence "$") "Keeps " "in words"
              Expect.stringContains (headline.Sentence "$") $" of {headline.Reference}'s quality at " "the model"
              Expect.stringContains (headline.Sentence "$") " instead of $" "amounts"
          }

          test "each model's confidence is judged, and what competed to be the default is told" {
              let report = evaluate (cascade 1200 3)
              Expect.sequenceEqual (report.ModelRows |> Seq.map _.Model) report.Models "models"
              for row in report.ModelRows do
                  Expect.isTrue (row.Auroc > 0.55 && row.Auroc <= 1.0) $"informative: {row}"
                  Expect.equal row.Recorded 1.0 "recorded"
                  Expect.isTrue (Double.IsNaN row.FeaturesAuroc) "nothing but confidences was recorded"
              Expect.sequenceEqual
                  (report.Candidates |> Seq.map _.Name)
                  [ "mixture"; "pair-envelope"; "chain"; "jump"; "recall" ]
                  "from the simplest to the richest"
          }

          test "the same seed gives the same bytes, another seed another split" {
              let run seed =
                  withFolder (fun folder ->
                      withLines (cascade 400 4) (fun path ->
                          Evaluation.Run(EvaluationOptions(path, folder, Seed = seed, Resamples = 50), null) |> ignore
                          [ "curve.csv"; "summary.csv"; "metrics.csv"; "stops.csv" ]
                          |> List.map (fun f -> File.ReadAllText(Path.Combine(folder, f)))))
              Expect.equal (run 1) (run 1) "same seed"
              Expect.notEqual (run 1) (run 2) "other seed"
          }

          test "operating points come from the train part alone" {
              let lines = cascade 600 5
              let split = EvaluationSplit.Make(600, 0.5, 3)
              // Turn every quality of the test part around: the curves change, the operating points must not.
              let turned = Array.copy lines
              for i in split.Test do
                  turned[i] <-
                      lines[i]
                          .Replace("\"quality\":1", "\"quality\":T")
                          .Replace("\"quality\":0", "\"quality\":1")
                          .Replace("\"quality\":T", "\"quality\":0")
              let before, after = evaluate lines, evaluate turned
              for policy in before.Policies do
                  let parameters (r: EvaluationReport) = r[policy.Policy].Points |> Seq.map (fun p -> p.Lambda, p.Cost) |> Set.ofSeq
                  if policy.Policy <> "oracle" then Expect.equal (parameters after) (parameters before) policy.Policy
              Expect.notEqual (after["recall"].["auc"].Value) (before["recall"].["auc"].Value) "qualities did change"
          }

          test "a malformed line stops everything before anything is written over" {
              withFolder (fun folder ->
                  File.WriteAllText(Path.Combine(folder, "curve.csv"), "precious")
                  withLines (Array.append (cascade 50 6) [| "{oops" |]) (fun path ->
                      let message =
                          try
                              Evaluation.Run(options path folder, null) |> ignore
                              ""
                          with :? ToolkitException as e ->
                              e.Message
                      Expect.stringContains message ":51: line: expected one JSON object, got {oops" "message")
                  Expect.equal (File.ReadAllText(Path.Combine(folder, "curve.csv"))) "precious" "old results"
                  Expect.equal (Directory.GetFiles folder).Length 1 "no new file")
          }

          test "logs as they are: null confidences, missing stages, fractional quality, varying costs" {
              let random = Random 7
              let lines =
                  [| for q in 1..300 do
                         line
                             $"q{q}"
                             [ for k in 0..4 do
                                   if k = q % 5 || random.NextDouble() < 0.8 then
                                       let confidence = if random.Next 4 = 0 then None else Some(random.NextDouble())
                                       stage $"m{k}" (random.NextDouble() * float (k + 1)) confidence (random.NextDouble()) ] |]
              let report = evaluate lines
              for policy in report.Policies do
                  Expect.isGreaterThan policy.Points.Count 0 "has points"
                  Expect.isFalse (policy.Points |> Seq.exists (fun p -> Double.IsNaN p.Cost || Double.IsNaN p.Quality)) policy.Policy
          }

          test "no confidences at all: the best is a mixture of single models" {
              let random = Random 8
              let lines =
                  [| for q in 1..400 do
                         line
                             $"q{q}"
                             [ for k in 0..1 do
                                   stage $"m{k}" (1.0 + 9.0 * float k) None (if random.NextDouble() < 0.5 + 0.3 * float k then 1.0 else 0.0) ] |]
              let report = evaluate lines
              Expect.isTrue (abs (report["recall"].["auc"].Value - report["mixture"].["auc"].Value) < 0.01) "recall is the mixture"
          }

          test "a study holds what single evaluations hold, and the ceiling is fitted on the test part" {
              withLines (cascade 400 12) (fun path ->
                  let table = TraceReader.ReadTable path
                  let options = EvaluationOptions(path, "", Seed = 5, Resamples = 0, Ceiling = true)
                  let rows = EvaluationStudy.Run(table, options, 2, [| Nullable 50; Nullable 120 |])
                  for row in rows do
                      Expect.isTrue (row.TrainQueries = 50 || row.TrainQueries = 120) "size"
                      for s in 0..1 do
                          let alone =
                              EvaluationOptions(
                                  path,
                                  "",
                                  Seed = 5 + s,
                                  Resamples = 0,
                                  Ceiling = true,
                                  TrainQueries = Nullable row.TrainQueries
                              )
                          let report = Evaluation.Run(table, alone)
                          Expect.equal (row.Of "auc").[s] report[row.Policy].["auc"].Value row.Policy
                  let names = rows |> Seq.map _.Policy |> Seq.distinct |> List.ofSeq
                  for name in [ "recall"; PolicyRegistry.Ceiling; "cascade-router"; "pair-envelope"; "oracle" ] do
                      Expect.contains names name "policies"
                  withFolder (fun folder ->
                      EvaluationStudy.Run(EvaluationOptions(path, folder, Seed = 5), 1, [| Nullable() |]) |> ignore
                      let lines = File.ReadAllLines(Path.Combine(folder, "seeds.csv"))
                      Expect.stringStarts lines[0] "policy,train_queries,seed,auc," "header"
                      Expect.stringStarts lines[1] "default,200,5," "first row"))
          }

          test "too few queries and bad fractions are refused" {
              Expect.throwsT<ToolkitException> (fun () -> evaluate (cascade 3 9) |> ignore) "three queries"
              for fraction in [ 0.0; 1.0; nan ] do
                  Expect.throwsT<ToolkitException> (fun () -> EvaluationSplit.Make(100, fraction, 1) |> ignore) $"{fraction}"
          }

          test "the split is a partition" {
              let s = EvaluationSplit.Make(101, 0.3, 5)
              Expect.equal (Array.append s.Train s.Test |> Array.sort) [| 0..100 |] "every line once"
              Expect.equal s.Train.Length 30 "train part"
          } ]
