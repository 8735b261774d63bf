module Theory.Tests.OptimisticPlanTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Counts of random queries, each stopped at a random stage.
let internal someCounts (random: Random) (model: ChainModel) feedback queries =
    let environment = ChainMixture model :> IEnvironment
    let source, outcome = SplitMix64(uint64 (random.Next())), Outcome.Empty model.Means.Length
    let mutable counts = TabularCounts.Create(model.Means.Length, model.Initial.Length)
    for _ in 1..queries do
        environment.Draw(source, outcome)
        counts <- TabularCounts.Observe(counts, feedback, outcome, random.Next model.Means.Length)
    counts

let private scaled factor (counts: TabularCounts) =
    let row, table = Array.map (fun x -> factor * x), Array.map (Array.map (fun x -> factor * x))
    { First = row counts.First
      Transitions = counts.Transitions |> Array.map table
      Visits = table counts.Visits
      Grades = table counts.Grades
      Sums = table counts.Sums
      Squares = table counts.Squares }

[<Tests>]
let tests =
    testList
        "Examples.OptimisticPlan"
        [ testCase "counts are those of what was seen"
          <| fun () ->
              let o = { Bins = [| 1; 0; 1 |]; Qualities = [| 0.5; 1.0; 0.25 |]; Costs = [| 0.0; 0.1; 0.2 |] }
              let after feedback = TabularCounts.Observe(TabularCounts.Create(3, 2), feedback, o, 1)
              for feedback, grades in
                  [ Feedback.Returned, [| 0.0; 1.0; 0.0 |]; Feedback.StagesRun, [| 1.0; 1.0; 0.0 |]; Feedback.Full, [| 1.0; 1.0; 1.0 |] ] do
                  let counts = after feedback
                  Expect.equal (counts.Grades |> Array.map Array.sum) grades $"{feedback}: grades"
                  Expect.equal counts.First [| 0.0; 1.0 |] "first"
                  Expect.equal
                      (counts.Visits |> Array.map Array.sum)
                      (if feedback = Feedback.Full then [| 1.0; 1.0 |] else [| 1.0; 0.0 |])
                      "transitions"
                  Expect.equal (counts.Transitions[0].[1].[0]) 1.0 "1 then 0"
              Expect.equal (((after Feedback.Full).Squares[2]).[1]) 0.0625 "square of .25"

          testCase "property 24: the optimistic tables exceed the true ones at confidence 1 - delta, 300 random models"
          <| fun () ->
              let random, delta, runs = Random 51, 0.1, 300
              let mutable missed = 0
              for i in 1..runs do
                  let model = ChainTests.randomChain random (random.Next(1, 5)) (random.Next(1, 5))
                  let counts = someCounts random model (enum<Feedback>(i % 3)) (random.Next 400)
                  let plan = OptStop.optimisticPlan (counts, model.ContinueCosts, { Horizon = 0; Delta = delta })
                  let truth = (Chain.plan model).W
                  if Array.exists2 (Array.exists2 (fun upper w -> upper < w - 1e-12)) plan.W truth then missed <- missed + 1
              // P(Bin(300, .1) > 60) < 1e-6.
              Expect.isTrue (missed <= 60) $"{missed} of {runs} missed"

          testCase "property 24: more of the same data lowers the tables at fixed iota, 300 random models"
          <| fun () ->
              let random = Random 52
              for i in 1..300 do
                  let model = ChainTests.randomChain random (random.Next(1, 5)) (random.Next(1, 5))
                  let counts = someCounts random model (enum<Feedback>(i % 3)) (random.Next 200)
                  let plan counts = OptStop.optimisticPlan (counts, model.ContinueCosts, { Horizon = 1000; Delta = 0.0 })
                  let before, after = plan counts, plan (scaled (float (random.Next(2, 10))) counts)
                  Array.iter2 (Array.iter2 (fun x y -> Expect.isTrue (y <= x + 1e-9) $"{x} then {y}")) before.W after.W

          testCase "tables kept up to date = tables computed afresh"
          <| fun () ->
              let random = Random 53
              for feedback in [ Feedback.Full; Feedback.StagesRun; Feedback.Returned ] do
                  let model = ChainTests.randomChain random 4 3
                  let environment = ChainMixture model :> IEnvironment
                  let driver = TabularLearner.run (TabularLearner.init (TabularRule.OptStop, feedback, 3, model.ContinueCosts, 0))
                  let source, outcome = SplitMix64 3UL, Outcome.Empty 4
                  for _ in 1..200 do
                      driver.Begin source
                      let fresh = OptStop.optimisticPlan (driver.State.Counts, model.ContinueCosts, { Horizon = 0; Delta = 0.05 })
                      let stop = Array.map2 (Array.map2 (fun mean q -> mean >= q)) fresh.Means[..2] fresh.Q
                      Expect.equal driver.Policy stop "policy"
                      environment.Draw(source, outcome)
                      driver.Observe(outcome, Reactive.stopStage (stop, outcome.Bins))

          testCase "property 25: certificate B covers at all t, whatever the algorithm"
          <| fun () ->
              let delta, runs, horizon = 0.05, 45, 400
              let mutable missed = 0
              for run in 1..runs do
                  let random = Random run
                  let model = ChainTests.randomChain random 3 3
                  let environment = ChainMixture model :> IEnvironment
                  let range, truth = Chain.range model, (Chain.plan model).W
                  let rule = [| TabularRule.PosteriorSampling; TabularRule.OptStop; TabularRule.EpsilonGreedy |][run % 3]
                  let feedback = if run % 2 = 0 then Feedback.Returned else Feedback.StagesRun
                  let driver = TabularLearner.run (TabularLearner.init (rule, feedback, 3, model.ContinueCosts, 0))
                  let source, outcome = SplitMix64(uint64 run), Outcome.Empty 3
                  let mutable regret, rewards, covered = 0.0, 0.0, true
                  for t in 1..horizon do
                      driver.Begin source
                      environment.Draw(source, outcome)
                      let s = outcome.Bins[0]
                      let given = { model with Initial = Array.init 3 (fun i -> if i = s then 1.0 else 0.0) }
                      regret <- regret + truth[0].[s] - Chain.value (given, driver.Policy)
                      let stop = Reactive.stopStage (driver.Policy, outcome.Bins)
                      rewards <- rewards + Outcome.Reward(outcome, stop)
                      driver.Observe(outcome, stop)
                      if t % 20 = 0 && regret > OptStop.certificateB (driver.State.Counts, model.ContinueCosts, rewards, range, delta) then
                          covered <- false
                  if not covered then missed <- missed + 1
              // P(Bin(45, .1) > 18) < 1e-6.
              Expect.isTrue (missed <= 18) $"{missed} of {runs} missed" ]
