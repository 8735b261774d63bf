/// Policies on cases small enough to be checked by hand or by enumeration: ties, missing stages, single stages and values, the ends of
/// scales, and the parts that all policies share.
module Theory.Tests.PolicyEdgeTests

open System
open System.Numerics
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests.Close

/// Mid-rank of a value among others, by counting.
let private midRank (values: float[]) x =
    let below, equal = values |> Array.filter (fun v -> v < x), values |> Array.filter (fun v -> v = x)
    (float below.Length + float equal.Length / 2.0) / float values.Length

/// Queries without confidences whose stages have these qualities and costs.
let private silent (quality: float[][]) (cost: float[]) =
    let n = cost.Length
    let confidence = Array.create (quality.Length * n) nan
    let costs = quality |> Array.collect (fun row -> Array.map2 (fun q c -> if Double.IsNaN q then nan else c) row cost)
    RecordedCascade.Create(quality.Length, n, costs, confidence, Array.concat quality)

let private shape knots products = { Knots = knots; Products = products; Confidences = true }

let private settings = { Shape = shape 0 false; Penalty = 1.0; Realised = 0.0; Window = 4; Folds = 2 }

[<Tests>]
let routers =
    testList
        "Examples.PolicyEdges.Choices"
        [ test "a router on known qualities takes the best supermodel, of equal ones the cheapest, of these the first" {
              let random = Random 1
              for _ in 1..60 do
                  let n = 3
                  let quality = Array.init n (fun _ -> float (random.Next 3) / 4.0)
                  let cost = Array.init n (fun _ -> float (1 + random.Next 2))
                  // One query: too few for a regression or an error, so that means are all that is known.
                  let data = silent [| quality |] cost
                  let estimates = RouterEstimates.Fit(data, [| 0 |])
                  for lambda in [ 0.0; 0.125; 0.25 ] do
                      let router = CascadeRouter(estimates, Array.create n lambda) :> IStoppingPolicy
                      for ran in 0u .. 7u do
                          let last = 31 - BitOperations.LeadingZeroCount ran
                          let inside set = [ for k in 0 .. n - 1 -> k ] |> List.filter (fun k -> set >>> k &&& 1u = 1u)
                          let candidates =
                              [ for set in 0u .. 7u do
                                    if set &&& ran = ran && inside (set &&& ~~~ran) |> List.forall (fun k -> k > last) && set > 0u then
                                        let extra = inside (set &&& ~~~ran)
                                        let spent = extra |> List.sumBy (fun k -> cost[k])
                                        let best = inside set |> List.map (fun k -> quality[k]) |> List.max
                                        (-(best - lambda * spent), spent, set), extra ]
                          let expected =
                              match snd (List.minBy fst candidates) with
                              | [] -> Decision.StopWith(inside ran |> List.maxBy (fun k -> quality[k]))
                              | first :: _ -> Decision.GoTo first
                          let decision = router.Decide(Observation(ran, ReadOnlySpan(Array.create n nan)))
                          Expect.equal decision expected $"%A{quality} %A{cost} {lambda} after {ran}"
          }
          test "two queries with all stages are enough for an error of a prediction" {
              let data = RecordedCascade.Create(2, 2, [| 1.0; 2.0; 1.0; 2.0 |], [| 0.2; 0.9; 0.8; 0.3 |], [| 0.0; 1.0; 1.0; 0.0 |])
              let estimates = RouterEstimates.Fit(data, [| 0; 1 |])
              let quality, worth = Array.zeroCreate<float> 2, Array.zeroCreate<float> 2
              estimates.Fill(
                  1u,
                  ReadOnlySpan [| 0.2; 0.9 |],
                  ReadOnlySpan<int>.Empty,
                  ReadOnlySpan<float>.Empty,
                  Span<float> quality,
                  Span<float> worth
              )
              Expect.isGreaterThan worth[1] (Array.max quality + 1e-3) "the expected largest is above the largest expected"
          }
          test "replaying a family at once is replaying its policies one by one, with answers, context and missing stages" {
              let random = Random 3
              let n, count = 3, 150
              let cell f = Array.init (count * n) (fun i -> f (i / n) (i % n))
              let gone = cell (fun q k -> random.Next 7 = 0 && q % n <> k)
              let hide (values: float[]) = Array.map2 (fun v g -> if g then nan else v) values gone
              let data =
                  RecordedCascade.Create(
                      count,
                      n,
                      hide (cell (fun _ k -> float (k + 1))),
                      hide (cell (fun _ _ -> random.NextDouble())),
                      hide (cell (fun _ k -> if random.NextDouble() < 0.4 + 0.2 * float k then 1.0 else 0.0)),
                      cell (fun _ _ -> random.Next 3 - 1),
                      2,
                      Array.init (2 * count) (fun _ -> random.NextDouble())
                  )
              let planner = Planner(data, [| 0 .. count - 1 |], ActionSet.Recall, { settings with Shape = shape 2 true })
              let policies = [| for lambda in [ 0.0; 0.01; 0.05; 0.2 ] -> (planner.Plan lambda).Policy |]
              for groups in [ 1; 7; 40 ] do
                  let together = FamilyReplay.run (policies, data, [| 20..149 |], groups)
                  for policy, outcome in Array.zip policies together do
                      Expect.equal outcome (GroupedOutcome.Replay(policy, data, [| 20..149 |], groups)) "same outcome"
              Expect.equal (FamilyReplay.run ([||], data, [| 0 |], 1)).Length 0 "no policy"
          }
          test "families whose curve begins above the cheapest model are joined to it; errors are those of resampled groups" {
              let random = Random 5
              let groups, rounds = 40, 3
              let outcome (cost: float[]) (quality: float[]) =
                  { Cost = cost |> Array.map ((*) (float rounds))
                    Quality = quality |> Array.map ((*) (float rounds))
                    Stops = [||]
                    Queries = rounds * cost.Length }
              let flat x = Array.create groups x
              let models = [| outcome (flat 1.0) (flat 0.5); outcome (flat 3.0) (flat 0.9) |]
              let noisy = Array.init groups (fun _ -> 0.8 + 0.3 * (random.NextDouble() - 0.5))
              // One point at cost 2, which the cheapest model's must precede; and one at cost 1 that needs no joining.
              let late, early = [| outcome (flat 2.0) noisy |], [| outcome (flat 1.0) (flat 0.7) |]
              let found = FamilyChoice.choose ([| [| early; late |] |], [| models |], [| 0.0; 0.0 |])
              let mean = Array.average noisy
              within 1e-9 found.Score[0] 0.7 "flat from the cheapest cost on"
              // From (1, .5) to (2, mean), then flat to cost 3.
              within 1e-9 found.Score[1] (((0.5 + mean) / 2.0 + mean) / 2.0) "joined to the cheapest model"
              let deviation = sqrt (Array.averageBy (fun x -> (x - mean) ** 2.0) noisy)
              // The score's slope in the mean is 3/4; a mean of 40 groups has standard error deviation / sqrt 40.
              let expected = 0.75 * deviation / sqrt (float groups)
              within (0.2 * expected) found.Error[0] expected "standard error"
          }
          test "the estimator that is preferred gives way to one that is clearly better, and only to that" {
              let choose queries (lead: float) index =
                  let candidates = PlannedFamily.candidates (4, queries)
                  let scores = candidates |> Array.mapi (fun i _ -> if i = index candidates then lead else 0.0)
                  PlannedFamily.choose (candidates, scores, queries)
              let least (candidates: EstimatorSettings[]) = candidates.Length - 1
              let first _ = 0
              let home queries = choose queries 0.0 first
              for queries, knots, penalty, realised in
                  [ 2, 0, 1000.0, 0.0
                    49, 0, 1000.0, 0.0
                    50, 0, 30.0, 0.0
                    199, 0, 30.0, 0.0
                    200, 2, 30.0, 0.0
                    1499, 2, 30.0, 0.0
                    1500, 4, 10.0, 0.5 ] do
                  let s = home queries
                  Expect.equal (s.Shape.Knots, s.Penalty, s.Realised) (knots, penalty, realised) $"{queries} queries"
              // A lead of 0.1 / sqrt 100 = .01 is not enough, a little more is.
              Expect.equal (choose 100 0.01 first) (home 100) "at the margin"
              Expect.equal (choose 100 0.0101 first).Penalty 1000.0 "above it"
              Expect.equal (choose 1500 0.0026 least) (Array.last (PlannedFamily.candidates (4, 1500))) "the richest"
          }
          test "estimators compete when there are ten queries for each column of their widest state" {
              for stages in 1..10 do
                  let all = PlannedFamily.candidates (stages, 1_000_000)
                  let widest (s: EstimatorSettings) =
                      let inputs =
                          { Scales = [||]; HasNull = Array.create stages false; HasAnswers = false; ContextWidth = 0; Shape = s.Shape }
                      let space = StateSpace(stages, ActionSet.Recall, s.Window)
                      Seq.max (seq { for state in 0 .. space.Count - 1 -> StateBasis(space.Members state, inputs).Width })
                  let sizes = all |> Array.collect (fun s -> [| 10 * widest s - 1; 10 * widest s |])
                  for queries in Array.append sizes [| 2; 999; 1000 |] do
                      let fits (s: EstimatorSettings) =
                          s.Shape.Knots = 0 || (queries >= 10 * widest s && (s.Realised = 0.0 || queries >= 1000))
                      Expect.equal
                          (PlannedFamily.candidates (stages, queries))
                          (Array.filter fits all)
                          $"{stages} stages, {queries} queries"
                  // From the most to the least regular: knots rise, and penalties fall between shapes of as many.
                  for a, b in Array.pairwise all do
                      Expect.isTrue
                          (a.Shape.Knots < b.Shape.Knots || (a.Shape.Knots = b.Shape.Knots && a.Penalty >= b.Penalty))
                          "order of regularity"
                  // The window keeps the states of recall few, however long the cascade.
                  let window =
                      if stages < 5 then 4
                      elif stages < 8 then 3
                      else 2
                  Expect.isTrue (all |> Array.forall (fun s -> s.Window = window)) $"{stages} stages: window"
          }
          test "prices go from one that no gain is worth to a thousandth of one that every gain is, in equal ratios, then 0" {
              let data = silent [| [| 0.2; 0.5; 0.9 |]; [| 0.4; 0.1; 0.8 |] |] [| 2.0; 0.5; 8.0 |]
              let prices = PlannedFamily.prices (data, [| 0; 1 |], 7)
              Expect.equal prices.Length 8 "count"
              within 1e-12 prices[0] 2.0 "1 / cheapest"
              within 1e-15 prices[6] (1e-3 / 8.0) "1e-3 / dearest"
              within 0.0 prices[7] 0.0 "last"
              for i in 1..5 do
                  within 1e-12 (prices[i] / prices[i - 1]) (prices[1] / prices[0]) "ratio"
          }
          test "the estimator is chosen on the first 6,000 training queries" {
              let data = SyntheticCascade.continuous 2 6300 3
              let fit count = PlannedFamily.fit (data, [| 0 .. count - 1 |], ActionSet.Chain)
              Expect.equal (fit 6300).CandidateScores (fit 6000).CandidateScores "scores"
          } ]

