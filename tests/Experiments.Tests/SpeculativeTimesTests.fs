module Experiments.Tests.SpeculativeTimesTests

open System
open Expecto
open OptimalStopping.Experiments

/// Seconds by way, prompt and round.
let private table ways prompts rounds (time: int -> int -> int -> float) =
    Array.init ways (fun w -> Array.init prompts (fun i -> Array.init rounds (time w i)))

let private times seconds = SpeculativeTimes(seconds, 1000, 1UL)

[<Tests>]
let tests =
    testList
        "SpeculativeTimes"
        [ test "ratios are exact where times are, whatever the prompts" {
              // Adaptive, way 0, against ways 1 to 3 that take 1.1, 1.3 and 2 times as long.
              let factors = [| 1.0; 1.1; 1.3; 2.0 |]
              let compared = (times (table 4 30 10 (fun w i _ -> factors[w] * float (i + 1)))).Compare(0, [| 1; 2; 3 |])
              Expect.equal (compared.Best, compared.Worst) ([| 1; 1 |], [| 3; 3 |]) "choices"
              for interval, expected in [ compared.AgainstBest, 1.1; compared.Total, 1.1; compared.AgainstWorst, 2.0 ] do
                  for x in [ interval.Estimate; interval.Low; interval.High ] do
                      Expect.floatClose Accuracy.high x expected "ratio"
              Expect.floatClose Accuracy.high compared.Naive 1.1 "chosen on all rounds"
          }
          test "a few disturbed rounds change means, not medians" {
              let random = Random 5
              let seconds = table 2 40 10 (fun w _ _ -> if w = 0 then 1.0 else 1.05)
              for i in 0..39 do
                  // One round of each half, for adaptive alone.
                  let rounds = seconds[0][i]
                  for half in 0..1 do
                      rounds[half + 2 * random.Next 5] <- 9.0
              let compared = (times seconds).Compare(0, [| 1 |])
              Expect.floatClose Accuracy.high compared.AgainstBest.Estimate 1.05 "medians"
              Expect.floatClose Accuracy.high compared.Total.Estimate (1.05 / 2.6) "means"
          }
          test "the best of equals owes nothing to luck, and intervals hold the truth" {
              // Eight ways and adaptive have one distribution: chosen and timed on the same rounds the best seems faster by its luck.
              let runs = 60
              let outcomes =
                  Array.init runs (fun seed ->
                      let random = Random(1000 + seed)
                      (times (table 9 40 10 (fun _ _ _ -> 1.0 + 0.2 * random.NextDouble()))).Compare(0, [| 1..8 |]))
              let heldOut, naive = outcomes |> Array.averageBy (fun c -> c.AgainstBest.Estimate), outcomes |> Array.averageBy _.Naive
              Expect.isLessThan (abs (heldOut - 1.0)) 0.0015 "held out"
              Expect.isLessThan naive 0.996 "chosen and timed on the same rounds"
              let covered = outcomes |> Array.sumBy (fun c -> if c.AgainstBest.Low <= 1.0 && 1.0 <= c.AgainstBest.High then 1 else 0)
              Expect.isGreaterThan covered (runs * 8 / 10) $"{covered} of {runs} intervals hold 1"
          } ]
