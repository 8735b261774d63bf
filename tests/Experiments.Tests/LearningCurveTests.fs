module Experiments.Tests.LearningCurveTests

open System
open System.IO
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Theory.Policies
open Support.TraceFiles

let private family = nonNull (PolicyRegistry.Find PolicyRegistry.Reference)

/// What the family does on the test queries when it is fitted on the given ones.
let private fitted (table: TraceTable) (rows: int[]) (test: int[]) =
    let fit = family.Fit |> Option.ofObj |> Option.get
    let policies = fit.Invoke(PolicyTraining(table.Cascade, rows)) |> Option.ofObj |> Option.get
    policies.Replay(table.Cascade, test, test.Length)

let private models (table: TraceTable) (test: int[]) =
    FamilyReplay.run (
        [| for k in 0 .. table.Cascade.Stages - 1 -> ThresholdCascade.Fixed(table.Cascade.Stages, k) |],
        table.Cascade,
        test,
        test.Length
    )

let private area (points: GroupedOutcome[]) (models: GroupedOutcome[]) =
    let mean (of': GroupedOutcome -> float) = Array.map of'
    (CurveMetrics.Compute(mean _.MeanCost points, mean _.MeanQuality points, mean _.MeanCost models, mean _.MeanQuality models)).Auc

[<Tests>]
let tests =
    testList
        "LearningCurve"
        [ test "parts of the train part, and the line through their areas over 1/sqrt(queries), weighted by fits" {
              withFolder (fun folder ->
                  withLines (cascade 800 31) (fun path ->
                      let report = Evaluation.Run(EvaluationOptions(path, folder, Resamples = 40, Explain = true), null)
                      let curve = report.Learning |> Option.ofObj |> Option.get
                      Expect.equal [ for p in curve.Points -> p.Queries, p.Fits ] [ 100, 4; 200, 2; 400, 1 ] "parts"
                      Expect.floatClose Accuracy.high (Seq.last curve.Points).Auc report["default"].["auc"].Value "the whole"
                      let x, y, w =
                          [| for p in curve.Points -> 1.0 / sqrt (float p.Queries) |],
                          [| for p in curve.Points -> p.Auc |],
                          [| for p in curve.Points -> float p.Fits |]
                      let mean (values: float[]) = Array.sum (Array.map2 (*) values w) / Array.sum w
                      let product = Array.map2 (*)
                      let slope = (mean (product x y) - mean x * mean y) / (mean (product x x) - mean x * mean x)
                      let expected = slope * (1.0 / sqrt 900.0 - 1.0 / sqrt 400.0)
                      Expect.floatClose Accuracy.high curve.Gain expected "gain"
                      Expect.isTrue (curve.Low < curve.Gain && curve.Gain < curve.High) "interval"
                      Expect.stringStarts curve.Sentence "500 more queries to fit on would bring about " "in words"
                      let rows = File.ReadAllLines(Path.Combine(folder, "learning.csv"))
                      Expect.equal (rows[0], rows.Length) ("queries,fits,auc", 4) "table"))
          }
          test "none where a quarter would be too small, and none in a study" {
              withLines (cascade 190 31) (fun path ->
                  let table = TraceReader.ReadTable path
                  let small = Evaluation.Run(table, EvaluationOptions(path, "", Resamples = 0, Explain = true), null)
                  Expect.isTrue (isNull small.Learning) "too small")
              withLines (cascade 400 31) (fun path ->
                  let report = Evaluation.Run(TraceReader.ReadTable path, EvaluationOptions(path, "", Resamples = 0), null)
                  Expect.isTrue (isNull report.Learning) "not asked for")
          }
          test "over fresh logs the gain is right on average, and the interval holds it nearly always" {
              let train, runs = 200, 80
              let results =
                  Array.init runs (fun run ->
                      withLines (cascade (train + LearningCurve.More + 500) (500 + run)) (fun path ->
                          let table = TraceReader.ReadTable path
                          let own, more = [| 0 .. train - 1 |], [| 0 .. train + LearningCurve.More - 1 |]
                          let test = [| train + LearningCurve.More .. table.Cascade.Queries - 1 |]
                          let models, whole = models table test, fitted table own test
                          let curve = LearningCurve.From(table, own, test, family, whole, models, 100, run) |> Option.ofObj |> Option.get
                          struct (curve, area (fitted table more test) models - area whole models)))
              let truth = results |> Array.averageBy (fun struct (_, gain) -> gain)
              let told = results |> Array.averageBy (fun struct (curve, _) -> curve.Gain)
              let held = results |> Array.filter (fun struct (curve, _) -> curve.Low <= truth && truth <= curve.High) |> Array.length
              Expect.isGreaterThan truth 0.0 "labels help"
              Expect.isLessThan (abs (told - truth)) (0.6 * truth + 0.001) $"told {told}, true {truth}"
              Expect.isGreaterThan (float held / float runs) 0.88 $"{held} of {runs} intervals hold {truth}"
          } ]
