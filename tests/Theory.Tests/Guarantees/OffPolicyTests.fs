module Theory.Tests.OffPolicyTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// A world of three actions: a context in [0,1], the chance of a reward for each action, and what the log's policy does.
let private chance (context: float) (action: int) =
    match action with
    | 0 -> 0.9 - 0.5 * context
    | 1 -> 0.6
    | _ -> 0.3 + 0.5 * context

let private propensity (context: float) (action: int) =
    match action with
    | 0 -> 0.1
    | 1 -> 0.6 - 0.3 * context
    | _ -> 0.3 + 0.3 * context

/// The policy to evaluate.
let private target (context: float) = if context < 0.4 then 0 else 2

/// Its value, by a fine sum.
let private truth = Array.averageBy (fun i -> let x = (float i + 0.5) / 100_000.0 in chance x (target x)) [| 0..99_999 |]

/// Weights, rewards and strata of a log of so many decisions.
let private log (random: Random) (count: int) (graded: bool) =
    let rows =
        Array.init count (fun _ ->
            let context, u = random.NextDouble(), random.NextDouble()
            let action =
                if u < propensity context 0 then 0
                elif u < propensity context 0 + propensity context 1 then 1
                else 2
            let mean = chance context action
            let reward =
                if graded then min 1.0 (max 0.0 (mean + 0.2 * (random.NextDouble() - 0.5)))
                elif random.NextDouble() < mean then 1.0
                else 0.0
            (if action = target context then 1.0 / propensity context action else 0.0), reward, int (5.0 * context))
    Array.map (fun (w, _, _) -> w) rows, Array.map (fun (_, r, _) -> r) rows, Array.map (fun (_, _, s) -> s) rows

let private estimates (weights, rewards, strata) delta =
    let predictions = OffPolicy.runningMeans (weights, rewards, strata)
    [| "inverse propensity", OffPolicy.inversePropensity (weights, rewards, delta)
       "self-normalised", OffPolicy.selfNormalised (weights, rewards, 10.0, delta)
       "doubly robust", OffPolicy.doublyRobust (weights, rewards, predictions, 10.0, delta) |]

