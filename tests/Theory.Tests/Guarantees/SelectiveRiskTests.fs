module Theory.Tests.SelectiveRiskTests

open System
open Expecto
open OptimalStopping.Theory

/// Queries with a sureness in [0,1]: the chance of a wrong answer falls with it, but for a bump at which it is too sure.
let private wrong (sureness: float) = if sureness > 0.55 && sureness < 0.7 then 0.35 else 0.5 * (1.0 - sureness)

let private thresholds = [| 0.9; 0.8; 0.7; 0.6; 0.5; 0.4; 0.3; 0.2; 0.1; 0.0 |]

/// The expected loss among the answers that a threshold gives, by a fine sum.
let private risk (threshold: float) =
    let points = [| for i in 0..99_999 -> (float i + 0.5) / 100_000.0 |] |> Array.filter (fun s -> s >= threshold)
    Array.averageBy wrong points

/// In 1,000 samples, how often the last level passed has a larger risk than alpha, and what the levels give on average.
let private broken (alpha: float) (delta: float) (count: int) binary (loss: Random -> float -> float) =
    let random = Random 41
    let risks = thresholds |> Array.map risk
    let results =
        [| for _ in 1..1000 do
               let draw () = Array.init count (fun _ -> random.NextDouble())
               let graded (sureness: float[]) =
                   sureness |> Array.map (loss random), thresholds |> Array.map (fun t -> sureness |> Array.map (fun s -> s >= t))
               let seen, levels = graded (draw ())
               let first = SelectiveRisk.clearest (seen, levels, alpha, delta, binary)
               let losses, given = graded (draw ())
               let passed = SelectiveRisk.passed (losses, given[first..], alpha, delta, binary)
               if passed > 0 then risks[first + passed - 1] > alpha, 1.0 - thresholds[first + passed - 1] else false, 0.0 |]
    float (results |> Array.filter fst |> Array.length) / 1000.0, results |> Array.averageBy snd

[<Tests>]
let tests =
    testList
        "Guarantees.SelectiveRisk"
        [ test "1,000 resamples: the answers given lack more than alpha with frequency at most delta, and many are given" {
              let zeroOne (random: Random) sureness = if random.NextDouble() < wrong sureness then 1.0 else 0.0
              // Losses between 0 and 1 with the same means.
              let parts (random: Random) sureness = wrong sureness * 2.0 * random.NextDouble()
              for name, loss, binary in [ "binary", zeroOne, true; "betting", zeroOne, false; "parts", parts, false ] do
                  for alpha in [ 0.1; 0.152; 0.2 ] do
                      let delta = 0.1
                      let share, given = broken alpha delta 400 binary loss
                      let limit = delta + 3.0 * sqrt (delta * (1.0 - delta) / 1000.0)
                      Expect.isLessThanOrEqual share limit $"{name}, alpha {alpha}: broken"
                      if alpha = 0.2 then Expect.isGreaterThan given 0.35 $"{name}: answers given"
          }
          test "1,000 resamples at the edge: every level has exactly the risk alpha" {
              let random = Random 43
              let alpha, delta, count = 0.2, 0.1, 200
              let passed =
                  [| for _ in 1..1000 do
                         let losses = Array.init count (fun _ -> if random.NextDouble() < alpha then 1.0 else 0.0)
                         let given = [| for share in [ 0.3; 0.6; 1.0 ] -> Array.init count (fun _ -> random.NextDouble() < share) |]
                         SelectiveRisk.passed (losses, given, alpha, delta, true) > 0 |]
              let share = float (passed |> Array.filter id |> Array.length) / 1000.0
              Expect.isLessThanOrEqual share (delta + 3.0 * sqrt (delta * (1.0 - delta) / 1000.0)) "passed a level at the edge"
              Expect.isGreaterThan share 0.02 "the test is not idle"
          }
          test "answers that are withheld do not count, and none given shows nothing" {
              let losses = [| 0.0; 1.0; 0.0; 0.5; 0.0 |]
              let given = [| true; false; true; true; true |]
              let own = [| 0.0; 0.0; 0.5; 0.0 |]
              Expect.equal (SelectiveRisk.pValue (losses, given, 0.3, 0.1, false)) (RiskControl.betting (own, 0.3, 0.1)) "betting"
              Expect.equal (SelectiveRisk.pValue (losses, given, 0.3, 0.1, true)) (RiskControl.binomial (1, 4, 0.3)) "a part is a whole"
              Expect.equal (SelectiveRisk.pValue (losses, Array.create 5 false, 0.3, 0.1, true)) 1.0 "none"
              Expect.throwsT<ArgumentException> (fun () -> SelectiveRisk.pValue (losses, [||], 0.3, 0.1, true) |> ignore) "lengths"
              Expect.equal (SelectiveRisk.clearest (losses, [||], 0.3, 0.1, true)) 0 "no level"
          }
          test "in groups: the largest p-value, 1,000 resamples of a policy that loses too much in one group only" {
              let losses, group = [| 0.1; -0.2; 0.3; 0.0; 1.0 |], [| 0; 1; 0; 1; -1 |]
              let own g = Array.zip losses group |> Array.filter (fun (_, at) -> at = g) |> Array.map fst
              let expected = max (RiskControl.bettingNet (own 0, 0.2, 0.1)) (RiskControl.bettingNet (own 1, 0.2, 0.1))
              Expect.equal (RiskControl.bettingNetInGroups (losses, group, 0.2, 0.1)) expected "the larger"
              Expect.equal (RiskControl.bettingNetInGroups (losses, Array.create 5 -1, 0.2, 0.1)) 1.0 "none counts"
              Expect.throwsT<ArgumentException> (fun () -> RiskControl.bettingNetInGroups (losses, [| 0 |], 0.2, 0.1) |> ignore) "lengths"
              let random, delta, alpha, count = Random 47, 0.1, 0.05, 600
              let group = Array.init count (fun i -> i % 4)
              let chance which =
                  let passed =
                      [| for _ in 1..1000 do
                             let losses =
                                 Array.init count (fun i ->
                                     let mean = if i % 4 = 3 then which else -0.05
                                     let u = random.NextDouble()
                                     if u < 0.1 + mean then 1.0
                                     elif u > 0.9 then -1.0
                                     else 0.0)
                             RiskControl.passedNetWithin ([| losses |], group, [||], alpha, 0.5, delta) |]
                  float (Array.sum passed) / 1000.0
              Expect.isLessThanOrEqual (chance alpha) (delta + 3.0 * sqrt (delta * (1.0 - delta) / 1000.0)) "loses in one group"
              Expect.isGreaterThan (chance -0.1) 0.15 "passes where all keep it"
          } ]