[<Tests>]
let parts =
    testList
        "Examples.PolicyEdges.Parts"
        [ test "a confidence scale's ranks are mid-ranks, its knots the distinct values, its inverse the least that reaches a rank" {
              let random = Random 7
              for count in [ 1; 2; 40; 100; 128; 129; 1000 ] do
                  let values = Array.init count (fun _ -> float (random.Next 90) / 100.0)
                  let scale = ConfidenceScale.Fit values
                  let distinct = values |> Array.distinct |> Array.sort
                  Expect.equal scale.Knots (scale.Knots |> Array.distinct |> Array.sort) "knots rise"
                  if count <= 128 then Expect.equal scale.Knots distinct "every value"
                  Expect.isTrue (scale.Knots |> Array.forall (fun x -> Array.contains x distinct)) "values that were seen"
                  for x in scale.Knots do
                      within 1e-12 (scale.Rank x) (midRank values x) $"rank of {x} among {count}"
                      within 1e-12 (scale.Confidence(scale.Rank x)) x "inverse"
              let steps = ConfidenceScale.Create([| 0.1; 0.2; 0.3; 0.4; 0.5 |], [| 0.2; 0.2; 0.5; 0.5; 0.8 |])
              within 0.0 (steps.Confidence 0.1) 0.1 "below all ranks"
              within 0.0 (steps.Confidence 0.2) 0.1 "the least of two that tie at the start"
              within 1e-15 (steps.Confidence 0.5) 0.3 "the least of two that tie"
              within 1e-15 (steps.Confidence 0.35) 0.25 "between"
              within 0.0 (steps.Confidence 0.8) 0.5 "the last rank"
              within 0.0 (steps.Confidence 0.9) 0.5 "above all ranks"
              within 0.0 (ConfidenceScale.Create([| 0.1; 0.2; 0.3 |], [| 0.2; 0.8; 0.8 |]).Confidence 0.8) 0.2 "the least of two at the end"
          }
          test "sums over columns are those of a plain loop, at every length and place" {
              let random = Random 8
              let x, y = Array.init 120 (fun _ -> random.NextDouble() - 0.5), Array.init 120 (fun _ -> random.NextDouble())
              for count in 0..75 do
                  for at in [ 0; 3 ] do
                      let expected = Seq.sum (seq { for i in 0 .. count - 1 -> x[at + i] * y[40 - at + i] })
                      within 1e-13 (Columns.dot (x, at, y, 40 - at, count)) expected $"{count} at {at}"
                      let into = Array.copy y
                      Columns.addScaled (-1.5, x, at, into, 40 - at, count)
                      let sums =
                          y |> Array.mapi (fun i v -> let j = i - (40 - at) in if j >= 0 && j < count then v - 1.5 * x[at + j] else v)
                      allWithin 1e-15 into sums $"{count} at {at}"
          }
          test "ridge regression on one column is its two normal equations, without each fold and with all" {
              let random = Random 9
              let rows, starts = 57, [| 0; 20; 20; 57 |]
              let x = Array.init rows (fun _ -> 5.0 + 2.0 * random.NextDouble())
              let y = Array.init rows (fun i -> 0.3 * x[i] + random.NextDouble())
              for penalty in [ 0.0; 3.0; 50.0 ] do
                  let heldOut = Array.zeroCreate rows
                  let design = Array.append (Array.create rows 1.0) x
                  let beta = RidgeRegression(design, 2, starts, penalty).Fit(y, heldOut)
                  let mean = Array.average x
                  let deviation = sqrt (Array.averageBy (fun v -> (v - mean) ** 2.0) x)
                  // Minimises sum (y - a - b z)^2 + penalty b^2 over the rows kept, z = (x - mean) / deviation.
                  let solve kept =
                      let z i = (x[i] - mean) / deviation
                      let sum f = kept |> Array.sumBy f
                      let n, s, ss = float kept.Length, sum z, sum (fun i -> z i * z i) + penalty
                      let t, u = sum (fun i -> y[i]), sum (fun i -> z i * y[i])
                      let b = (n * u - s * t) / (n * ss - s * s)
                      let a = (t - b * s) / n
                      fun v -> a + b * (v - mean) / deviation
                  let whole = solve [| 0 .. rows - 1 |]
                  allWithin 1e-7 beta [| whole 0.0; whole 1.0 - whole 0.0 |] "coefficients"
                  for f in 0..2 do
                      let without =
                          solve
                              [| for i in 0 .. rows - 1 do
                                     if i < starts[f] || i >= starts[f + 1] then i |]
                      for i in starts[f] .. starts[f + 1] - 1 do
                          within 1e-7 heldOut[i] (without x[i]) $"fold {f}"
          }
          test "a planned policy predicts the clamped linear form of its coefficients" {
              let scale = ConfidenceScale.Create([| 0.0; 1.0 |], [| 0.0; 1.0 |])
              let inputs =
                  { Scales = [| scale; scale |]
                    HasNull = [| false; false |]
                    HasAnswers = false
                    ContextWidth = 0
                    Shape = shape 0 false }
              let space = StateSpace(2, ActionSet.Recall, 4)
              let table (step: float) count =
                  Array.init space.Count (fun s ->
                      Array.init (count s) (fun a -> [| 0.4 + step * float a; yield! (Array.create (space.Members s).Length 2.0) |]))
              let made (step: float) =
                  let coefficients = table step
                  let stop, go = coefficients (fun s -> (space.Answers s).Length), coefficients (fun s -> (space.Next s).Length)
                  PlannedPolicy.Create(space, inputs, stop, go)
              let policy, even = made 0.1, made 0.0
              let predicted ran (confidence: float[]) stage =
                  policy.PredictedQuality(Observation(ran, ReadOnlySpan<float> confidence), stage)
              within 1e-12 (predicted 1u [| 0.6; nan |] 0) 0.6 "0.4 + 2 (0.6 - 0.5)"
              within 0.0 (predicted 1u [| 1.0; nan |] 0) 1.0 "at most 1"
              within 0.0 (predicted 1u [| 0.0; nan |] 0) 0.0 "at least 0"
              within 1e-12 (predicted 3u [| 0.6; 0.45 |] 0) 0.5 "both confidences"
              within 1e-12 (predicted 3u [| 0.6; 0.45 |] 1) 0.6 "the second answer's own constant"
              Expect.isTrue (Double.IsNaN(predicted 1u [| 0.6; 0.5 |] 1)) "a stage that did not run"
              // Both going on and stopping are worth 0.4 + 2 (s - 0.5) after the first stage: a stop wins.
              let data = RecordedCascade.Create(1, 2, [| 1.0; 1.0 |], [| 0.5; 0.5 |], [| 1.0; 0.0 |])
              let outcome = Replay.run (even, data, [| 0 |])
              Expect.equal outcome.Stage [| 0 |] "a stop wins ties"
              let family = FamilyReplay.run ([| even :> IStoppingPolicy; even |], data, [| 0 |], 1)
              Expect.equal family[1].Stops [| 1.0; 0.0 |] "in a family too"
          }
          test "what a plan expects of rows with missing stages is what its replay does there" {
              let random = Random 11
              let quality =
                  Array.init 3000 (fun q ->
                      let right = [| 0.3; 0.6; 0.9 |] |> Array.map (fun p -> if random.NextDouble() < p then 1.0 else 0.0)
                      right |> Array.mapi (fun k v -> if k <> q % 3 && random.Next 3 = 0 then nan else v))
              let data = silent quality [| 1.0; 2.0; 4.0 |]
              for actions in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] do
                  for lambda in [ 0.0; 0.05; 0.2; 2.0 ] do
                      let plan = Planner(data, [| 0..2999 |], actions, settings).Plan lambda
                      let outcome = Replay.run (plan.Policy, data, [| 0..2999 |])
                      within 1e-9 plan.HeldOutCost (Array.average outcome.Cost) $"{actions} {lambda}: cost"
                      within 1e-9 plan.HeldOutQuality (Array.average outcome.Quality) $"{actions} {lambda}: quality"
          }
          test "every row is decided by the folds that it is not in" {
              // Stage 0 is right on even rows only, which are fold 0 of two: each fold believes what the other one saw.
              let data = silent (Array.init 6 (fun q -> [| (if q % 2 = 0 then 1.0 else 0.0); 0.65 |])) [| 1.0; 1.0 |]
              let plan = Planner(data, [| 0..5 |], ActionSet.Chain, settings).Plan 0.0
              within 1e-9 plan.HeldOutQuality ((3.0 * 0.65 + 3.0 * 0.0) / 6.0) "quality"
          }
          test "a judge's answer is not offered beside the one that it judges" {
              let space = StateSpace(3, ActionSet.Recall, 3, [| -1; 0; -1 |])
              let answers ran = space.Answers(space.IndexOf ran)
              Expect.equal [ for ran in [ 1u; 3u; 5u; 7u ] -> answers ran ] [ [| 0 |]; [| 0 |]; [| 0; 2 |]; [| 0; 2 |] ] "answers"
          }
          test "drafting: ties stop, sure tokens are allowed, falling verification costs draft always" {
              let half = { Values = [| 0.5 |]; Probabilities = [| 1.0 |] }
              // At c = .2 the second token survives with .25 at the most, which is worth just what it costs: 1.5/1.2 = 1.75/1.4.
              let rule = DraftStopping.optimal (half, 0.2, 8)
              within 1e-12 rule.Rate 1.25 "rate"
              within 1e-12 rule.MeanLength 1.0 "of two equal lengths the shorter"
              within 1e-12 (DraftStopping.optimal (half, 0.5, 8)).MeanLength 0.0 "no token at a price of its chance"
              let sure = { Values = [| 1.0 |]; Probabilities = [| 1.0 |] }
              within 1e-12 (DraftStopping.optimal (sure, 0.5, 3)).Rate (4.0 / 2.5) "all accepted"
              within 1e-9 (DraftPlanning.optimal (sure, 0.5, [| 1.0; 1.0; 1.0; 1.0 |])).Rate (4.0 / 2.5) "all accepted"
              rejects (fun () -> DraftStopping.optimal (half, 0.0, 8) |> ignore) "no cost"
              rejects (fun () -> DraftPlanning.optimal (half, 0.1, [| 1.0; 0.0 |]) |> ignore) "no cost of verification"
              let falling = DraftPlanning.optimal (half, 0.0, [| 2.0; 1.0 |])
              within 0.0 falling.Continue[0] -1.0 "even a token that cannot survive saves half of the verification"
              within 1e-3 falling.Rate 1.5 "a token and a half at cost 1"
          }
          test "chains of drafters: one level alone, and of equal costs fewer levels" {
              Expect.equal (SpeculationHierarchy.best ([| 2.0 |], [||], 3)).CostPerToken 2.0 "no drafter"
              // A drafter that costs as much as its chance: one token drafted costs 1.5 and yields 1.5.
              let plan = SpeculationHierarchy.best ([| 0.5; 1.0 |], [| [| 0.0; 0.5 |] |], 1)
              Expect.equal (plan.Levels, plan.CostPerToken) ([| 1 |], 1.0) "fewer levels"
          }
          test "thresholds from costs alone: free stages, one stage, entering at the end" {
              let free = ReferenceThresholds.Uniform([| 0.0; 0.0; 0.0 |], 1.0)
              Expect.equal free.Recall [| 1.0; 1.0 |] "a free look is worth taking until certainty"
              Expect.equal (free.Chain.Length, free.Jump.Length) (2, 2) "n - 1 thresholds"
              let one = ReferenceThresholds.Uniform([| 2.0 |], 0.1)
              Expect.equal (one.Entry, one.Chain.Length) (0, 0) "one stage"
              within 1e-12 one.Value 0.3 "mean less cost"
              // Entering at the certain last stage: 1 - .15; through the first: E max(S, .85) - .1.
              let direct = ReferenceThresholds.Reference([| 1.0; 1.5 |], 0.1)
              Expect.equal direct.Entry 1 "straight to the last stage"
              within 1e-12 direct.Value 0.85 "its value"
              within 1e-12 direct.Jump[0] 0.85 "and the threshold behind the first"
              let through = ReferenceThresholds.Reference([| 0.1; 5.0 |], 0.1)
              Expect.equal through.Entry 0 "the first stage first"
              within 1e-12 through.Value (0.5 + 0.5 * 0.5 / 2.0 - 0.01) "E max(S, .5) - .01"
          } ]

