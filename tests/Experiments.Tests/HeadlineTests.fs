module Experiments.Tests.HeadlineTests

open System.Threading
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open Support.TraceFiles
open Experiments.Tests.SmallCascades

let private metrics () =
    withFolder (fun folder ->
        TradeoffExperiment.Run(bench.Value, options, folder)
        rows folder "headline.csv" |> Array.map (fun r -> r["metric"], r) |> dict)

let private points policy = [| for p in bench.Value[policy].Points -> p.TestCost, p.TestQuality |]

/// What mixing any two of the points reaches at a cost, by trying every pair.
let private best (points: (float * float)[]) at =
    seq {
        for c, q in points do
            if c <= at then q
        for c0, q0 in points do
            for c1, q1 in points do
                if c0 < at && at < c1 then q0 + (q1 - q0) * (at - c0) / (c1 - c0)
    }
    |> Seq.max

[<Tests>]
let tests =
    testList
        "Headline"
        [ test "the chosen point is the cheapest that keeps 99 % on the calibration part" {
              let bench = bench.Value
              let target = 0.99 * snd (single (Support.SyntheticOutcomes.calibrationOf bench.Outcomes) 3)
              let plan = nonNull bench.Plan
              let cost, quality = plan.HeldOutCost, plan.HeldOutQuality
              let chosen = Headline.Chosen bench
              let at = plan.Family.Parameter |> Array.findIndex (fun l -> l = chosen.Parameter)
              Expect.isTrue (quality |> Array.exists (fun q -> q >= target)) "the target can be reached"
              Expect.isTrue (quality[at] >= target) "it keeps the target"
              for i in 0 .. cost.Length - 1 do
                  if quality[i] >= target then Expect.isTrue (cost[at] <= cost[i]) "nothing cheaper does"
          }

          test "the test part moves neither the chosen point nor any operating point" {
              let before = bench.Value
              let turned = (Support.SyntheticOutcomes.testOf before.Outcomes) |> withQuality (fun _ _ v -> 1.0 - v)
              let after =
                  PolicyBench.Fit(
                      outcomesOf (Support.SyntheticOutcomes.calibrationOf before.Outcomes) turned,
                      quiet,
                      CancellationToken.None
                  )
              Expect.equal (Headline.Chosen after).Parameter (Headline.Chosen before).Parameter "chosen"
              for a, b in Seq.zip before.Families after.Families do
                  // As text: a single model's parameter is NaN, which equals nothing.
                  let parameters (family: BenchFamily) = [ for p in family.Points -> string p.Parameter ]
                  Expect.equal (parameters b) (parameters a) a.Name
                  Expect.equal (string (b.BestFor 0.02).Parameter) (string (a.BestFor 0.02).Parameter) a.Name
              Expect.notEqual (Headline.Chosen after).TestQuality (Headline.Chosen before).TestQuality "the report does move"
          }

          test "shares are ratios of test means, inside their intervals" {
              let metrics, test, chosen = metrics (), (Support.SyntheticOutcomes.testOf bench.Value.Outcomes), Headline.Chosen bench.Value
              let cost, quality = single test 3
              for metric, expected in
                  [ "accuracy model-4", quality
                    "chosen accuracy", Array.average chosen.Test.Quality
                    "chosen share of the largest model's accuracy", Array.average chosen.Test.Quality / quality
                    "chosen share of the largest model's cost", Array.average chosen.Test.Cost / cost ] do
                  let row = metrics[metric]
                  Expect.floatClose Accuracy.high (number "value" row) expected metric
                  Expect.isTrue (number "low" row <= expected && expected <= number "high" row) metric
              Expect.floatClose Accuracy.high (number "value" metrics["chosen lambda"]) chosen.Parameter "lambda"
          }

          test "the least lead is the least difference of what mixing reaches" {
              let metrics = metrics ()
              let main = points PolicyRegistry.Default
              let high = fst (single (Support.SyntheticOutcomes.testOf bench.Value.Outcomes) 3)
              for baseline in [ "random"; "threshold"; "jump" ] do
                  let other = points baseline
                  let low = max 1.0 (max (Array.min (Array.map fst main)) (Array.min (Array.map fst other)))
                  let gap at = best main at - best other at
                  let value = number "value" metrics[$"least lead over {baseline}"]
                  let at = number "value" metrics[$"least lead over {baseline} at cost"]
                  Expect.floatClose Accuracy.medium (gap at) value $"{baseline}: the difference there"
                  for i in 1..50 do
                      Expect.isTrue (gap (low + (high - low) * float i / 50.0) >= value - 1e-9) $"{baseline}: nowhere less"
          } ]
