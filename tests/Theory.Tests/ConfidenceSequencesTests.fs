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

          testCase "the alarm's capital is a martingale at the floor: no bet sees the quality that it is settled by"
          <| fun () ->
              let random = Random 84
              let mutable state = ConfidenceSequences.startAlarm (0.7, 0.1)
              let mutable bets = 0
              for _ in 1..300 do
                  let capital x = exp (ConfidenceSequences.observeQuality (state, x)).LogCapital
                  within 1e-9 (0.7 * capital 1.0 + 0.3 * capital 0.0) (exp state.LogCapital) "fair game"
                  if capital 0.0 > 1.001 * exp state.LogCapital then bets <- bets + 1
                  state <- ConfidenceSequences.observeQuality (state, bernoulli random 0.68)
              Expect.isGreaterThan bets 50 "bets were made"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> ConfidenceSequences.observe (ConfidenceSequences.start 0.1, 1.5) |> ignore) "above 1"
              rejects (fun () -> ConfidenceSequences.start 0.0 |> ignore) "alpha 0" ]