[<Tests>]
let tests =
    testList
        "Guarantees.OffPolicy"
        [ test "1,000 resamples: unbiased, and the intervals hold the value as often as they say" {
              let random, delta = Random 61, 0.1
              for graded in [ false; true ] do
                  let all = Array.init 1000 (fun _ -> estimates (log random 500 graded) delta)
                  for e in 0..2 do
                      let name = fst all[0].[e]
                      let own = all |> Array.map (fun row -> snd row[e])
                      let values = own |> Array.map _.Estimate
                      let mean = Array.average values
                      let error = sqrt (Array.averageBy (fun x -> (x - mean) ** 2.0) values / 1000.0)
                      let bias = if name = "self-normalised" then 0.005 else 0.0
                      Expect.isLessThan (abs (mean - truth)) (4.0 * error + bias) $"{name}: {mean}, true {truth}"
                      let missed = own |> Array.filter (fun x -> truth < x.Low || truth > x.High) |> Array.length
                      Expect.isLessThanOrEqual
                          (float missed / 1000.0)
                          (delta + 3.0 * sqrt (delta * (1.0 - delta) / 1000.0))
                          $"{name}: missed"
                      let width = own |> Array.averageBy (fun x -> x.High - x.Low)
                      Expect.isLessThan width 0.6 $"{name}: says something"
          }
          test "1,000 resamples with weights up to 100 that nobody bounded: inverse propensity still holds" {
              let random, delta = Random 67, 0.1
              let missed =
                  [| for _ in 1..1000 do
                         let rows =
                             Array.init 300 (fun _ ->
                                 let p = Math.Pow(10.0, -2.0 * random.NextDouble())
                                 (if random.NextDouble() < p then 1.0 / p else 0.0), (if random.NextDouble() < 0.7 then 1.0 else 0.0))
                         let x = OffPolicy.inversePropensity (Array.map fst rows, Array.map snd rows, delta)
                         0.7 < x.Low || 0.7 > x.High |]
                  |> Array.filter id
                  |> Array.length
              Expect.isLessThanOrEqual (float missed / 1000.0) (delta + 3.0 * sqrt (delta * (1.0 - delta) / 1000.0)) "missed"
          }
          test "definitions; rewards turned around turn the intervals around" {
              let weights, rewards = [| 2.0; 0.0; 4.0; 0.0; 1.0 |], [| 1.0; 0.5; 0.25; 0.0; 1.0 |]
              let predictions = [| 0.5; 0.75; 0.5; 0.25; 0.5 |]
              let ips = OffPolicy.inversePropensity (weights, rewards, 0.1)
              within 1e-12 ips.Estimate ((2.0 + 1.0 + 1.0) / 5.0) "mean of w r"
              within 1e-12 (OffPolicy.selfNormalised (weights, rewards, 4.0, 0.1)).Estimate (4.0 / 7.0) "over the sum of weights"
              let dr = OffPolicy.doublyRobust (weights, rewards, predictions, 4.0, 0.1)
              within 1e-12 dr.Estimate ((0.5 + 2.0 * 0.5 + 0.75 + 0.5 + 4.0 * -0.25 + 0.25 + 0.5 + 0.5) / 5.0) "q + w (r - q)"
              let turned = rewards |> Array.map (fun r -> 1.0 - r)
              let back = OffPolicy.inversePropensity (weights, turned, 0.1)
              within 1e-9 back.Low (1.0 - ips.High) "low"
              within 1e-9 back.High (1.0 - ips.Low) "high"
              // Each prediction rests on earlier queries of its stratum: the prior 1/2, then (1/2 + 2 * 1)/(1 + 2) of all, and so on.
              let running = OffPolicy.runningMeans (weights, rewards, [| 0; 0; 1; 0; 0 |])
              within 1e-12 running[0] 0.5 "prior"
              within 1e-12 running[1] ((2.0 + 2.5 / 3.0) / 3.0) "stratum 0"
              within 1e-12 running[2] (2.5 / 3.0) "stratum 1 has the mean of all"
              within 1e-12 (OffPolicy.effectiveQueries weights) (49.0 / 21.0) "effective queries"
              within 1e-12 (OffPolicy.selfNormalised ([| 0.0; 0.0 |], [| 1.0; 1.0 |], 2.0, 0.1)).Estimate 0.5 "nothing known"
          }
          test "good predictions make doubly robust narrower; bad ones leave it right" {
              let weights, rewards, _ = log (Random 71) 4000 false
              let constant q = OffPolicy.doublyRobust (weights, rewards, Array.create 4000 q, 10.0, 0.05)
              let width (x: Interval) = x.High - x.Low
              Expect.isLessThan (width (constant 0.7)) (width (constant 0.0)) "narrower"
              for q in [ 0.0; 0.7; 1.0 ] do
                  let x = constant q
                  Expect.isTrue (x.Low <= truth && truth <= x.High) $"prediction {q}"
          }
          test "numbers out of their domain are refused" {
              let refused (action: unit -> Interval) name =
                  Expect.throwsC (fun () -> action () |> ignore) (fun e -> Expect.isTrue (e :? ArgumentException) name)
              refused (fun () -> OffPolicy.inversePropensity ([| -1.0 |], [| 1.0 |], 0.1)) "negative weight"
              refused (fun () -> OffPolicy.inversePropensity ([| 1.0 |], [| 1.5 |], 0.1)) "reward"
              refused (fun () -> OffPolicy.inversePropensity ([| 1.0 |], [| 1.0; 0.0 |], 0.1)) "lengths"
              refused (fun () -> OffPolicy.inversePropensity ([||], [||], 0.1)) "none"
              refused (fun () -> OffPolicy.selfNormalised ([| 3.0 |], [| 1.0 |], 2.0, 0.1)) "a weight above the bound"
              refused (fun () -> OffPolicy.doublyRobust ([| 1.0 |], [| 1.0 |], [| 2.0 |], 2.0, 0.1)) "prediction"
          } ]
