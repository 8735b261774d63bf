module Theory.Tests.RegretTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private logThresholds n m = float (n - 1) * log (float (m + 1))
let private feedbacks = [ Feedback.Full; Feedback.StagesRun; Feedback.Returned ]

/// Upper bounds on expected regret against the best policy of a class that holds the lower bound's optimum, as functions of
/// n, m and T at B = 1.
let private upperBounds: (string * (int -> int -> int -> RegretBound)) list =
    [ for f in feedbacks do
          $"NEST, {f}", (fun n m t -> Regret.nest (f, n, logThresholds n m + log 2.0, t, 1.0))
          $"anytime, {f}", (fun n m t -> Regret.nestAnytime (f, n, logThresholds n m + log 2.0, t, 1.0))
      "OptStop", (fun n m t -> Regret.optStop (n, m, t, 1.0))
      "UCB1", (fun n _ t -> Regret.ucb1 (n, t, 1.0)) ]

[<Tests>]
let tests =
    testList
        "Examples.Regret"
        [ testCase "property 15: chain lemma, 10,000 random weights"
          <| fun () ->
              let random = Random 81
              for _ in 1..10000 do
                  let n = random.Next(1, 12)
                  let w = ChainTests.randomSimplex random n |> Array.map (fun x -> if random.Next 5 = 0 then 0.0 else x)
                  let w =
                      if Array.sum w = 0.0 then
                          Array.init n (fun k -> if k = 0 then 1.0 else 0.0)
                      else
                          w |> Array.map (fun x -> x / Array.sum w)
                  let gamma = 10.0 ** (-4.0 * random.NextDouble())
                  let reaching = Array.scanBack (+) w 0.0
                  let chain = Seq.sum (seq { for k in 0 .. n - 1 -> w[k] / (reaching[k] + gamma) })
                  Expect.isTrue (chain <= min (float n) (log (1.0 + 1.0 / gamma)) + 1e-9) "reaching"
                  Expect.isTrue (w |> Array.sumBy (fun x -> x / (x + gamma)) <= float n) "stopping"

          testCase "section 8.2: the published bounds at n = 4, m = 10, T = 10^5"
          <| fun () ->
              let range = Chain.range (Instances.structured (4, 10, 1UL))
              let at (bound: RegretBound) expected message =
                  within 0.6 bound.Value expected message
                  Expect.isFalse bound.Vacuous message
              at (Regret.nest (Feedback.StagesRun, 4, logThresholds 4 10 + log 2.0, 100000, range)) 4557.0 "NEST"
              at (Regret.nest (Feedback.Returned, 4, logThresholds 4 10, 100000, range)) 4352.0 "NEST without side expert"
              at (Regret.nest (Feedback.Full, 4, logThresholds 4 10, 100000, range)) 769.0 "Hedge"
              let range8 = Chain.range (Instances.structured (8, 5, 1UL))
              at (Regret.nest (Feedback.StagesRun, 8, log (2.0 * 16384.0), 100000, range8)) 7446.0 "n = 8"
              // Theorem 7's candour: x is about 6.2e5 at T = 10^5 (y adds 3.1e4), vacuous until about 10^6.
              let branches = Regret.optStopBranches (4, 10, 100000, range, 300000.0)
              let y = 40.0 + sqrt (8.0 * log (29.0 * 40.0 * 1e10) * 40.0 * 1e5)
              within 0.05e5 (min branches.Bernstein branches.Hoeffding - y - range) 6.2e5 "Theorem 7"
              Expect.isTrue (Regret.optStop (4, 10, 100000, range)).Vacuous "vacuous at 10^5"
              Expect.isFalse (Regret.optStop (4, 10, 3000000, range)).Vacuous "not at 3 10^6"

          testCase "Theorem 7: the Hoeffding branch is the smaller at small n, the Bernstein branch at large n and T"
          <| fun () ->
              let small, huge =
                  Regret.optStopBranches (4, 10, 100000, 1.3, 3e5), Regret.optStopBranches (400, 1, 2000000000, 1.3, 399.0 * 2e9)
              Expect.isTrue (small.Hoeffding < small.Bernstein && huge.Bernstein < huge.Hoeffding) $"{small}, {huge}"

          testCase "property 26: bounds rise with T, n, m; bound/T falls"
          <| fun () ->
              for name, bound in upperBounds do
                  for n, m in [ 2, 2; 4, 10; 8, 5 ] do
                      let horizons = [| 10; 100; 1000; 10000; 100000; 1000000; 10000000 |]
                      let values = horizons |> Array.map (fun t -> (bound n m t).Value)
                      Array.pairwise values |> Array.iter (fun (a, b) -> Expect.isTrue (a < b) $"{name}: {a} < {b}")
                      Array.map2 (fun v t -> v / float t) values horizons
                      |> Array.pairwise
                      |> Array.iter (fun (a, b) -> Expect.isTrue (b <= a + 1e-12) $"{name}: per query {a}, {b}")
                      for t in horizons do
                          Expect.isTrue ((bound (n + 1) m t).Value >= (bound n m t).Value) $"{name}: in n"
                          Expect.isTrue ((bound n (m + 1) t).Value >= (bound n m t).Value) $"{name}: in m"
                          Expect.isTrue ((bound n m t).Value <= float t) "at most T"
                          Expect.equal (bound n m t).Vacuous ((bound n m t).Value >= float t) "vacuous"
                      Expect.equal (bound n m 0).Value 0.0 "no queries"

          testCase "property 26: four times the queries double the bound where D = n"
          <| fun () ->
              for t in [ 10000; 100000; 1000000 ] do
                  let at feedback t = (Regret.nest (feedback, 4, logThresholds 4 10, t, 1.3)).Value
                  for feedback in [ Feedback.Full; Feedback.Returned; Feedback.StagesRun ] do
                      within 1e-6 (at feedback (4 * t)) (2.0 * at feedback t) $"{feedback}"
                  let along t' = (Regret.nestAt (Feedback.Returned, 4, logThresholds 4 10, t, t', 1.3)).Value
                  within 1e-6 (along t) (at Feedback.Returned t) "nestAt ends at nest"
                  Expect.isTrue
                      (along (t / 2) < along t
                       && along (t / 2) >= (Regret.nest (Feedback.Returned, 4, logThresholds 4 10, t / 2, 1.3)).Value)
                      "above the tuned bound before"

          testCase "property 27: lower bounds lie below every upper bound"
          <| fun () ->
              for name, bound in upperBounds do
                  for n in [ 2; 4; 8; 16 ] do
                      for t in [ 1; 10; 100; 10000; 1000000; 100000000 ] do
                          Expect.isTrue (Regret.lowerBound (n, t) <= (bound n 4 t).Value) $"{name}, n={n}, T={t}: any feedback"
                          if not (name.Contains "Full") then
                              Expect.isTrue (Regret.lowerBoundReturned (n, t) <= (bound n 1 t).Value) $"{name}, n={n}, T={t}: returned"
              within 1e-12 (Regret.lowerBound (5, 100)) (20.0 / 64.0) "sqrt(4 * 100)/64"
              within 1e-12 (Regret.lowerBoundReturned (4, 100)) 1.0 "sqrt(400)/20"
              Expect.equal (Regret.lowerBound (1, 100), Regret.lowerBound (9, 5)) (0.0, 0.0) "outside its domain"

          testCase "Theorem 5 exceeds Theorem 4 and falls with delta"
          <| fun () ->
              for feedback in feedbacks do
                  let high delta = (Regret.nestHighProbability (feedback, 4, 1331, true, 1000000, 1.3, delta)).Value
                  Expect.isTrue
                      (high 0.05 > (Regret.nest (feedback, 4, log 2662.0, 1000000, 1.3)).Value && high 0.01 > high 0.05)
                      $"{feedback}"

          testCase "log-log slope: exact on powers, its interval covers, NaN without a logarithm"
          <| fun () ->
              let horizons = [| 1000; 3000; 10000; 30000; 100000 |]
              let power exponent scale = horizons |> Array.map (fun t -> scale * Math.Pow(float t, exponent))
              let exact = RegretSlope.logLog (horizons, [| power 0.5 1.0; power 0.5 3.0 |], 0.95, 200, 1UL)
              within 1e-12 exact.Estimate 0.5 "slope"
              within 1e-12 exact.Low 0.5 "low"
              within 1e-12 exact.High 0.5 "high"
              let random = Random 82
              let noisy =
                  Array.init 12 (fun _ ->
                      power 0.6 (0.5 + random.NextDouble()) |> Array.map (fun x -> x * (0.8 + 0.4 * random.NextDouble())))
              let interval = RegretSlope.logLog (horizons, noisy, 0.999, 2000, 2UL)
              Expect.isTrue (interval.Low < 0.6 && 0.6 < interval.High && interval.High - interval.Low < 0.2) $"{interval}"
              Expect.isTrue (interval.Low <= interval.Estimate && interval.Estimate <= interval.High) "ordered"
              Expect.equal (RegretSlope.logLog (horizons, noisy, 0.999, 2000, 2UL)) interval "seeded"
              let negative = RegretSlope.logLog (horizons, [| Array.create 5 -1.0; power 0.5 1e9 |], 0.95, 100, 1UL)
              Expect.isTrue (Double.IsNaN negative.Low && not (Double.IsNaN negative.Estimate)) "a resample without logarithm"
              rejects (fun () -> RegretSlope.logLog ([| 10; 10 |], [| [| 1.0; 2.0 |] |], 0.95, 100, 1UL) |> ignore) "one horizon"
              rejects (fun () -> RegretSlope.logLog (horizons, [||], 0.95, 100, 1UL) |> ignore) "no seed"

          testCase "bounds are numbers for every argument of their domain, and other arguments are refused"
          <| fun () ->
              for n in [ 1; 2; 7; 1000 ] do
                  for t in [ 0; 1; 2; 19; 20; 1000; Int32.MaxValue ] do
                      for b in [ 1.0; 1e300 ] do
                          for f in [ Feedback.Full; Feedback.StagesRun; Feedback.Returned ] do
                              for logN in [ 0.0; 1e300 ] do
                                  let values =
                                      [ (Regret.nest (f, n, logN, t, b)).Value
                                        (Regret.nestAnytime (f, n, logN, t, b)).Value
                                        (Regret.nestHighProbability (f, n, (if logN = 0.0 then 1.0 else infinity), true, t, b, 1e-300))
                                            .Value
                                        (Regret.ucb1 (n, t, b)).Value
                                        (Regret.gridLoss (n, 1, t, b)).Value
                                        Regret.lowerBound (n, t)
                                        Regret.lowerBoundReturned (n, t)
                                        Regret.lowerBoundContexts (n, 3, t) ]
                                  Expect.all values (fun x -> x >= 0.0) $"{n} stages, {t} queries, B = {b}, {f}, ln N = {logN}: {values}"
                      Expect.isGreaterThanOrEqual (Regret.optStop (n, 3, t, 1.3)).Value 0.0 "OptStop"
              for bad in [ nan; -1.0; infinity ] do
                  rejects (fun () -> Regret.nest (Feedback.Full, 2, bad, 10, 1.0) |> ignore) $"ln N = {bad}"
                  rejects (fun () -> Regret.nestAt (Feedback.Full, 2, bad, 10, 5, 1.0) |> ignore) $"ln N = {bad}, before T"
                  rejects (fun () -> Regret.nestAnytime (Feedback.Full, 2, bad, 10, 1.0) |> ignore) $"ln N = {bad}, anytime"
                  rejects (fun () -> Regret.optStopBranches (2, 3, 10, 1.0, bad) |> ignore) $"{bad} continued"
              rejects (fun () -> Regret.nestHighProbability (Feedback.Full, 2, 0.0, false, 10, 1.0, 0.1) |> ignore) "no policy"
              rejects (fun () -> Regret.optStopBranches (1, 3, 10, 1.0, 0.0) |> ignore) "one stage has no branches"
              rejects (fun () -> Regret.optStopBranches (2, 3, 0, 1.0, 0.0) |> ignore) "no queries"

          testCase "bad arguments are rejected"
          <| fun () ->
              rejects (fun () -> Regret.nest (Feedback.Full, 0, 1.0, 10, 1.0) |> ignore) "no stage"
              rejects (fun () -> Regret.ucb1 (2, -1, 1.0) |> ignore) "negative horizon"
              rejects (fun () -> Regret.optStop (2, 2, 10, 0.5) |> ignore) "range below 1"
              rejects (fun () -> Regret.nestHighProbability (Feedback.Full, 2, 4, false, 10, 1.0, 1.0) |> ignore) "delta 1" ]
