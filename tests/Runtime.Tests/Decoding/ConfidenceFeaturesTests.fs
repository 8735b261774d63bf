module Runtime.Tests.Decoding.ConfidenceFeaturesTests

open System
open Expecto
open OptimalStopping.Runtime.Decoding

let private observe (rows: float32[][]) =
    let mutable accumulator = FeatureAccumulator()
    let chosen = [| for row in rows -> accumulator.Observe(Span row) |]
    struct (chosen, accumulator.ToFeatures())

/// The definitions, written out: log-softmax in double precision.
let private direct (rows: float32[][]) =
    let each =
        rows
        |> Array.map (fun row ->
            let logits = row |> Array.map float
            let top = Array.max logits
            let logTotal = top + log (logits |> Array.sumBy (fun x -> exp (x - top)))
            let logP = logits |> Array.map (fun x -> x - logTotal)
            let best = Array.IndexOf(logits, top)
            let runnerUp = logP |> Array.indexed |> Array.filter (fun (i, _) -> i <> best) |> Array.map snd |> Array.max
            best, logP[best], logP[best] - runnerUp, -(logP |> Array.sumBy (fun l -> exp l * l)))
    let chosen = each |> Array.map (fun (b, _, _, _) -> b)
    let logP = each |> Array.map (fun (_, l, _, _) -> l)
    chosen,
    [| Array.sum logP
       Array.average logP
       Array.min logP
       each |> Array.map (fun (_, _, m, _) -> m) |> Array.min
       each |> Array.averageBy (fun (_, _, _, h) -> h)
       float rows.Length |]

let private randomRows (seed: int) =
    let random = Random seed
    let width, scale = random.Next(2, 70), Math.Pow(10.0, 3.0 * random.NextDouble() - 1.0)
    Array.init (random.Next(1, 12)) (fun _ -> Array.init width (fun _ -> float32 (scale * (random.NextDouble() - 0.5))))

let private agree (actual: ConfidenceFeatures) (expected: float[]) =
    Array.iteri2
        (fun i a (e: float) ->
            // The margin is a difference of two floats, taken in float.
            let tolerance = if i = 3 then 1e-6 * (1.0 + abs e) else 1e-12 * (1.0 + abs e)
            Expect.isLessThanOrEqual (abs (a - e)) tolerance (ConfidenceFeatures.Names[i]))
        (actual.ToVector())
        expected

[<Tests>]
let tests =
    testList
        "ConfidenceFeatures"
        [ testProperty "equal the definitions in double precision"
          <| fun (seed: int) ->
              let rows = randomRows seed
              let expectedChosen, expected = direct rows
              let struct (chosen, signals) = observe (rows |> Array.map Array.copy)
              Expect.equal chosen expectedChosen "greedy choices"
              agree signals expected
              Expect.floatClose Accuracy.veryHigh signals.RawConfidence (exp expected[2]) "raw confidence"

          test "the lowest token wins a tie, with no margin" {
              for width in [ 2; 7; 8; 16; 17; 64; 100 ] do
                  for first in List.distinct [ 0; width / 2 - 1; width - 2 ] do
                      let row = Array.init width (fun i -> if i >= first then 1.5f else -1.0f)
                      let struct (chosen, signals) = observe [| row |]
                      Expect.equal chosen [| first |] $"{width} tokens, tied from {first}"
                      Expect.equal signals.MinMargin 0.0 "margin"
          }
          test "a uniform distribution has the entropy ln n" {
              let struct (_, signals) = observe [| Array.create 64 3.0f; Array.create 64 -7.0f |]
              Expect.floatClose Accuracy.veryHigh signals.MeanEntropy (log 64.0) "entropy"
              Expect.floatClose Accuracy.veryHigh signals.SumLogProbability (-2.0 * log 64.0) "sum"
          }
          test "huge logits and impossible tokens stay finite" {
              let struct (_, huge) = observe [| [| 3e38f; -3e38f; 0.0f |] |]
              Expect.equal (huge.SumLogProbability, huge.MeanEntropy) (0.0, 0.0) "certain"
              let struct (_, masked) = observe [| [| 1.0f; Single.NegativeInfinity; 1.0f |] |]
              Expect.floatClose Accuracy.veryHigh masked.MeanEntropy (log 2.0) "one of two"
          }
          test "features and back" {
              let struct (_, signals) = observe (randomRows 3)
              Expect.equal (ConfidenceFeatures.FromVector(signals.ToVector())) signals "the same"
              Expect.equal ConfidenceFeatures.Names.Count (signals.ToVector().Length) "a name each"
          } ]