[<Tests>]
let others =
    testList
        "Examples.PolicyEdges.Others"
        [ test "plug-in models: no kernel backwards; of equal answers the earliest is given" {
              let records: BinnedRecords =
                  { Bins = [| [| 0; 0 |]; [| 0; 0 |] |]
                    Qualities = [| [| 1.0; 0.0 |]; [| 0.0; 1.0 |] |]
                    Costs = [| [| 1.0; 1.0 |]; [| 1.0; 1.0 |] |]
                    BinCounts = [| 1; 1 |] }
              let model = EmpiricalModel.jump records
              Expect.equal [ for k in 0..1 -> [ for j in 0..1 -> model.Kernels[k].[j].Length ] ] [ [ 0; 1 ]; [ 0; 0 ] ] "kernels"
              // Both stages have mean 1/2; a plan that runs both answers with the first.
              let plan = { Recall.plan (model, 0.0) with Actions = [| [| 1 |]; [| 1 |] |]; Entry = 0 }
              let uneven = { records with Qualities = [| [| 1.0; 0.0 |]; [| 1.0; 0.0 |] |] }
              within 1e-12 (EmpiricalModel.replayRecall (uneven, plan, 0.0)).Quality 1.0 "the earliest"
          }
          test "reliability bins lie between i/m and (i+1)/m; temperature 1 changes nothing but the ends" {
              let bins = CalibrationMetrics.reliabilityEqualWidth ([| 0.1; 0.5; 1.0 |], [| 0.0; 1.0; 1.0 |], 4)
              Expect.equal [ for b in bins -> b.Low, b.High, b.Count ] [ 0.0, 0.25, 1; 0.25, 0.5, 0; 0.5, 0.75, 1; 0.75, 1.0, 1 ] "edges"
              let same = { Temperature = 1.0 }
              within 1e-15 (same.Apply 1.0) (1.0 - 1e-6) "certain"
              within 1e-15 (same.Apply 0.0) 1e-6 "impossible"
              within 1e-12 (same.Apply 0.3) 0.3 "else the same"
          }
          test "recent quality starts at [0,1] and stays inside" {
              let start = ConfidenceSequences.startRecent 0.05
              Expect.equal (start.Low, start.High, start.Since) (0.0, 1.0, 1L) "before any observation"
              let mutable state = start
              for x in [ 1.0; 1.0; 1.0; 0.0; 0.0; 0.0; 0.0 ] do
                  state <- ConfidenceSequences.observeRecent (state, x)
                  Expect.isTrue (state.Low >= 0.0 && state.High <= 1.0 && state.Low <= state.High) "inside"
          }
          test "effects and intervals: small spreads, all differences of one sign, an estimate beyond all resamples" {
              within 1e-12 (EffectSizes.paired [| 0.01; 0.02; 0.03 |]).Dz 2.0 "a spread below 1"
              within 1e-15 (PairedTests.wilcoxonExact [| 1.0; -1.0 |]).PValue 1.0 "a probability, not 3/2"
              within 1e-6 (PairedTests.wilcoxonNormal [| 5.0 |]).PValue 0.317310507862914 "2 Phi(-1)"
              // A statistic that is least where all values differ lies below its resamples. Every call is recorded.
              let sample = Array.init 9 (fun i -> 0.37 * float (i * i % 11) + 0.01 * float i)
              let replicates, left = ResizeArray<float>(), ResizeArray<float>()
              let statistic (xs: float[]) =
                  let value = Array.average xs / 50.0 - float (Array.length (Array.distinct xs))
                  if xs.Length = 9 then replicates.Add value else left.Add value
                  value
              let interval = Bootstrap.bca (sample, Func<float[], float> statistic, 100, 0.9, 4UL)
              let estimate = replicates[0]
              let sorted = replicates |> Seq.skip 1 |> Seq.sort |> Seq.toArray
              Expect.isTrue (sorted.Length = 100 && sorted[0] > estimate && left.Count = 9) "below all"
              let normal = MathNet.Numerics.Distributions.Normal(0.0, 1.0)
              let bias = normal.InverseCumulativeDistribution(0.5 / 100.0)
              let centre = Seq.average left
              let cube, square = left |> Seq.sumBy (fun v -> (centre - v) ** 3.0), left |> Seq.sumBy (fun v -> (centre - v) ** 2.0)
              let a = cube / (6.0 * square ** 1.5)
              let bound tail =
                  let z = bias + normal.InverseCumulativeDistribution tail
                  let position = 99.0 * normal.CumulativeDistribution(bias + z / (1.0 - a * z))
                  let at = int position
                  sorted[at] + (position - float at) * (sorted[at + 1] - sorted[at])
              within 1e-9 interval.Low (bound 0.05) "low"
              within 1e-9 interval.High (bound 0.95) "high"
          }
          test "three folds are three, and knots are at most 129" {
              // Stage 0 is right but in fold 2: rows of folds 0 and 1 see a half of right answers, rows of fold 2 all.
              let data = silent (Array.init 6 (fun q -> [| (if q % 3 = 2 then 0.0 else 1.0); 0.65 |])) [| 1.0; 1.0 |]
              let plan = Planner(data, [| 0..5 |], ActionSet.Chain, { settings with Folds = 3 }).Plan 0.0
              within 1e-9 plan.HeldOutQuality ((4.0 * 0.65 + 2.0 * 0.0) / 6.0) "quality"
              let knots = (ConfidenceScale.Fit(Array.init 1000 (fun i -> float i / 1000.0))).Knots
              Expect.equal knots.Length 129 "knots of 1,000 values"
              Expect.equal (knots[0], knots[64], knots[128]) (0.0, 0.5, 0.999) "evenly among the values"
          }
          test "answers that an observation does not bring do not agree" {
              let scale = ConfidenceScale.Create([| 0.0; 1.0 |], [| 0.0; 1.0 |])
              let inputs =
                  { Scales = [| scale; scale |]
                    HasNull = [| false; false |]
                    HasAnswers = true
                    ContextWidth = 0
                    Shape = shape 0 false }
              let columns = Array.create 4 nan
              StateBasis([| 0; 1 |], inputs).Fill(Observation(3u, ReadOnlySpan [| 0.25; 1.0 |]), Span<float> columns)
              allWithin 1e-15 columns [| 1.0; -0.25; 0.5; 0.0 |] "columns"
          }
          test "ties: enumeration stops, the greedy plan stops, values of probability 0 change no draft" {
              // Going on brings a quarter and costs a quarter.
              let tie: JointDistribution =
                  { Probabilities = [| 1.0 |]; Signals = [| [| 0; 0 |] |]; Qualities = [| [| 0.5; 0.75 |] |]; Costs = [| 1.0; 0.5 |] }
              let best = BruteForce.solve (tie, 0.5, ActionSet.Chain)
              Expect.equal (best.Quality, best.Cost) (0.5, 1.0) "enumeration"
              let stop = TabularPlan.greedy (TabularCounts.Create(3, 2), [| 0.0; 0.0 |])
              Expect.isTrue (stop |> Array.forall (Array.forall id)) "nothing seen, nothing to pay: stop"
              // The second stage is better by 1/4 in both bins, and costs 1/4.
              let even =
                  { Instances.structured (2, 2, 1UL) with
                      Kernels = [| Array.create 2 [| 0.5; 0.5 |] |]
                      Means = [| [| 0.25; 0.25 |]; [| 0.25; 0.75 |] |]
                      ContinueCosts = [| 0.25 |] }
              Expect.equal (ThresholdForm.oneStepLookAhead even) [| [| true; true |] |] "looking one stage ahead"
              Expect.equal (DraftLength.optimal (0.5, 0.5)) 0 "a token that is worth its cost exactly is not drafted"
              let one = { Values = [| 0.75 |]; Probabilities = [| 1.0 |] }
              let hopeless = { Values = [| 0.0; 0.75 |]; Probabilities = [| 0.5; 0.5 |] }
              Expect.isGreaterThan (DraftStopping.optimal (hopeless, 0.1, 6)).Rate 1.0 "tokens that are never accepted are allowed"
              let padded = { Values = [| 0.75; 0.875 |]; Probabilities = [| 1.0; 0.0 |] }
              Expect.equal (DraftStopping.optimal (padded, 0.1, 6)) (DraftStopping.optimal (one, 0.1, 6)) "the same rule"
          }
          test "shapes and arguments at their ends" {
              let chain = Instances.structured (2, 2, 1UL)
              let model = Jump.fromChain ([| 1.0; 2.0 |], chain.Means, chain.Initial, chain.Kernels)
              Jump.validate { model with Kernels = model.Kernels[..0] }
              let counts = TabularCounts.Create(3, 2)
              Expect.equal (counts.Transitions.Length, counts.Visits.Length, counts.Grades.Length) (2, 2, 3) "tables"
              let likely delta = Regret.nestHighProbability (Feedback.StagesRun, 3, 9.0, false, 100, 1.2, delta) |> ignore
              rejects (fun () -> likely 0.0) "never wrong"
              rejects (fun () -> likely 1.0) "always wrong"
              let looked =
                  ActionClass.Create([| true |], [| 0.0 |], [| [| 0.5 |] |], [| { First = 0; Next = [| [| -1 |] |]; Recall = false } |])
              let learned = ActionNest.observe (ActionNest.init (looked, Feedback.Full, 5), { Bins = [| 0 |]; Qualities = [| 0.5 |] }, 0)
              Expect.equal (learned.Round, learned.Incurred) (1, 0.5) "one query"
              rejects (fun () -> SampleComplexity.deltaFor (1.0, 1.0, 10L, 0.0) |> ignore) "no error"
              Expect.equal (MultipleTesting.bonferroni [| 0.0; 0.25; 1.0 |]) [| 0.0; 0.75; 1.0 |] "0 and 1 are probabilities"
              within 0.0 (PairedTests.signFlip ([| 0.0; 0.0 |], 10, 1UL)).PValue 1.0 "zeros alone"
              Expect.isTrue (PairedTests.wilcoxon (Array.init 50 float)).Exact "fifty pairs exactly"
              Expect.isFalse (PairedTests.wilcoxon (Array.init 51 float)).Exact "more by the normal approximation"
              rejects
                  (fun () ->
                      ActionClass.Create([| true |], [| 0.0 |], [| [| 0.5 |] |], [| { First = 0; Next = [| [| 1 |] |]; Recall = false } |])
                      |> ignore)
                  "an action after the last"
          }
          test "learners: policies drawn by weight, losses at zero probability, audits, free weights" {
              let policies =
                  ActionClass.Create(
                      [| true; true |],
                      [| 0.0; 0.25 |],
                      [| [| 0.5 |]; [| 0.5 |] |],
                      [| { First = 0; Next = [| [| -1 |]; [| -1 |] |]; Recall = false }
                         { First = 0; Next = [| [| 1 |]; [| -1 |] |]; Recall = false }
                         { First = 1; Next = [| [| -1 |]; [| -1 |] |]; Recall = false } |]
                  )
              within 1e-12 (ActionNest.regretBound (policies, Feedback.Full, 200)) (1.25 * sqrt (100.0 * log 3.0)) "full feedback"
              let state = { ActionNest.init (policies, Feedback.Full, 8) with Losses = [| 0.0; 1.0; 2.5 |] }
              let weights, random, counts = ActionNest.weights state, SplitMix64 6UL, Array.zeroCreate<int> 3
              let raw = [| 0.0; 1.0; 2.5 |] |> Array.map (fun loss -> exp (-(sqrt (8.0 * log 3.0 / 8.0)) * loss))
              allWithin 1e-12 weights (raw |> Array.map (fun w -> w / Array.sum raw)) "weights"
              // SplitMix64's seed whose first number is the largest below 1.
              let largest = SplitMix64 0x31628AF67B2131ABUL
              Expect.equal (ActionNest.choose (state, largest)) 2 "the last policy"
              for _ in 1..20_000 do
                  let i = ActionNest.choose (state, random)
                  counts[i] <- counts[i] + 1
              for i in 0..2 do
                  within 0.015 (float counts[i] / 20_000.0) weights[i] $"policy {i}"
              // Nobody stops at the first stage: not even when the generator gives 0.
              let never = PolicyClass.ThresholdsAt(3, 2, [| 2 |])
              let nest =
                  { PolicyClass = never
                    Feedback = Feedback.StagesRun
                    Side = SideExpert.None
                    Horizon = 10
                    Range = 1.5
                    ContinueCosts = [| 0.1; 0.1 |]
                    Seed = 0UL
                    AuditRate = 0.25 }
              let driver = Nest.run (Nest.init nest)
              // SplitMix64's seed whose first number is 0.
              let zero = SplitMix64(0UL - 0x9E3779B97F4A7C15UL)
              driver.Begin zero
              Expect.isFalse (driver.Stops(0, 1, zero)) "no policy stops"
              let outcome = { Bins = [| 0; 0; 0 |]; Qualities = [| 0.5; 0.5; 0.5 |]; Costs = [| 0.0; 0.1; 0.2 |] }
              let graded = Nest.observeGraded (Nest.init nest, outcome, 2, 0.5)
              within 1e-15 graded.Incurred (2.0 * (1.0 - 0.3) / 1.5) "a loss graded with probability 1/2 counts twice"
              Expect.equal
                  (PolicyClass.ThresholdsAt(2, 3, [| 0; 1; 3 |])).Rules
                  [| [| true; true; true |]; [| false; true; true |]; [| false; false; false |] |]
                  "stop from the threshold on"
              let model = Instances.structured (2, 2, 1UL)
              let mixture = ChainMixture([| 1.0; 0.0 |], [| model; Instances.structured (2, 2, 2UL) |]) :> IEnvironment
              within 1e-12 mixture.OptimalValue (Chain.optimalValue model) "a type of weight 0"
              rejects (fun () -> OptStop.certificateB (TabularCounts.Create(2, 3), [| 0.1 |], 0.0, 1.1, 0.0) |> ignore) "delta 0"
              rejects (fun () -> OptStop.certificateB (TabularCounts.Create(2, 3), [| 0.1 |], 0.0, 1.1, 1.0) |> ignore) "delta 1"
              rejects (fun () -> Regret.nestAudited (Feedback.Full, 3, 1.0, 10, 1.1, 1.5) |> ignore) "audits of more than all"
              Expect.isTrue (Regret.gridLoss (2, 1, 50, 1.3)).Vacuous "a bound of B T says nothing"
              Expect.isFalse (Regret.gridLoss (2, 2, 50, 1.3)).Vacuous "half of it does"
              rejects (fun () -> CascadeGuarantees.samples (3, 4, 1.2, 0.0, 0.05) |> ignore) "no error"
              within
                  1e-12
                  (SampleComplexity.epsilonForRealThresholds (2.0, 3, 500L, 0.1))
                  (2.0 * (sqrt (4.0 * log 501.0 / 500.0) + sqrt (2.0 * log 20.0 / 500.0)))
                  "(M + 1)^(n - 1) payoff vectors"
              rejects
                  (fun () ->
                      Pandora.recallContinuation ([| { Values = [| 1.0 |]; Probabilities = [| 1.0 |] } |], [| 0.1 |], 1, 0.0) |> ignore)
                  "all boxes opened"
              Expect.equal
                  [ for z in [ -0.5; 0.5; 1.0; 1.5 ] -> Pandora.uniformExcess z ]
                  [ 1.0; 0.125; 0.0; 0.0 ]
                  "excess of a uniform offer"
              Expect.equal (ThresholdRule.Create [| 0.5; 0.5 |]).Stages 3 "stages of two thresholds"
          }
          test "where every answer is right and free nobody has regret, the side expert neither" {
              let right =
                  { Instances.structured (3, 2, 1UL) with Means = Array.init 3 (fun _ -> [| 1.0; 1.0 |]); ContinueCosts = [| 0.0; 0.0 |] }
              let run kind (policyClass: PolicyClass) model =
                  Simulation.run (ChainMixture model :> IEnvironment, policyClass, kind, Feedback.StagesRun, 50, [| 50 |], 3)
              let result = run LearnerKind.Nest (PolicyClass.Thresholds(3, 2)) right
              within 1e-9 result.RealisedRegret[0] 0.0 "with a side expert"
              // Costs without quality: the class that never stops earns less than nothing.
              let wrong = { right with Means = Array.init 3 (fun _ -> [| 0.0; 0.0 |]); ContinueCosts = [| 0.1; 0.1 |] }
              let never = run LearnerKind.Ucb1 (PolicyClass.ThresholdsAt(3, 2, [| 2 |])) wrong
              within 1e-9 never.RealisedRegret[0] never.RealisedRegretToClass[0] "without one"
          } ]
