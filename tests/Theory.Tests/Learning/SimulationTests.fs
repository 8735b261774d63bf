module Theory.Tests.SimulationTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private kinds = Enum.GetValues<LearnerKind>()
let private feedbackOf kind =
    match kind with
    | LearnerKind.Hedge
    | LearnerKind.HedgeAnytime
    | LearnerKind.HedgeWithSide -> Feedback.Full
    | _ -> Feedback.StagesRun

let private structured = ChainMixture(Instances.structured (3, 4, 1UL)) :> IEnvironment
let private policyClass = PolicyClass.Thresholds(3, 4)

[<Tests>]
let tests =
    testList
        "Examples.Simulation"
        [ testCase "the same seed gives the same result, on every learner; regret to the optimum never falls"
          <| fun () ->
              for kind in kinds do
                  let run seed = Simulation.run (structured, policyClass, kind, feedbackOf kind, 300, [| 10; 100; 300 |], seed)
                  let result = run 4
                  // NaN differs from itself, so compare what prints.
                  Expect.equal (sprintf "%A" (run 4)) (sprintf "%A" result) $"{kind}"
                  Expect.isTrue (result.RegretToOptimal[0] >= -1e-9) "not negative"
                  Array.pairwise result.RegretToOptimal |> Array.iter (fun (a, b) -> Expect.isTrue (a <= b + 1e-9) "nondecreasing")
                  Expect.equal (Array.sum result.StopCounts) 300 "every query is answered"
                  Expect.isTrue
                      (result.RegretToClass[2] <= result.RegretToOptimal[2] + 1e-9)
                      "the policy class is no better than the optimum"
              let rewards seed =
                  (Simulation.run (structured, policyClass, LearnerKind.Nest, Feedback.StagesRun, 300, [| 300 |], seed)).Rewards
              Expect.notEqual (rewards 1) (rewards 2) "seeds differ"

          testCase "pseudo-regret agrees with realised rewards on average, every learner"
          <| fun () ->
              for kind in kinds do
                  let horizon = 400
                  let gaps =
                      Array.init 30 (fun seed ->
                          let r = Simulation.run (structured, policyClass, kind, feedbackOf kind, horizon, [| horizon |], seed)
                          float horizon * r.BestClassValue - r.RegretToClass.[0] - r.Rewards.[0])
                  // A martingale with steps in an interval of length B: Azuma over all queries at level 1e-7.
                  let limit = structured.Range * sqrt (log 2e7 * float (30 * horizon) / 2.0)
                  Expect.isTrue (abs (Array.sum gaps) <= limit) $"{kind}: {Array.sum gaps} within {limit}"

          testCase "property 21: mean regret within Theorem 4, and at most a share 4 delta beyond Theorem 5"
          <| fun () ->
              let horizon, seeds, delta = 2000, 12, 0.05
              let aliased = Instances.aliased 3 :> IEnvironment
              for environment, policyClass in [ structured, policyClass; aliased, PolicyClass.Thresholds(3, 2) ] do
                  for kind, feedback in
                      [ LearnerKind.Nest, Feedback.StagesRun
                        LearnerKind.NestAlone, Feedback.Returned
                        LearnerKind.NestAnytime, Feedback.Returned
                        LearnerKind.Hedge, Feedback.Full ] do
                      let runs =
                          Array.init seeds (fun seed ->
                              Simulation.run (environment, policyClass, kind, feedback, horizon, [| 500; horizon |], seed))
                      for i in 0..1 do
                          let mean = runs |> Array.averageBy (fun r -> r.RegretToClass[i])
                          Expect.isTrue (mean <= runs[0].Bound[i]) $"{kind}, {feedback}: {mean} <= {runs[0].Bound[i]}"
                      let side = kind = LearnerKind.Nest
                      let bound =
                          (Regret.nestHighProbability (feedback, 3, PolicyClass.Size policyClass, side, horizon, environment.Range, delta))
                              .Value
                      let beyond = runs |> Array.filter (fun r -> r.RealisedRegret[1] > bound) |> Array.length
                      // P(Bin(12, .2) > 10) < 1e-6.
                      if kind <> LearnerKind.NestAnytime then Expect.isTrue (beyond <= 10) $"{beyond} beyond Theorem 5"

          testCase "property 22: certificate A covers on structured and aliased instances"
          <| fun () ->
              let horizon = 1500
              let checkpoints = [| 10; 50; 200; 500; 1000; 1500 |]
              for environment, policyClass in [ structured, policyClass; Instances.aliased 3, PolicyClass.Thresholds(3, 2) ] do
                  for feedback in [ Feedback.StagesRun; Feedback.Returned ] do
                      let missed =
                          [| 1..12 |]
                          |> Array.filter (fun seed ->
                              let r = Simulation.run (environment, policyClass, LearnerKind.Nest, feedback, horizon, checkpoints, seed)
                              Array.exists2 (>) r.RealisedRegret r.CertificateA)
                      // P(Bin(12, .05) > 6) < 1e-6.
                      Expect.isTrue (missed.Length <= 6) $"{missed.Length} of 12 missed"

          testCase "section 8.3: on the aliased instance a Markov learner's regret is linear, NEST's is not"
          <| fun () ->
              let environment, policyClass = Instances.aliased 3 :> IEnvironment, PolicyClass.Thresholds(3, 2)
              let regret kind =
                  (Simulation.run (environment, policyClass, kind, Feedback.StagesRun, 5000, [| 2500; 5000 |], 3)).RegretToClass
              let sampling, nest = regret LearnerKind.PosteriorSampling, regret LearnerKind.Nest
              Expect.isTrue
                  (sampling[0] > 0.15 * 2500.0 && sampling[1] - sampling[0] > 0.15 * 2500.0)
                  (sprintf "posterior sampling: %A" sampling)
              Expect.isTrue (nest[1] < 0.06 * 5000.0 && nest[1] < 1.7 * nest[0]) (sprintf "NEST: %A" nest)

          testCase "every adaptive learner leaves the fixed depths behind on a structured instance"
          <| fun () ->
              let regret kind =
                  let r = Simulation.run (structured, policyClass, kind, feedbackOf kind, 4000, [| 2000; 4000 |], 2)
                  r.RegretToOptimal
              let last =
                  [| for k in kinds do
                         if k <> LearnerKind.Ucb1 then k, regret k |]
              for kind, r in last do
                  // Sublinear: the second half costs less than the first.
                  Expect.isTrue (r[1] - r[0] < r[0]) (sprintf "%O: %A" kind r)

          testCase "runs on a pool: the realised regret is against the policy class's best on the very queries"
          <| fun () ->
              // One row: every run meets it again and again, so hindsight is known.
              let pool = Pool.Create([| [| 1; 0 |] |], [| [| 0.5; 1.0 |] |], [| [| 1.0; 2.0 |] |], 0.1, 2)
              let r = Simulation.run (pool, PolicyClass.Thresholds(2, 2), LearnerKind.Greedy, Feedback.Full, 50, [| 50 |], 1)
              within 1e-9 (r.RealisedRegretToClass[0]) (50.0 * 0.8 - r.Rewards[0]) "always going on earns .8 a query"
              within 1e-12 r.BestClassValue 0.8 "value"

          testCase "bad arguments are rejected"
          <| fun () ->
              let run policyClass kind feedback horizon checkpoints =
                  Simulation.run (structured, policyClass, kind, feedback, horizon, checkpoints, 1) |> ignore
              rejects (fun () -> run policyClass LearnerKind.Nest Feedback.Full 0 [||]) "no queries"
              rejects (fun () -> run policyClass LearnerKind.Nest Feedback.Full 10 [| 11 |]) "checkpoint beyond the end"
              rejects (fun () -> run policyClass LearnerKind.Nest Feedback.Full 10 [| 5; 5 |]) "checkpoints that do not increase"
              rejects (fun () -> run policyClass LearnerKind.Hedge Feedback.Returned 10 [| 5 |]) "Hedge without full feedback"
              rejects
                  (fun () -> run (PolicyClass.Thresholds(4, 4)) LearnerKind.Nest Feedback.Full 10 [| 5 |])
                  "policy class of another shape" ]
