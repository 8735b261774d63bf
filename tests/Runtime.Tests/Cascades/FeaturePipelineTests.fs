module Runtime.Tests.FeaturePipelineTests

open System
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Cascades.Features
open OptimalStopping.Runtime.Traces
open OptimalStopping.Theory.Policies

/// Two models. The first is right on questions about plants and its answers are long where it is wrong; the second is
/// right on nine of ten. Recorded confidences say nothing.
let private world queries seed =
    let random = Random(seed: int)
    let plants = Array.init queries (fun _ -> random.Next 2 = 0)
    let right k q = if k = 0 then random.NextDouble() < (if plants[q] then 0.9 else 0.2) else random.NextDouble() < 0.9
    let quality = Array.init (2 * queries) (fun i -> if right (i % 2) (i / 2) then 1.0 else 0.0)
    let cost = Array.init (2 * queries) (fun i -> if i % 2 = 0 then 1.0 else 10.0)
    let confidence = Array.init (2 * queries) (fun _ -> random.NextDouble())
    let grams =
        plants |> Array.map (fun plant -> QuestionText.Grams(if plant then "which plant is green" else "which king ruled longest"))
    let measures =
        Array.init queries (fun _ ->
            let m = Array.zeroCreate QuestionText.Measures.Count
            QuestionText.Measure("which", Span<float> m)
            m)
        |> Array.concat
    let features =
        TraceFeatures(
            Datasets = [||],
            Dataset = [||],
            Measures = measures,
            Grams = grams,
            Recorded = [| "tokens" |],
            Values = Array.init (2 * queries) (fun i -> float32 (if quality[i] = 1.0 then 10.0 else 12.0 + 10.0 * random.NextDouble()))
        )
    RecordedCascade.Create(queries, 2, cost, confidence, quality), features, plants

let private area (fitted: FittedPolicies) data rows =
    let outcomes = fitted.Replay(data, rows, 10)
    let models k = (data.MeanCost(rows, k), data.MeanQuality(rows, k))
    (CurveMetrics.Compute(
        outcomes |> Array.map _.MeanCost,
        outcomes |> Array.map _.MeanQuality,
        [| fst (models 0); fst (models 1) |],
        [| snd (models 0); snd (models 1) |]
    ))
        .Auc

