module Theory.Tests.PlannerTests

open System
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests

let private settings =
    { Shape = { Knots = 4; Products = true; Confidences = true }; Penalty = 1.0; Realised = 0.5; Window = 4; Folds = 5 }

let private allActions = [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ]

/// Every observation of random stages with random confidences gets a legal decision.
let private decisionsAreLegal (actions: ActionSet) (policy: IStoppingPolicy) stages =
    let random = Random 3
    for ran in 0u .. (1u <<< stages) - 1u do
        let reachable = actions <> ActionSet.Chain || (ran &&& (ran + 1u)) = 0u // a chain runs 1, 2, 3, ... only
        if reachable then
            for _ in 1..20 do
                let confidence = Array.init stages (fun _ -> if random.Next 5 = 0 then nan else random.NextDouble())
                let last = 31 - Numerics.BitOperations.LeadingZeroCount ran
                let d = policy.Decide(Observation(ran, ReadOnlySpan confidence))
                if d.Stop then
                    Expect.isTrue (ran &&& (1u <<< d.Stage) <> 0u) "answers with a stage that ran"
                    if actions <> ActionSet.Recall then Expect.equal d.Stage last "answers with the latest stage"
                else
                    Expect.isTrue (d.Stage > last && d.Stage < stages) "goes to a later stage"
                    if actions = ActionSet.Chain then Expect.equal d.Stage (last + 1) "goes to the next stage"

