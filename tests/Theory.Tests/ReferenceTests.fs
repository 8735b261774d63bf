/// Values that tests/Theory.Tests/reference.py computes with scipy 1.10.1 from the formulas as printed; no code is shared.
module Theory.Tests.ReferenceTests

open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private relative (actual: float) (expected: float) message = within (1e-9 * abs expected) actual expected message

// Student's sleep data, drug 1 minus drug 2.
let private sleep = [| -1.2; -2.4; -1.3; -1.3; 0.0; -1.0; -1.8; -0.8; -4.6; -1.4 |]

let private n, m, horizon, range, delta = 4, 10, 100_000, 1.3, 0.05
let private logN = SampleComplexity.logThresholdPolicies (n, m) + log 2.0

[<Tests>]
let tests =
    testList
        "Examples.Reference"
        [ testCase "non-inferiority on the sleep data: scipy, ttest_1samp(alternative='greater')"
          <| fun () ->
              let at margin = NonInferiority.pairedT (sleep, margin)
              relative (at 1.0).Statistic -1.4911607951655574 "t, margin 1"
              relative (at 1.0).PValue 0.9149441145512885 "p, margin 1"
              relative (at 2.0).PValue 0.15415723566909742 "p, margin 2"
              relative (NonInferiority.lowerLimit (sleep, 0.05)) -2.2930052670282706 "lower limit"
              Expect.equal (NonInferiority.pairedT ([| 0.1; 0.1 |], 0.0)).PValue 0.0 "constant and better"
              Expect.equal (NonInferiority.pairedT ([| -0.1; -0.1 |], 0.05)).PValue 1.0 "constant and worse"
              rejects (fun () -> NonInferiority.pairedT (sleep, -1.0) |> ignore) "negative margin"

          testCase "McNemar mid-p of 9 against 3: scipy, binom"
          <| fun () -> relative (PairedTests.mcNemarMidP (9, 3)).PValue 0.09228515625000001 "p"

          testCase "Hoeffding-Bentkus: scipy, binom"
          <| fun () ->
              relative (RiskControl.hoeffdingBentkus (0.123, 57, 0.2)) 0.3056013372293752 "fractional"
              relative (RiskControl.hoeffdingBentkus (0.05, 200, 0.1)) 0.02193993208590663 "small"
              relative (RiskControl.hoeffdingBentkus (0.3, 40, 0.2)) 1.0 "beyond alpha"

          testCase "klUCB: scipy, brentq"
          <| fun () ->
              within 1e-11 (ConfidenceBounds.klUpper (0.2, 0.1)) 0.40997305089893055 ".2"
              within 1e-11 (ConfidenceBounds.klUpper (0.9, 0.02)) 0.9493708460921848 ".9"
              within 1e-11 (ConfidenceBounds.klUpper (0.5, 1.0)) 0.9649367475160969 ".5"

          testCase "empirical Bernstein radius, and an empirical-Bernstein interval after seven values"
          <| fun () ->
              relative (SampleComplexity.empiricalBernsteinRadius (1.3, 0.04, 250, 0.05)) 0.07929570933766782 "radius"
              let state =
                  [| 0.2; 0.9; 0.4; 0.4; 1.0; 0.0; 0.7 |]
                  |> Array.fold (fun s x -> ConfidenceSequences.observe (s, x)) (ConfidenceSequences.start 0.1)
              let half = (log (2.0 / 0.1) + state.Variation) / state.Weight
              relative (state.WeightedTotal / state.Weight - half) -0.40000727084392473 "low"
              relative (state.WeightedTotal / state.Weight + half) 1.428578699415353 "high"

          testCase "rates of Theorem 4"
          <| fun () ->
              let rate feedback stages horizon = (NestRates.Tuned(feedback, stages, logN, horizon)).Eta
              relative (rate Feedback.StagesRun n horizon) 0.004440392155810976 "S"
              relative (rate Feedback.Full n horizon) 0.02511865123601195 "F"
              relative (rate Feedback.StagesRun 20 1000) 0.03378714016183193 "D = ln(1+T)"
              within 1e-15 (NestRates.Tuned(Feedback.Returned, n, logN, horizon)).Gamma (rate Feedback.Returned n horizon / 2.0) "gamma"

          testCase "bounds: Theorem 5, anytime, UCB1, Theorem 7 (scipy, brentq), Theorems 10 and 11"
          <| fun () ->
              let policies = 1331.0
              relative
                  (Regret.nestHighProbability (Feedback.StagesRun, n, policies, true, horizon, range, delta)).Value
                  10963.819553525991
                  "Theorem 5"
              relative (Regret.nestAnytime (Feedback.StagesRun, n, logN, horizon, range)).Value 6530.849321363107 "anytime"
              relative (Regret.ucb1 (n, horizon, range)).Value 15803.549459900745 "UCB1"
              let branches = Regret.optStopBranches (n, m, horizon, range, 3.0 * float horizon)
              relative branches.Bernstein 2798571.6722255144 "Bernstein branch"
              relative branches.Hoeffding 651064.6217947638 "Hoeffding branch"
              relative (SampleComplexity.epsilonForOneParameter (range, n, 5000L, delta)) 0.1305614065102369 "Theorem 10"
              let counts = [| [| 400L; 900L |]; [| 300L; 1000L |]; [| 1300L; 1250L |] |]
              relative (SampleComplexity.epsilonForPlugIn (counts, 2600L, delta)) 0.8736528243936601 "Theorem 11"
              relative (Regret.lowerBoundContexts (n, m, horizon)) (sqrt 4e6 / 35.0) "Theorem 8(c)"
              Expect.equal
                  (Regret.lowerBoundContexts (n, m, 39), Regret.lowerBoundContexts (n, 7, horizon))
                  (0.0, 0.0)
                  "T < nm; m does not divide T"
              relative (Regret.gridLoss (n, m, 1000, range)).Value (range * 300.0) "grid loss"
              relative (Regret.gridLoss (n, 1, 1000, range)).Value (range * 1000.0) "cut at B T"

          testCase "Certificates A and B by their formulas"
          <| fun () ->
              let settings =
                  { PolicyClass = PolicyClass.Thresholds(n, m)
                    Feedback = Feedback.StagesRun
                    Side = SideExpert.PosteriorSampling
                    Horizon = horizon
                    Range = range
                    ContinueCosts = Array.create 3 0.1
                    Seed = 1UL
                    AuditRate = 1.0 }
              let state = { Nest.init settings with Round = 7 }
              // B ln(3(N+1)/delta)/a for the stakes 2 gamma, 8 gamma, 32 gamma.
              let small, middle, large = 3304.981930056335, 826.2454825140837, 206.56137062852093
              relative (Nest.certificateA (state, delta)) large "nothing lost yet: the slack alone"
              relative (Nest.certificateA ({ state with Incurred = 5.0 }, delta)) (large + 5.0 * range) "own losses"
              let policyClass x y z = [| Array.create 1331 x; Array.create 1331 y; Array.create 1331 z |]
              let high =
                  { state with
                      Incurred = 5000.0
                      BetLosses = policyClass 4500.0 4300.0 2000.0
                      BetSideLosses = [| 9000.0; 9000.0; 9000.0 |] }
              relative (Nest.certificateA (high, delta)) (middle + 700.0 * range) "the middle stake knows most of the policy class"
              relative
                  (Nest.certificateA ({ high with BetLosses = policyClass 4500.0 1000.0 900.0 }, delta))
                  (small + 500.0 * range)
                  "the small one"
              relative
                  (Nest.certificateA ({ high with BetSideLosses = [| 0.0; 0.0; 3500.0 |] }, delta))
                  (large + 1500.0 * range)
                  "the side expert, at its own stake"
              relative (NestRates.BetLoss(0.2, 0.6, 0.25)) 1.9935670123451024 "a bet"
              within 1e-9 (NestRates.BetLoss(0.2, 0.6, 0.0)) (NestRates.BetLoss(0.2, 0.6, 1e-12)) "rounding left no probability"
              let anytime = { state with Settings = { settings with Horizon = 0 } }
              let gamma = sqrt (logN / (2.0 * 4.0 * 7.0)) / 2.0
              relative (Nest.certificateA (anytime, delta)) (range * log (3.0 * 1332.0 * 56.0 / delta) / (32.0 * gamma)) "anytime"
              // One stage, one bin, never graded: its optimistic mean is 1.
              let counts = { TabularCounts.Create(1, 1) with First = [| 50.0 |] }
              relative (OptStop.certificateB (counts, [||], 20.0, range, delta)) 51.40028722983871 "B" ]
