module Theory.Tests.PredictionPoweredTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Human grades of so many answers, and a judge's that errs with the given chances on right and on wrong answers.
let private grades (random: Random) count onRight onWrong =
    Array.init count (fun _ ->
        let human = if random.NextDouble() < 0.7 then 1.0 else 0.0
        let errs = random.NextDouble() < (if human = 1.0 then onRight else onWrong)
        human, (if errs then 1.0 - human else human))

let private interval (random: Random) onRight onWrong =
    let own, others = grades random 150 onRight onWrong, grades random 3000 onRight onWrong
    let human, judge = Array.unzip own
    human, judge, Array.map snd others, PredictionPowered.mean (human, judge, Array.map snd others, 0.9)

[<Tests>]
let tests =
    testList
        "Guarantees.PredictionPowered"
        [ test
              "1,000 resamples: the interval holds the mean, for a good judge, one that flatters, one that guesses and one that is always wrong" {
              let random = Random 81
              for name, onRight, onWrong in [ "good", 0.05, 0.05; "flatters", 0.02, 0.6; "guesses", 0.5, 0.5; "wrong", 0.95, 0.95 ] do
                  let missed =
                      [| for _ in 1..1000 do
                             let human, _, _, x = interval random onRight onWrong
                             // The plain normal interval of the human grades.
                             let alone = PredictionPowered.mean (human, Array.zeroCreate 150, Array.zeroCreate 3000, 0.9)
                             Expect.isLessThanOrEqual (x.High - x.Low) (alone.High - alone.Low + 1e-12) $"{name}: never wider"
                             0.7 < x.Low || 0.7 > x.High |]
                      |> Array.filter id
                      |> Array.length
                  // 0.02 for the normal approximation with 150 grades.
                  let limit = 0.1 + 0.02 + 3.0 * sqrt (0.09 / 1000.0)
                  Expect.isLessThanOrEqual (float missed / 1000.0) limit $"{name}: missed"
          }
          test "a good judge halves the width; one that guesses has hardly a weight" {
              let random = Random 83
              let human, judge, others, x = interval random 0.03 0.03
              let alone = PredictionPowered.mean (human, Array.zeroCreate 150, Array.zeroCreate 3000, 0.9)
              Expect.isLessThan (x.High - x.Low) (0.6 * (alone.High - alone.Low)) "narrower"
              Expect.isGreaterThan (PredictionPowered.weight (human, judge, others)) 0.7 "trusted"
              let human, judge, others, _ = interval random 0.5 0.5
              Expect.isLessThan (PredictionPowered.weight (human, judge, others)) 0.25 "not trusted"
          }
          test "definition, and numbers out of their domain" {
              let human, own, others = [| 1.0; 0.0; 1.0; 1.0 |], [| 1.0; 0.0; 0.0; 1.0 |], [| 1.0; 1.0; 0.0; 1.0; 1.0; 0.0 |]
              // Covariance 1/6 ... by hand: means 3/4 and 1/2; sums of products 0.5; variances 1/3 and 4/15.
              let w = (0.5 / 3.0 / 4.0) / (1.0 / 3.0 / 4.0 + 4.0 / 15.0 / 6.0)
              within 1e-12 (PredictionPowered.weight (human, own, others)) w "weight"
              let x = PredictionPowered.mean (human, own, others, 0.95)
              within 1e-12 x.Estimate (0.75 + w * (4.0 / 6.0 - 0.5)) "estimate"
              let variance = 0.25 / 4.0 - 2.0 * w * (0.5 / 3.0 / 4.0) + w * w * (1.0 / 12.0 + 4.0 / 90.0)
              within 1e-9 (x.High - x.Low) (2.0 * 1.959963984540054 * sqrt variance) "width"
              let refused (action: unit -> Interval) name =
                  Expect.throwsC (fun () -> action () |> ignore) (fun e -> Expect.isTrue (e :? ArgumentException) name)
              refused (fun () -> PredictionPowered.mean ([| 1.0 |], [| 1.0 |], others, 0.9)) "one grade"
              refused (fun () -> PredictionPowered.mean (human, [| 1.0 |], others, 0.9)) "lengths"
              refused (fun () -> PredictionPowered.mean (human, own, [| nan; 1.0 |], 0.9)) "not a number"
              refused (fun () -> PredictionPowered.mean (human, own, others, 1.0)) "level"
          } ]
