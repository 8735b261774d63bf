module Theory.Tests.PlannedFamilyTests

open System
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests

/// AUC x 100 of a family on rows, between the cheapest and the best single model there.
let private auc (data: RecordedCascade) (rows: int[]) (policies: IStoppingPolicy[]) =
    let outcomes = policies |> Array.map (fun p -> Replay.run (p, data, rows))
    let stages = [| 0 .. data.Stages - 1 |]
    let metrics =
        CurveMetrics.Compute(
            outcomes |> Array.map (fun o -> Array.average o.Cost),
            outcomes |> Array.map (fun o -> Array.average o.Quality),
            stages |> Array.map (fun k -> data.MeanCost(rows, k)),
            stages |> Array.map (fun k -> data.MeanQuality(rows, k))
        )
    100.0 * metrics.Auc

let private split (data: RecordedCascade) train =
    let rows = SyntheticCascade.allRows data
    rows[.. train - 1], rows[train..]

[<Tests>]
let tests =
    testList
        "Examples.PlannedFamily"
        [ test "recall is better than every baseline on fresh queries" {
              let data = SyntheticCascade.continuous 4 8000 21
              let train, test = split data 4000
              let ours = auc data test (PlannedFamily.fit (data, train, ActionSet.Recall)).Family.Policies
              let lambdas = PlannedFamily.prices (data, train, 20)
              for family in
                  [ Baselines.pairEnvelope data train
                    Baselines.commonThreshold data train
                    Baselines.chainThresholds data train lambdas
                    Baselines.mixtures data train ] do
                  let theirs = auc data test family.Policies
                  Expect.isTrue (ours > theirs) $"recall {ours}, {family.Name} {theirs}"
          }

          for count in [ 2; 10; 100; 300 ] do
              test $"{count} training queries do no harm" {
                  let data = SyntheticCascade.continuous 4 4300 22
                  let train, test = split data count
                  let plan = PlannedFamily.fit (data, train, ActionSet.Recall)
                  let ours = auc data test plan.Family.Policies
                  let mixture = auc data test (Baselines.mixtures data (SyntheticCascade.allRows data)).Policies
                  let slack = if count < 100 then 8.0 else 0.3
                  Expect.isTrue (ours >= mixture - slack) $"recall {ours}, mixture of single models {mixture}"
              }

          test "confidences that say nothing cost little" {
              let full = SyntheticCascade.continuous 4 4300 23
              let random = Random 24
              let noise = Array.init full.Cost.Length (fun _ -> random.NextDouble())
              let data = RecordedCascade.Create(full.Queries, 4, full.Cost, noise, full.Quality)
              let train, test = split data 300
              let ours = auc data test (PlannedFamily.fit (data, train, ActionSet.Recall)).Family.Policies
              let mixture = auc data test (Baselines.mixtures data train).Policies
              Expect.isTrue (ours >= mixture - 1.0) $"recall {ours}, mixture of single models {mixture}"
          }

          for stages in [ 1; 2; 3; 7; 10 ] do
              test $"a cascade of {stages} stages" {
                  let data = SyntheticCascade.continuous stages 700 25
                  let train, test = split data 400
                  for actions in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] do
                      let plan = PlannedFamily.fit (data, train, actions)
                      Expect.isTrue (plan.Family.Policies.Length >= 2) "has operating points"
                      let value = auc data test plan.Family.Policies
                      Expect.isTrue (value > 0.0 && value <= 100.0) $"AUC {value}"
              }

          test "free models: with no cost anywhere there is one price, zero" {
              let full = SyntheticCascade.continuous 3 300 26
              let data = RecordedCascade.Create(300, 3, Array.create 900 0.0, full.Confidence, full.Quality)
              let plan = PlannedFamily.fit (data, SyntheticCascade.allRows data, ActionSet.Recall)
              Expect.equal plan.Family.Parameter [| 0.0 |] "prices"
          }

          test "costs that vary per query and fractional quality" {
              let full = SyntheticCascade.continuous 3 3000 27
              let random = Random 28
              let cost = full.Cost |> Array.map (fun c -> c * (0.2 + 2.0 * random.NextDouble()))
              let quality = full.Quality |> Array.map (fun q -> 0.5 * q + 0.5 * random.NextDouble())
              let data = RecordedCascade.Create(3000, 3, cost, full.Confidence, quality)
              let train, test = split data 1500
              let ours = auc data test (PlannedFamily.fit (data, train, ActionSet.Recall)).Family.Policies
              let mixture = auc data test (Baselines.mixtures data train).Policies
              Expect.isTrue (ours > mixture) $"recall {ours}, mixture {mixture}"
          }

          test "many ties: confidences of three values" {
              let full = SyntheticCascade.continuous 3 3000 29
              let coarse = full.Confidence |> Array.map (fun c -> Math.Round(2.0 * c) / 2.0)
              let data = RecordedCascade.Create(3000, 3, full.Cost, coarse, full.Quality)
              let train, test = split data 1500
              let ours = auc data test (PlannedFamily.fit (data, train, ActionSet.Recall)).Family.Policies
              let mixture = auc data test (Baselines.mixtures data train).Policies
              Expect.isTrue (ours > mixture) $"recall {ours}, mixture {mixture}"
          }

          test "operating points are in order of price and spread in cost" {
              let data = SyntheticCascade.continuous 4 2000 30
              let plan = PlannedFamily.fit (data, SyntheticCascade.allRows data, ActionSet.Recall)
              Expect.equal plan.Family.Parameter (Array.sortDescending plan.Family.Parameter) "prices fall"
              let span = Array.max plan.HeldOutCost - Array.min plan.HeldOutCost
              let gaps = Array.pairwise plan.HeldOutCost |> Array.map (fun (a, b) -> abs (b - a))
              Expect.isTrue (Array.max gaps < 0.25 * span) $"largest gap {Array.max gaps} of {span}"
          }

          test "fewer than two queries are refused" {
              let data = SyntheticCascade.continuous 2 5 31
              Close.rejects (fun () -> PlannedFamily.fit (data, [| 0 |], ActionSet.Recall) |> ignore) "one query"
          } ]
