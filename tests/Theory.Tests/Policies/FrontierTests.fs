module Theory.Tests.FrontierTests

open System
open Expecto
open OptimalStopping.Theory.Policies
open Theory.Tests

[<Tests>]
let tests =
    testList
        "Examples.Frontier"
        [ test "area of a worked example: flat, rising, flat" {
              // Quality 0.2 up to cost 2, then linear to 0.8 at cost 4, flat to 6: (0.2 + 0.5 * 2 + 0.8 * 2) / 5.
              Close.within 1e-12 (Frontier.area [| 2.0; 4.0 |] [| 0.2; 0.8 |] 1.0 6.0) 0.56 "area"
              Close.within 1e-12 (Frontier.area [| 2.0; 4.0 |] [| 0.2; 0.8 |] 3.0 3.0) 0.5 "a single cost"
          }

          test "cost at a quality: first crossing, first point, never" {
              let cost, quality = [| 1.0; 2.0; 4.0 |], [| 0.2; 0.6; 0.5 |]
              Close.within 1e-12 (Frontier.costAt cost quality 0.4) 1.5 "crossing"
              Expect.equal (Frontier.costAt cost quality 0.1) 1.0 "first"
              Expect.equal (Frontier.costAt cost quality 0.7) infinity "never"
          }

          test "the hull is concave, rising, and above every point" {
              let random = Random 1
              for _ in 1..200 do
                  let count = 1 + random.Next 12
                  let cost = Array.init count (fun _ -> float (random.Next 8))
                  let quality = Array.init count (fun _ -> float (random.Next 10) / 10.0)
                  let hull = Frontier.upperHull cost quality
                  let c, q = hull |> Array.map (fun i -> cost[i]), hull |> Array.map (fun i -> quality[i])
                  let slopes = Array.init (hull.Length - 1) (fun i -> (q[i + 1] - q[i]) / (c[i + 1] - c[i]))
                  Expect.isTrue (slopes |> Array.forall (fun s -> s > 0.0)) "rises"
                  Expect.isTrue (Array.pairwise slopes |> Array.forall (fun (a, b) -> a > b)) "slopes fall"
                  for i in 0 .. count - 1 do
                      Expect.isTrue (Frontier.qualityAt c q cost[i] >= quality[i] - 1e-12) "covers"
          }

          test "metrics of a worked example" {
              // Two models (1, 0.5) and (11, 0.9); the curve joins them through (3, 0.8).
              let m = CurveMetrics.Compute([| 11.0; 1.0; 3.0 |], [| 0.9; 0.5; 0.8 |], [| 1.0; 11.0 |], [| 0.5; 0.9 |])
              Close.within 1e-12 m.Auc 0.81 "auc" // (0.65 * 2 + 0.85 * 8) / 10
              Close.within 1e-12 m.Aiq 0.81 "aiq"
              Close.within 1e-12 m.Apgr 0.775 "apgr"
              Close.within 1e-12 m.Cpt50 (4.0 / 30.0) "cpt50" // quality 0.7 at cost 7/3
              Close.within 1e-12 m.CostAt100 11.0 "cost at 100 %"
              Close.within 1e-9 m.CostAt98 9.56 "cost at 98 %" // quality 0.882
              Close.within 1e-9 m.CostAt95 7.4 "cost at 95 %" // quality 0.855
              Close.within 1e-12 m.QualityMax 0.9 "quality"
          }

          test "a curve that begins above the cheapest model is joined to it, not extended flat" {
              // One dear point (11, 0.9): mixed with the cheapest model it has 0.7 at the middle, where flat it would have 0.9.
              let m = CurveMetrics.Compute([| 11.0 |], [| 0.9 |], [| 1.0; 11.0 |], [| 0.5; 0.9 |])
              Close.within 1e-12 m.Auc 0.7 "auc"
              Close.within 1e-12 m.Aiq 0.7 "aiq"
              Close.within 1e-12 m.Apgr 0.5 "apgr"
              Close.within 1e-12 m.Cpt50 0.5 "cpt50"
              let beyond = CurveMetrics.Compute([| 12.0 |], [| 0.9 |], [| 1.0; 11.0 |], [| 0.5; 0.9 |])
              Expect.isLessThan beyond.Auc 0.7 "a point beyond the best model's cost is worth less than that model"
          }

          test "without a gap between the models the gap's figures are not numbers" {
              let m = CurveMetrics.Compute([| 1.0 |], [| 0.5 |], [| 1.0; 2.0 |], [| 0.5; 0.5 |])
              Expect.isTrue (Double.IsNaN m.Apgr && Double.IsNaN m.Cpt50) "NaN"
          } ]