[<Tests>]
let tests =
    testList
        "FeaturePipeline"
        [ test "sparse least squares by conjugate gradients solves the normal equations" {
              let random = Random 3
              let rows, width, penalty = 60, 8, 2.0
              let x = Array.init rows (fun _ -> Array.init width (fun _ -> random.NextDouble() - 0.5))
              let y = Array.init rows (fun i -> 1.0 + 3.0 * x[i][0] - 2.0 * x[i][5] + 0.1 * random.NextDouble())
              let sparse = x |> Array.map (fun row -> SparseRow([| 0 .. width - 1 |], row |> Array.map float32))
              let fit = SparseRidge.Fit(sparse, y, 1, width, penalty, 50)
              let mean = Array.average y
              let w = fit.Weights |> Array.map float
              Expect.isTrue (abs (float fit.Mean[0] - mean) < 1e-5) "mean"
              for j in 0 .. width - 1 do
                  let gradient =
                      Array.sum [| for i in 0 .. rows - 1 -> x[i][j] * (Array.sum (Array.map2 (*) x[i] w) - (y[i] - mean)) |]
                      + penalty * w[j]
                  Expect.isTrue (abs gradient < 1e-2) $"gradient {j}: {gradient}"
          }

          test "a missing target leaves the others' fits as they are" {
              let random = Random 4
              let sparse =
                  Array.init 40 (fun _ -> SparseRow([| 0; 1 |], [| float32 (random.NextDouble()); float32 (random.NextDouble()) |]))
              let y = Array.init 80 (fun _ -> random.NextDouble())
              let holes = y |> Array.mapi (fun i v -> if i % 6 = 1 then nan else v)
              let a, b = SparseRidge.Fit(sparse, y, 2, 2, 1.0, 30), SparseRidge.Fit(sparse, holes, 2, 2, 1.0, 30)
              for j in 0..1 do
                  Expect.isTrue (abs (a.Weights[2 * j] - b.Weights[2 * j]) < 1e-5f) "the whole target"
                  Expect.isTrue (abs (a.Weights[2 * j + 1] - b.Weights[2 * j + 1]) > 1e-6f) "the other one"
          }

          test "a training query's description does not depend on its own quality" {
              let data, features, _ = world 200 5
              let rows = [| 0..149 |]
              let view (d: RecordedCascade) = let struct (_, v) = FeaturePipeline.Fit(features, d, rows, [| 150..199 |]) in v
              let before = view data
              // Turn the qualities of the fold of query 0 around: its own description comes from the other folds.
              let turned = data.Quality |> Array.mapi (fun i v -> if i / 2 < 150 && (i / 2) % 5 = 0 then 1.0 - v else v)
              let after = view (RecordedCascade.Create(200, 2, data.Cost, data.Confidence, turned))
              let at (v: RecordedCascade) q = v.Context[q * v.ContextWidth .. q * v.ContextWidth + 1]
              Expect.equal (at after 0) (at before 0) "context of the fold"
              Expect.notEqual (at after 1) (at before 1) "context of another fold"
              Expect.notEqual (at after 160) (at before 160) "context of a query that was not trained on"
          }

          test "text and recorded numbers tell what the confidence does not, and the default takes them" {
              let data, features, plants = world 1200 6
              let rows, test = [| 0..799 |], [| 800..1199 |]
              let training = PolicyTraining(data, rows, features)
              let featured = training.Featured |> Option.ofObj |> Option.get
              let mean (want: bool) =
                  test
                  |> Array.filter (fun q -> plants[q] = want)
                  |> Array.averageBy (fun q -> featured.View.Context[q * featured.View.ContextWidth])
              Expect.isGreaterThan (mean true) (mean false + 0.2) "plants are easier"
              let confidence = test |> Array.partition (fun q -> data.Quality[2 * q] = 1.0)
              let level = Array.averageBy (fun q -> featured.View.Confidence[q * featured.View.Stages])
              Expect.isGreaterThan (level (fst confidence)) (level (snd confidence) + 0.5) "long answers are wrong"
              Expect.equal training.Default.Name PolicyRegistry.Features "chosen"
              let own = area training.Default.Policies data test
              let pairs = area (FittedPolicies(Baselines.pairEnvelope data rows)) data test
              Expect.isGreaterThan own (pairs + 0.05) "better than pairs on useless confidences"
          }

          test "whole policies decide as the plans do on the kept stages" {
              let data, features, _ = world 600 7
              let struct (pipeline, view) = FeaturePipeline.Fit(features, data, [| 0..399 |], [| 400..599 |])
              let plan =
                  FeaturedPlan.Make(pipeline, view, [| 0..399 |], OptimalStopping.Theory.ActionSet.Recall) |> Option.ofObj |> Option.get
              let fitted = FittedPolicies.From plan
              for i in 0 .. fitted.Policies.Length - 1 do
                  let inner, whole = fitted.Replay(i, data, [| 400..599 |]), Replay.run (fitted.Policies[i], view, [| 400..599 |])
                  Expect.equal whole.Cost inner.Cost "costs"
                  Expect.equal whole.Stage inner.Stage "stages"
          }

          test "nothing to tell: the default is no worse than the envelope of pairs" {
              let random = Random 8
              let queries = 400
              let quality = Array.init (2 * queries) (fun i -> if random.NextDouble() < (if i % 2 = 0 then 0.5 else 0.8) then 1.0 else 0.0)
              let data =
                  RecordedCascade.Create(
                      queries,
                      2,
                      Array.init (2 * queries) (fun i -> if i % 2 = 0 then 1.0 else 5.0),
                      Array.create (2 * queries) nan,
                      quality
                  )
              let training = PolicyTraining(data, [| 0..199 |])
              let rows = [| 200..399 |]
              let mixture = area (FittedPolicies(Baselines.mixtures data [| 0..199 |])) data rows
              Expect.equal training.Default.Name "mixture" "the simplest"
              Expect.isTrue (abs (area training.Default.Policies data rows - mixture) < 1e-12) "the same curve"
          } ]
