module Theory.Tests.ConfidenceSequencesTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private bernoulli (random: Random) p = if random.NextDouble() < p then 1.0 else 0.0

[<Tests>]
let tests =
    testList
        "Examples.ConfidenceSequences"
        [ testCase "property 31: ever-miss frequency <= alpha, empirical-Bernstein and Robbins"
          <| fun () ->
              let random = Random 81
              let alpha, runs, steps = 0.1, 500, 1000
              let coin p = p, fun () -> bernoulli random p
              for mean, draw in [ coin 0.5; coin 0.05; 0.5, random.NextDouble ] do
                  let mutable missed, robbins = 0, 0
                  for _ in 1..runs do
                      let mutable state, total, out, outRobbins = ConfidenceSequences.start alpha, 0.0, false, false
                      for t in 1..steps do
                          let x = draw ()
                          state <- ConfidenceSequences.observe (state, x)
                          total <- total + x
                          out <- out || mean < state.Low || mean > state.High
                          let half = ConfidenceSequences.robbinsHalfWidth (int64 t, alpha, 10.0)
                          outRobbins <- outRobbins || abs (total / float t - mean) > half
                      if out then missed <- missed + 1
                      if outRobbins then robbins <- robbins + 1
                  let bar = int (float runs * alpha + 3.0 * sqrt (float runs * alpha * (1.0 - alpha)))
                  Expect.isTrue (missed <= bar && robbins <= bar) $"mean {mean}: {missed}, {robbins} of {runs}"

          testCase "it narrows onto the mean, far below Robbins's width when the variance is small"
          <| fun () ->
              let random = Random 82
              let mutable state = ConfidenceSequences.start 0.05
              for _ in 1..20000 do
                  state <- ConfidenceSequences.observe (state, 0.9 + 0.04 * (random.NextDouble() - 0.5))
              Expect.isTrue (state.Low <= 0.9 && 0.9 <= state.High) "covers"
              Expect.isLessThan (state.High - state.Low) (ConfidenceSequences.robbinsHalfWidth (20000L, 0.05, 100.0)) "narrow"

          testCase "one step by hand"
          <| fun () ->
              // alpha = .1, x = 1: mean before 1/2, variance 1/4, lambda = 1/2, psi = (ln 2 - 1/2)/4;
              // the interval is 1 +- 2 (ln 20 + psi).
              let state = ConfidenceSequences.observe (ConfidenceSequences.start 0.1, 1.0)
              within 1e-15 state.Variation ((log 2.0 - 0.5) / 4.0) "variation"
              Expect.equal (state.Low, state.High) (0.0, 1.0) "wider than [0,1]"
              within 1e-15 state.Squares (0.25 + 0.0625) "squares: new mean 3/4"

          testCase "the alarm: false with frequency <= delta at the floor, sure and early below it"
          <| fun () ->
              let random = Random 83
              let firstAlarm p steps =
                  let mutable state, t = ConfidenceSequences.startAlarm (0.8, 0.1), 0
                  while not state.Raised && t < steps do
                      state <- ConfidenceSequences.observeQuality (state, bernoulli random p)
                      t <- t + 1
                  if state.Raised then Some t else None
              let falseAlarms = Seq.init 500 (fun _ -> firstAlarm 0.8 1000) |> Seq.choose id |> Seq.length
              Expect.isTrue (falseAlarms <= 50 + 20) $"{falseAlarms} of 500"
              let raised = Array.init 100 (fun _ -> firstAlarm 0.6 2000)
              Expect.all raised Option.isSome "raised at 0.6"
              Expect.isLessThan (raised |> Array.averageBy (fun t -> float t.Value)) 120.0 "mean delay"

          testCase "the alarm's capital is a fair game at the floor: no bet sees the quality that it is settled by"
          <| fun () ->
              let random = Random 84
              for floor in [ 0.25; 0.7; 0.95 ] do
                  let mutable state = ConfidenceSequences.startAlarm (floor, 1e-9)
                  let mutable bets = 0
                  for _ in 1..300 do
                      // Linear in the quality, and unchanged by the floor itself: fair for every distribution of that mean.
                      let capital x = exp (ConfidenceSequences.observeQuality (state, x)).LogCapital
                      let now = exp state.LogCapital
                      within (1e-12 * now) (capital floor) now "fair game"
                      within (1e-12 * capital 0.0) (0.3 * capital 1.0 + 0.7 * capital 0.0) (capital 0.3) "linear"
                      if capital 0.0 > 1.001 * now then bets <- bets + 1
                      state <- ConfidenceSequences.observeQuality (state, bernoulli random (floor - 0.02))
                  Expect.isGreaterThan bets 50 "bets were made"

          testCase "the alarm stays, and keeps O(log t) bets"
          <| fun () ->
              let observe state x = ConfidenceSequences.observeQuality (state, x)
              let raised = Seq.fold observe (ConfidenceSequences.startAlarm (0.8, 0.1)) (Seq.replicate 40 0.0)
              Expect.isTrue raised.Raised "raised"
              let later = Seq.fold observe raised (Seq.replicate 5000 1.0)
              Expect.equal (later.Raised, later.Count) (true, 5040L) "latched"
              let healthy = Seq.fold observe (ConfidenceSequences.startAlarm (0.8, 0.1)) (Seq.replicate 5000 1.0)
              Expect.isFalse healthy.Raised "healthy"
              Expect.isLessThanOrEqual (float healthy.Starts.Length) (2.0 * Math.Log2 5000.0 + 4.0) "bets that run"
              Expect.equal healthy.Wealth.Length (8 * healthy.Starts.Length) "a bet for each stake"

          testCase "a drop after a good history is seen within alarmDelay, whatever the history's length"
          <| fun () ->
              let random = Random 85
              let floor, delta, eta = 0.95, 0.05, 0.05
              for before, mean in [ 0, 0.8; 2000, 0.8; 20000, 0.8; 20000, 0.0 ] do
                  let good = Seq.init before (fun _ -> bernoulli random 0.99)
                  let observe state x = ConfidenceSequences.observeQuality (state, x)
                  let history = Seq.fold observe (ConfidenceSequences.startAlarm (floor, delta)) good
                  let bound = ConfidenceSequences.alarmDelay (int64 before, floor, delta, mean, eta)
                  let delay () =
                      let mutable state, t = history, 0L
                      while not state.Raised && t <= bound do
                          state <- observe state (bernoulli random mean)
                          t <- t + 1L
                      t
                  let delays = Array.init 60 (fun _ -> delay ()) |> Array.sort
                  let late = delays |> Array.filter (fun t -> t > bound) |> Array.length
                  // P(Bin(60, 0.05) > 9) < 0.002.
                  Expect.isLessThanOrEqual late 9 $"{before} good queries, then {mean}: within {bound}"
                  Expect.isLessThan delays[30] (if mean = 0.0 then 28L else 300L) "median delay"
              let delay before = ConfidenceSequences.alarmDelay (before, floor, delta, 0.8, eta)
              Expect.isLessThan (delay 1_000_000_000L) (4L * delay 1000L) "logarithmic in the history"

          testCase "the recent interval covers, and follows a change"
          <| fun () ->
              let random = Random 86
              let observe state x = ConfidenceSequences.observeRecent (state, x)
              let mutable missed = 0
              for _ in 1..200 do
                  let mutable state, out = ConfidenceSequences.startRecent 0.1, false
                  for _ in 1..300 do
                      state <- observe state (bernoulli random 0.7)
                      out <- out || state.Low > 0.7 || state.High < 0.7
                  if out then missed <- missed + 1
              Expect.isLessThanOrEqual missed (20 + 13) "ever missed, of 200"
              let good = Seq.fold observe (ConfidenceSequences.startRecent 0.05) (Seq.init 4000 (fun _ -> bernoulli random 0.97))
              Expect.equal good.Since 1L "all queries while nothing changes"
              Expect.isTrue (good.Low < 0.97 && 0.97 < good.High && good.High - good.Low < 0.05) $"{good.Low} .. {good.High}"
              let bad = Seq.fold observe good (Seq.init 1000 (fun _ -> bernoulli random 0.3))
              Expect.isGreaterThan bad.Since 3900L "the queries since the change"
              Expect.isTrue (bad.Low < 0.3 && 0.3 < bad.High && bad.High < 0.6) $"{bad.Low} .. {bad.High}"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> ConfidenceSequences.observe (ConfidenceSequences.start 0.1, 1.5) |> ignore) "above 1"
              rejects (fun () -> ConfidenceSequences.start 0.0 |> ignore) "alpha 0"
              rejects (fun () -> ConfidenceSequences.observeQuality (ConfidenceSequences.startAlarm (0.5, 0.1), nan) |> ignore) "NaN"
              rejects (fun () -> ConfidenceSequences.alarmDelay (0L, 0.5, 0.1, 0.5, 0.1) |> ignore) "no drop" ]
