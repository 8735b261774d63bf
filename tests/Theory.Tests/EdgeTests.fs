/// More functions held to their definitions, where mechanical mutants (docs/mutations.md) showed that only rough statements were tested:
/// optimistic plans with much data, regression columns, simulation, domains at their very ends.
module Theory.Tests.EdgeTests

open System
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.Edges"
        [ test "an optimistic plan is the bounds of its tables, with 1 to 10^6 samples, without spread and with it" {
              let random = Random 3
              for round in 0..60 do
                  let n, m = 2 + random.Next 3, 1 + random.Next 3
                  let size () = [| 0.0; 1.0; 2.0; 50.0; 1e4; 1e6 |][random.Next 6]
                  let table rows value = Array.init rows (fun _ -> Array.init m (fun _ -> value ()))
                  let grades, visits = table n size, table (n - 1) size
                  let means = table n random.NextDouble
                  // Qualities that are all alike (no variance), or 0 and 1 (the most).
                  let squares =
                      means |> Array.mapi (fun k -> Array.mapi (fun s x -> grades[k].[s] * (if (k + s + round) % 2 = 0 then x * x else x)))
                  let row total =
                      let w = Array.init m (fun _ -> random.NextDouble() + 1e-3)
                      w |> Array.map (fun x -> total * x / Array.sum w)
                  let counts =
                      { First = Array.create m 5.0
                        Transitions = visits |> Array.map (Array.map row)
                        Visits = visits
                        Grades = grades
                        Sums = Array.map2 (Array.map2 (*)) grades means
                        Squares = squares }
                  let costs = Array.init (n - 1) (fun _ -> 0.1 * random.NextDouble())
                  let schedule: IotaSchedule = { Horizon = 0; Delta = 0.05 }
                  let plan = OptStop.optimisticPlan (counts, costs, schedule)
                  let bound mean square samples =
                      let iota = log (6.0 * float n * float m * samples * (samples + 1.0) / 0.05)
                      if samples < 1.0 then
                          1.0
                      else
                          let variance = max 0.0 (square - mean * mean)
                          let share = iota / (samples - 1.0)
                          let bonus = if samples <= 1.0 then 1.0 else max (5.0 / 3.0 * sqrt (2.0 * variance * share)) (35.0 / 6.0 * share)
                          min 1.0 (min (ConfidenceBounds.klUpper (mean, iota / samples)) (mean + bonus))
                  let mutable later = Array.create m nan
                  for k in n - 1 .. -1 .. 0 do
                      let next = later
                      let now =
                          Array.init m (fun s ->
                              let samples = grades[k].[s]
                              let mean = bound means[k].[s] (if samples = 0.0 then 0.0 else squares[k].[s] / samples) samples
                              within 1e-9 plan.Means[k].[s] mean "mean"
                              if k = n - 1 then
                                  mean
                              else
                                  let seen = visits[k].[s]
                                  let share f =
                                      Array.fold2 (fun sum p x -> sum + p * f x) 0.0 counts.Transitions[k].[s] next / (max 1.0 seen)
                                  let onward = (bound (min 1.0 (share id)) (share (fun x -> x * x)) seen) - costs[k]
                                  within 1e-7 plan.Q[k].[s] onward "going on"
                                  max mean onward)
                      allWithin 1e-7 plan.W[k] now "W"
                      later <- now
          }
          test "a state's regression columns: constant, context, ranks, knots, nulls, products, agreement" {
              let scale = ConfidenceScale.Create([| 0.0; 0.5; 1.0 |], [| 0.0; 0.2; 1.0 |])
              let random = Random 5
              for knots in 0..2 do
                  for products in [ false; true ] do
                      for answers in [ false; true ] do
                          for confidences in [ false; true ] do
                              let hasNull = [| true; false; true; true |]
                              let inputs =
                                  { Scales = Array.create 4 scale
                                    HasNull = hasNull
                                    HasAnswers = answers
                                    ContextWidth = 2
                                    Shape = { Knots = knots; Products = products; Confidences = confidences } }
                              for stages in [ [| 0 |]; [| 1; 3 |]; [| 0; 1; 2 |]; [| 0; 1; 2; 3 |] ] do
                                  let basis = StateBasis(stages, inputs)
                                  let confidence =
                                      Array.init 4 (fun k -> if hasNull[k] && random.Next 2 = 0 then nan else random.NextDouble())
                                  let answer = Array.init 4 (fun _ -> random.Next 3 - 1)
                                  let context = [| 0.25; -3.0 |]
                                  let rank k = if Double.IsNaN confidence[k] then 0.5 else scale.Rank confidence[k]
                                  let pairs =
                                      [ for i in stages do
                                            for j in stages do
                                                if i < j then i, j ]
                                  let expected =
                                      [| 1.0
                                         yield! context
                                         if confidences then
                                             for k in stages do
                                                 rank k - 0.5
                                             for k in stages do
                                                 for h in 1..knots do
                                                     max 0.0 (rank k - float h / float (knots + 1))
                                             for k in stages do
                                                 if hasNull[k] then if Double.IsNaN confidence[k] then 1.0 else 0.0
                                             if products then
                                                 for i, j in pairs do
                                                     (rank i - 0.5) * (rank j - 0.5)
                                             if answers then
                                                 for i, j in pairs do
                                                     if answer[i] >= 0 && answer[i] = answer[j] then 1.0 else 0.0 |]
                                  Expect.equal basis.Width expected.Length "width"
                                  let columns = Array.create basis.Width nan
                                  let ran = stages |> Array.sumBy (fun k -> 1u <<< k)
                                  basis.Fill(
                                      Observation(ran, ReadOnlySpan confidence, ReadOnlySpan answer, ReadOnlySpan context),
                                      Span<float> columns
                                  )
                                  allWithin 1e-12 columns expected "columns"
          }
          test "a confidence scale takes knots and ranks that it can use, and no others" {
              let take knots ranks = ConfidenceScale.Create(knots, ranks) |> ignore
              take [| 0.0; 1.0 |] [| 0.0; 1.0 |]
              take [| 0.2; 0.3; 0.4 |] [| 0.5; 0.5; 0.5 |]
              take [||] [||]
              for knots, ranks in
                  [ [| 0.3; 0.3 |], [| 0.1; 0.2 |]
                    [| 0.4; 0.3 |], [| 0.1; 0.2 |]
                    [| -0.1; 0.3 |], [| 0.1; 0.2 |]
                    [| 0.1; 1.1 |], [| 0.1; 0.2 |]
                    [| 0.1; nan |], [| 0.1; 0.2 |]
                    [| 0.1; 0.3 |], [| 0.2; 0.1 |]
                    [| 0.1; 0.3 |], [| -0.2; 0.1 |]
                    [| 0.1; 0.3 |], [| 0.2; 1.5 |]
                    [| 0.1; 0.3 |], [| 0.2 |] ] do
                  rejects (fun () -> take knots ranks) $"%A{knots} %A{ranks}"
          }
          test "a simulation's two regrets differ by what the class lacks; realised regret looks at the side expert" {
              let mutable ahead = 0
              for seed in 1UL .. 6UL do
                  let environment = ChainMixture(Instances.unstructured (3, 4, seed)) :> IEnvironment
                  let policyClass = PolicyClass.ThresholdsAt(3, 4, [| 0; 4 |])
                  Simulation.run (environment, policyClass, LearnerKind.Nest, Feedback.StagesRun, 30, [| 20 |], 3) |> ignore
                  for kind in [ LearnerKind.Nest; LearnerKind.NestAlone; LearnerKind.Ucb1 ] do
                      let result = Simulation.run (environment, policyClass, kind, Feedback.StagesRun, 1000, [| 20; 1000 |], 3)
                      let lacks = result.OptimalValue - result.BestClassValue
                      result.Checkpoints
                      |> Array.iteri (fun i t ->
                          within 1e-6 (result.RegretToOptimal[i] - result.RegretToClass[i]) (float t * lacks) "regrets")
                      for i in 0..1 do
                          if kind = LearnerKind.Nest then
                              Expect.isGreaterThanOrEqual
                                  result.RealisedRegret[i]
                                  (result.RealisedRegretToClass[i] - 1e-9)
                                  "the side expert counts"
                              if result.RealisedRegret[i] > result.RealisedRegretToClass[i] + 0.5 then ahead <- ahead + 1
                          else
                              within 1e-9 result.RealisedRegret[i] result.RealisedRegretToClass[i] "no side expert"
              Expect.isGreaterThan ahead 0 "somewhere the side expert is ahead of the class"
          }
          test "guarantees: per query is the whole over T; the plug-in row is samples of a bin times bins" {
              let rows = CascadeGuarantees.regret (4, 10, 100_000, 1.3, 0.05)
              for row in rows do
                  within 1e-12 (row.PerQuery * 100_000.0) row.Value $"{row.Learner} {row.Theorem}"
              let last = CascadeGuarantees.samples (4, 10, 1.3, 0.05, 0.05) |> Array.last
              let one = SampleComplexity.samplesPerBinForPlugIn (4, 10, 0.05, 0.05)
              Expect.isTrue ((sprintf "%A" last).Contains(string (10L * one))) "the row of Theorem 11"
          }
          test "domains at their ends" {
              let zero = Pool.Create([| [| 0; 0 |] |], [| [| 0.0; 1.0 |] |], [| [| 0.0; 0.0 |] |], 0.0, 1) :> IEnvironment
              within 0.0 zero.Range 1.0 "free stages at no price"
              rejects (fun () -> Pool.Create([| [| 0 |] |], [| [| -0.1 |] |], [| [| 0.0 |] |], 0.0, 1) |> ignore) "quality below 0"
              rejects (fun () -> Pool.Create([| [| 0 |] |], [| [| 1.1 |] |], [| [| 0.0 |] |], 0.0, 1) |> ignore) "quality above 1"
              rejects (fun () -> Pool.Create([| [| 0 |] |], [| [| 1.0 |] |], [| [| -1.0 |] |], 0.0, 1) |> ignore) "cost below 0"
              rejects (fun () -> Pool.Create([| [| 0 |] |], [| [| 1.0 |] |], [| [| 1.0 |] |], -0.1, 1) |> ignore) "price below 0"
              within 1e-12 (DraftLength.expectedTokens (1.0, 3)) 4.0 "all accepted"
              within 1e-12 (DraftLength.expectedTokens (0.0, 3)) 1.0 "none accepted"
              rejects (fun () -> DraftLength.expectedTokens (1.5, 3) |> ignore) "acceptance above 1"
              rejects (fun () -> DraftLength.expectedTokens (-0.5, 3) |> ignore) "acceptance below 0"
              rejects (fun () -> Regret.lowerBoundAudited (3, 10, 0.0) |> ignore) "no audit"
              Expect.equal (PairedTests.mcNemarExact (7, 3)).Statistic 4.0 "McNemar's difference"
              let settings = Budget.settings (2.0, 4.0, 0.5, 0.25, 100L)
              within 1e-12 settings.Step (0.5 / 40.0) "step"
              within 1e-12 (Budget.excessBound settings) (0.25 / settings.Step + 4.0) "Theorem 17(a)"
              within
                  1e-12
                  (Budget.regretBound (settings, 100L, 0.01))
                  (100.0 * (0.01 + settings.Step * 8.0) + 0.0625 / (2.0 * settings.Step))
                  "Theorem 17(b)"
              let ties = NestTests.warm (Random 1) (PolicyClass.Thresholds(2, 2)) Feedback.Returned SideExpert.None 20 3
              rejects (fun () -> Nest.certificateA (ties, 0.0) |> ignore) "delta 0"
              rejects (fun () -> Nest.certificateA (ties, 1.0) |> ignore) "delta 1"
          }
          test "explore, then commit: T^(2/3) queries go to the end, then the plan decides; Guard looks every ceil(sqrt t) queries" {
              let model = Instances.structured (3, 4, 5UL)
              let environment = ChainMixture model :> IEnvironment
              let driver =
                  TabularLearner.run (
                      TabularLearner.init (
                          TabularRule.ExploreThenCommit,
                          Feedback.StagesRun,
                          environment.Bins,
                          environment.ContinueCosts,
                          1000
                      )
                  )
              let queries, outcome = SplitMix64 3UL, Outcome.Empty 3
              for t in 0..160 do
                  driver.Begin(SplitMix64 1UL)
                  Expect.equal driver.State.Round t "queries seen"
                  let explores = driver.Policy |> Array.forall (Array.forall not)
                  if t < 100 then
                      Expect.isTrue explores $"query {t} explores"
                  else
                      let greedy = TabularPlan.greedy (driver.State.Counts, environment.ContinueCosts)
                      Expect.equal driver.Policy greedy $"query {t} follows the plan"
                  environment.Draw(queries, outcome)
                  driver.Observe(outcome, Reactive.stopStage (driver.Policy, outcome.Bins))
              let start = TabularLearner.init (TabularRule.Greedy, Feedback.StagesRun, environment.Bins, environment.ContinueCosts, 0)
              let mutable state, check = Guard.init (start, environment.Range, 0.05), 1
              for t in 1..200 do
                  environment.Draw(queries, outcome)
                  let stop = Reactive.stopStage (Guard.choose (state, SplitMix64 1UL), outcome.Bins)
                  state <- Guard.observe (state, outcome, stop, Func<int, float>(fun _ -> infinity))
                  if t = check then check <- t + int (ceil (sqrt (float t)))
                  Expect.equal (state.NextCheck, state.Tripped) (check, false) $"next check after {t}"
          }
          test "the slope of regret: the interval is the percentiles of resampled seeds" {
              let random = Random 14
              let horizons = [| 100; 1000; 20000 |]
              let regrets = Array.init 5 (fun _ -> horizons |> Array.map (fun t -> sqrt (float t) * (0.5 + random.NextDouble())))
              let slope (rows: float[][]) =
                  let xs = horizons |> Array.map (float >> log)
                  let ys = Array.init 3 (fun i -> log (rows |> Array.averageBy (fun row -> row[i])))
                  let mx, my = Array.average xs, Array.average ys
                  (Array.fold2 (fun sum x y -> sum + (x - mx) * (y - my)) 0.0 xs ys) / (xs |> Array.sumBy (fun x -> (x - mx) ** 2.0))
              let source = SplitMix64 9UL
              let slopes = Array.init 40 (fun _ -> slope (Array.init 5 (fun _ -> regrets[source.NextIndex 5]))) |> Array.sort
              let interval = RegretSlope.logLog (horizons, regrets, 0.75, 40, 9UL)
              within 1e-9 interval.Estimate (slope regrets) "estimate"
              within 1e-9 interval.Low slopes[5] "an eighth below"
              within 1e-9 interval.High slopes[35] "an eighth above"
              rejects (fun () -> RegretSlope.logLog ([| 0; 10 |], [| [| 1.0; 2.0 |] |], 0.9, 10, 1UL) |> ignore) "no horizon of 0"
              rejects (fun () -> RegretSlope.logLog ([| 1; 10 |], [| [| 1.0; 2.0 |] |], 0.9, 0, 1UL) |> ignore) "no resample"
              RegretSlope.logLog ([| 1; 10 |], [| [| 1.0; 2.0 |] |], 0.9, 1, 1UL) |> ignore
          } ]
