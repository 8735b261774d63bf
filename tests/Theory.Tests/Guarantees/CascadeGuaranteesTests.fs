module Theory.Tests.CascadeGuaranteesTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.CascadeGuarantees"
        [ testCase "section 8.2's bound: NEST at n = 4, m = 10, T = 10^5, B = 1.283"
          <| fun () ->
              let rows = CascadeGuarantees.regret (4, 10, 100_000, 1.0 + 0.3 * 16.5 / 17.5, 0.05)
              let row learner feedback = rows |> Array.find (fun r -> r.Learner = learner && r.Feedback = feedback)
              within 1.0 (row "NEST" "stages-run").Value 4557.0 "stages run"
              within 1e-12 (row "NEST" "stages-run").PerQuery ((row "NEST" "stages-run").Value / 100_000.0) "per query"
              Expect.isTrue ((row "NEST, w.p. 0.95" "stages-run").Value > (row "NEST" "stages-run").Value) "confidence costs"
              let likely = Regret.nestHighProbability (Feedback.StagesRun, 4, 1331.0, true, 100_000, 1.0 + 0.3 * 16.5 / 17.5, 0.05 / 4.0)
              within 1e-6 (row "NEST, w.p. 0.95" "stages-run").Value likely.Value "Theorem 5 fails with 4 delta"
              Expect.isTrue (row "OptStop" "returned").Vacuous "OptStop is vacuous here"

          testCase "each upper bound first says something at MeaningfulFrom; lower bounds lie below upper ones, 200 random cascades"
          <| fun () ->
              let random = Random 73
              for _ in 1..200 do
                  let n, m, range = 2 + random.Next 7, 2 + random.Next 15, 1.0 + 3.0 * random.NextDouble()
                  let at t = CascadeGuarantees.regret (n, m, t, range, 0.05)
                  at 1000
                  |> Array.iteri (fun i row ->
                      if row.MeaningfulFrom > 1 then
                          Expect.isFalse (at row.MeaningfulFrom).[i].Vacuous row.Learner
                          Expect.isTrue (at (row.MeaningfulFrom - 1)).[i].Vacuous row.Learner
                      if row.IsLowerBound then
                          for upper in at 1000 do
                              // Theorem 8(b)'s learner is graded once a query; Hedge sees more, UCB1 is against depths.
                              if not upper.IsLowerBound && (row.Feedback = "any" || upper.Feedback = "returned") then
                                  Expect.isTrue (row.Value <= upper.Value) $"{row.Theorem} against {upper.Learner}")

          testCase "sample sizes: the rows are the theorems' functions"
          <| fun () ->
              let rows = CascadeGuarantees.samples (4, 10, 1.3, 0.05, 0.05)
              let row name = rows |> Array.find (fun r -> r.Class = name)
              Expect.equal (row "thresholds on 10 bins").Samples (SampleComplexity.samplesFor (1.3, 3.0 * log 11.0, 0.05, 0.05)) "13,800"
              Expect.equal (row "4 fixed depths").Samples (SampleComplexity.samplesFor (1.3, log 4.0, 0.05, 0.05)) "depths"
              Expect.isTrue ((row "4 fixed depths").Samples < (row "thresholds on 10 bins").Samples) "log(n) against n log(m)"
              Expect.isTrue
                  ((row "intervals on 10 bins").Samples < 2L * (row "thresholds on 10 bins").Samples)
                  "intervals at most double ln N"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> CascadeGuarantees.regret (4, 10, 0, 1.3, 0.05) |> ignore) "T = 0"
              rejects (fun () -> CascadeGuarantees.regret (4, 0, 10, 1.3, 0.05) |> ignore) "no bins"
              rejects (fun () -> CascadeGuarantees.regret (4, 10, 10, 1.3, 0.0) |> ignore) "delta 0"
              rejects (fun () -> CascadeGuarantees.samples (4, 10, 1.3, 1.0, 0.05) |> ignore) "epsilon 1"
              rejects (fun () -> CascadeGuarantees.samples (1, 10, 1.3, 0.1, 0.05) |> ignore) "one stage" ]