[<Tests>]
let tests =
    testList
        "Examples.Planner"
        [ for actions in allActions do
              test $"{actions}: close to the exact optimum of small distributions" {
                  for seed in 1..3 do
                      let distribution = SyntheticCascade.hiddenEase seed 3 3
                      let data = SyntheticCascade.draw distribution 3 20_000 (100 + seed)
                      let planner = Planner(data, SyntheticCascade.allRows data, actions, settings)
                      for lambda in [ 0.0; 0.02; 0.08 ] do
                          let best = (BruteForce.solve (distribution, lambda, actions)).Value
                          let plan = planner.Plan lambda
                          let value = SyntheticCascade.exactValue distribution 3 lambda plan.Policy
                          Expect.isTrue (value <= best + 1e-9) $"seed {seed}, lambda {lambda}: {value} above the optimum {best}"
                          Expect.isTrue (value >= best - 0.008) $"seed {seed}, lambda {lambda}: {value} far below {best}"
              }

              test $"{actions}: held-out cost and quality predict the exact ones" {
                  let distribution = SyntheticCascade.hiddenEase 5 3 3
                  let data = SyntheticCascade.draw distribution 3 20_000 6
                  let plan = Planner(data, SyntheticCascade.allRows data, actions, settings).Plan 0.03
                  let value = SyntheticCascade.exactValue distribution 3 0.03 plan.Policy
                  Close.within 0.01 (plan.HeldOutQuality - 0.03 * plan.HeldOutCost) value "value"
              }

              test $"{actions}: decisions are legal for any set of stages and any null confidence" {
                  let data = SyntheticCascade.continuous 4 400 1
                  let planner = Planner(data, SyntheticCascade.allRows data, actions, settings)
                  for lambda in [ 0.0; 0.01; 0.1; 10.0 ] do
                      decisionsAreLegal actions (planner.Plan lambda).Policy 4
              }

              test $"{actions}: cost falls with lambda" {
                  let data = SyntheticCascade.continuous 4 3000 2
                  let planner = Planner(data, SyntheticCascade.allRows data, actions, settings)
                  let costs = [ 0.0; 0.01; 0.03; 0.1; 1.0 ] |> List.map (fun l -> (planner.Plan l).HeldOutCost)
                  for a, b in List.pairwise costs do
                      Expect.isTrue (b <= a * 1.01) $"cost {b} after {a}"
                  Close.within 1e-12 (List.last costs) 1.0 "the dearest price leaves the cheapest stage alone"
              }

          test "more freedom earns no less: jump >= chain, recall >= jump on the training objective" {
              let data = SyntheticCascade.continuous 4 4000 3
              let rows = SyntheticCascade.allRows data
              for lambda in [ 0.0; 0.01; 0.03; 0.1 ] do
                  let value actions =
                      let p = Planner(data, rows, actions, settings).Plan lambda
                      p.HeldOutQuality - lambda * p.HeldOutCost
                  let chain, jump, recall = value ActionSet.Chain, value ActionSet.Jump, value ActionSet.Recall
                  Expect.isTrue (jump >= chain - 0.003) $"lambda {lambda}: jump {jump}, chain {chain}"
                  Expect.isTrue (recall >= jump - 0.003) $"lambda {lambda}: recall {recall}, jump {jump}"
          }

          test "recall answers with an earlier stage when a bigger model is worse" {
              // Stage 1 is nearly always wrong but its confidence tells whether stage 0 was right.
              let n, count = 2, 2000
              let random = Random 4
              let right = Array.init count (fun _ -> if random.NextDouble() < 0.5 then 1.0 else 0.0)
              let quality = right |> Array.collect (fun r -> [| r; 0.1 |])
              let confidence = right |> Array.collect (fun r -> [| 0.5; (if r = 1.0 then 0.9 else 0.1) |])
              let data = RecordedCascade.Create(count, n, Array.create (count * n) 1.0, confidence, quality)
              let plan = Planner(data, SyntheticCascade.allRows data, ActionSet.Recall, settings).Plan 0.0
              let outcome = Replay.run (plan.Policy, data, SyntheticCascade.allRows data)
              Expect.isTrue (Array.average outcome.Quality >= 0.5) "never worse than stage 0"
              let decision = plan.Policy.Decide(Observation(3u, ReadOnlySpan [| 0.5; 0.9 |]))
              Expect.equal decision (Decision.StopWith 0) "stage 1 says that stage 0 was right"
          }

          test "without any confidence the plan is a single model, the best for its price" {
              let data0 = SyntheticCascade.continuous 3 500 7
              let data = RecordedCascade.Create(500, 3, data0.Cost, Array.create 1500 nan, data0.Quality)
              let rows = SyntheticCascade.allRows data
              let planner = Planner(data, rows, ActionSet.Recall, settings)
              for lambda in [ 0.0; 0.05; 0.2; 1.0 ] do
                  let outcome = Replay.run ((planner.Plan lambda).Policy, data, rows)
                  Expect.equal (Array.distinct outcome.Stage).Length 1 "one stage answers everything"
                  let value = Array.average outcome.Quality - lambda * Array.average outcome.Cost
                  for k in 0..2 do
                      let single = data.MeanQuality(rows, k) - lambda * data.MeanCost(rows, k)
                      Expect.isTrue (value >= single - 1e-9) $"lambda {lambda}: {value} against stage {k}'s {single}"
          }

          test "agreement between answers is used" {
              // Confidences say nothing; two stages that agree are right.
              let count = 2000
              let random = Random 8
              let right = Array.init count (fun _ -> random.NextDouble() < 0.6)
              let quality = right |> Array.collect (fun r -> [| (if r then 1.0 else 0.0); (if r then 1.0 else 0.0); 1.0 |])
              let cost = Array.concat (Array.replicate count [| 1.0; 1.0; 10.0 |])
              let answer = right |> Array.collect (fun r -> [| 0; (if r then 0 else 1); 2 |])
              let data = RecordedCascade.Create(count, 3, cost, Array.create (count * 3) 0.5, quality, answer, 0, [||])
              let rows = SyntheticCascade.allRows data
              let plan = Planner(data, rows, ActionSet.Recall, settings).Plan 0.05
              let outcome = Replay.run (plan.Policy, data, rows)
              Close.within 1e-12 (Array.average outcome.Quality) 1.0 "quality"
              Expect.isTrue (Array.average outcome.Cost < 7.0) "the large model runs only on disagreement"
          }

          test "a context known before any model runs decides where to enter" {
              let count = 1000
              let hard = Array.init count (fun i -> i % 3 = 0)
              let quality = hard |> Array.collect (fun h -> [| (if h then 0.0 else 1.0); 1.0 |])
              let cost = Array.concat (Array.replicate count [| 1.0; 5.0 |])
              let context = hard |> Array.map (fun h -> if h then 7.0 else -2.0)
              let data = RecordedCascade.Create(count, 2, cost, Array.create (count * 2) nan, quality, [||], 1, context)
              let rows = SyntheticCascade.allRows data
              let plan = Planner(data, rows, ActionSet.Jump, settings).Plan 0.05
              let outcome = Replay.run (plan.Policy, data, rows)
              Expect.equal outcome.Stage (hard |> Array.map (fun h -> if h then 1 else 0)) "hard queries enter at the top"
              Close.within 1e-12 (Array.average outcome.Quality) 1.0 "quality"
          }

          test "stages that are missing from some records are planned around" {
              let full = SyntheticCascade.continuous 4 3000 9
              let random = Random 10
              let missing = Array.init (3000 * 4) (fun e -> e % 4 <> int (e / 4) % 4 && random.NextDouble() < 0.2)
              let hide (values: float[]) = Array.map2 (fun v m -> if m then nan else v) values missing
              let data = RecordedCascade.Create(3000, 4, hide full.Cost, hide full.Confidence, hide full.Quality)
              let rows = SyntheticCascade.allRows data
              for actions in allActions do
                  let plan = Planner(data, rows, actions, settings).Plan 0.02
                  let outcome = Replay.run (plan.Policy, data, rows)
                  Expect.isFalse (Array.exists Double.IsNaN outcome.Quality) "every query is answered by a recorded stage"
                  let value = Array.average outcome.Quality - 0.02 * Array.average outcome.Cost
                  let whole = Replay.run ((Planner(full, rows, actions, settings).Plan 0.02).Policy, full, rows)
                  let reference = Array.average whole.Quality - 0.02 * Array.average whole.Cost
                  Expect.isTrue (value > reference - 0.05) $"{actions}: {value} with holes, {reference} without"
          }

          test "the same rows give the same decisions, whatever the threads" {
              let data = SyntheticCascade.continuous 4 1000 11
              let rows = SyntheticCascade.allRows data
              let outcomes =
                  Array.Parallel.init 4 (fun _ ->
                      Replay.run ((Planner(data, rows, ActionSet.Recall, settings).Plan 0.02).Policy, data, rows))
              for o in outcomes do
                  Expect.equal o outcomes[0] "outcome"
          }

          test "a decision allocates nothing" {
              let data = SyntheticCascade.continuous 4 500 12
              let rows = SyntheticCascade.allRows data
              let policy = (Planner(data, rows, ActionSet.Recall, settings).Plan 0.02).Policy
              let decide () =
                  let mutable sum = 0
                  for q in 0..499 do
                      sum <- sum + policy.Decide(Observation(5u, ReadOnlySpan(data.Confidence, q * 4, 4))).Stage
                  sum
              decide () |> ignore
              let before = GC.GetAllocatedBytesForCurrentThread()
              decide () |> ignore
              Expect.equal (GC.GetAllocatedBytesForCurrentThread() - before) 0L "bytes"
          } ]
