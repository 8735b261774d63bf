/// Properties of optimal stopping: theory-proofs.md 1 to 14, theory.md section 8.
module Theory.Tests.StoppingProperties

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.Cases

let private priced lambda (model: ChainModel) = { model with ContinueCosts = model.ContinueCosts |> Array.map (fun c -> lambda * c) }

let private reactive (random: Random) (model: ChainModel) =
    model.ContinueCosts |> Array.map (fun _ -> Array.init model.Initial.Length (fun _ -> random.Next 2 = 0))

let private allReactive n m =
    let cells = (n - 1) * m
    seq { for code in 0 .. (1 <<< cells) - 1 -> Array.init (n - 1) (fun k -> Array.init m (fun s -> (code >>> (k * m + s)) &&& 1 = 1)) }

let private nondecreasing (xs: float[]) = xs |> Array.pairwise |> Array.forall (fun (a, b) -> a <= b + 1e-12)

let private ofCascade (costs: float[], means: float[][], initial: float[], steps: float[][][]) lambda : ChainModel =
    { Initial = initial; Kernels = steps; Means = means; ContinueCosts = costs[1..] |> Array.map (fun c -> lambda * c) }

[<Tests>]
let tests =
    testList
        "Properties.Stopping"
        [ property 300 "P01 backward induction = brute force over all reactive policies"
          <| fun (SmallChain model) ->
              let best = allReactive model.Means.Length model.Initial.Length |> Seq.map (fun stop -> Chain.value (model, stop)) |> Seq.max
              within 1e-12 (Chain.optimalValue model) best "V*"

          property 300 "P02 0 <= W <= 1 and W >= mu"
          <| fun (Chain model) ->
              Array.iter2
                  (Array.iter2 (fun w mu -> Expect.isTrue (w >= mu && w >= 0.0 && w <= 1.0) $"W = {w}, mu = {mu}"))
                  (Chain.plan model).W
                  model.Means

          property 300 "P03 identity (*): D_k = kappa - Delta_k + E min(D_{k+1}, 0)"
          <| fun (Chain model) ->
              let plan, gains = Chain.plan model, ThresholdForm.oneStepGains model
              plan.D
              |> Array.iteri (fun k row ->
                  row
                  |> Array.iteri (fun s d ->
                      let ahead =
                          if k + 1 = plan.D.Length then
                              0.0
                          else
                              Array.fold2 (fun sum p x -> sum + p * min x 0.0) 0.0 model.Kernels[k].[s] plan.D[k + 1]
                      within 1e-12 d (model.ContinueCosts[k] - gains[k].[s] + ahead) "D"))

          property 300 "P04 T1 and T2 make every D nondecreasing"
          <| fun (RegularChain model) ->
              Expect.isTrue (ThresholdForm.isStochasticallyMonotone model && ThresholdForm.hasNonincreasingGains model) "T1, T2"
              for d in (Chain.plan model).D do
                  Expect.isTrue (nondecreasing d) "D"

          property 200 "P05 hopeless queries: no threshold policy is optimal, an interval policy is"
          <| fun (Unit x) ->
              // The gains are .01, .4 and .02, so that prices between .02 and .4 stop, go on, stop.
              let model =
                  { Initial = Array.create 3 (1.0 / 3.0)
                    Kernels = [| Array.init 3 (fun s -> Array.init 3 (fun t -> if s = t then 1.0 else 0.0)) |]
                    Means = [| [| 0.05; 0.5; 0.95 |]; [| 0.06; 0.9; 0.97 |] |]
                    ContinueCosts = [| 0.03 + 0.36 * x |] }
              let best = Chain.optimalValue model
              Expect.isFalse (ThresholdForm.isThresholdOptimal model) "two-sided"
              Expect.isTrue ((ChainPolicyClasses.bestThreshold model).Value < best - 1e-4) "threshold loses"
              within 1e-12 (ChainPolicyClasses.bestInterval model).Value best "interval does not"

          property 300 "P06 best threshold <= best interval <= V*"
          <| fun (Chain model) ->
              let threshold, interval = (ChainPolicyClasses.bestThreshold model).Value, (ChainPolicyClasses.bestInterval model).Value
              atMost 1e-12 threshold interval "threshold, interval"
              atMost 1e-12 interval (Chain.optimalValue model) "interval, V*"

          property 300 "P06b under T1 and T2 the best threshold policy attains V*"
          <| fun (RegularChain model) ->
              within 1e-12 (ChainPolicyClasses.bestThreshold model).Value (Chain.optimalValue model) "V*"
              within
                  1e-12
                  (Chain.value (model, Reactive.fromThresholds ((Chain.plan model).Thresholds, model.Initial.Length)))
                  (Chain.optimalValue model)
                  "the plan's thresholds"

          property 300 "P07 stop sets are nested and thresholds nonincreasing in lambda"
          <| fun (Chain model) (Unit low) (Unit more) ->
              let a, b = Chain.plan (priced (3.0 * low) model), Chain.plan (priced (3.0 * (low + more)) model)
              Array.iter2 (Array.iter2 (fun x y -> atMost 1e-12 x y "D rises")) a.D b.D
              Array.iter2 (fun x y -> Expect.isTrue (y <= x) $"threshold {x} then {y}") a.Thresholds b.Thresholds

          property 300 "P08 V*(lambda) is convex and nonincreasing, with slope -E C"
          <| fun (Chain model) (Unit at) ->
              let value lambda = Chain.optimalValue (priced lambda model)
              let cost lambda = Chain.expectedCost (model, Chain.policy (Chain.plan (priced lambda model)))
              let h = 1e-3
              let left, middle, right = value (2.0 * at), value (2.0 * at + h), value (2.0 * at + 2.0 * h)
              atMost 1e-12 middle left "nonincreasing"
              atMost 1e-12 (2.0 * middle) (left + right) "convex"
              // By convexity a chord's slope lies between the slopes at its ends.
              atMost 1e-9 ((left - middle) / h) (cost (2.0 * at)) "slope at the left"
              atMost 1e-9 (cost (2.0 * at + h)) ((left - middle) / h) "slope at the right"

          property 200 "P09 free and martingale-consistent: V* = E mu_n; at a huge price stop at once"
          <| fun (Chain model) ->
              // Means built backwards so that mu_k(s) = E[mu_{k+1} | s].
              let means = Array.map Array.copy model.Means
              for k in means.Length - 2 .. -1 .. 0 do
                  means[k] <- model.Kernels[k] |> Array.map (fun row -> Array.map2 (*) row means[k + 1] |> Array.sum)
              let last =
                  (Chain.occupancy (model, model.ContinueCosts |> Array.map (fun _ -> Array.create model.Initial.Length false)))
                  |> Array.last
              within
                  1e-12
                  (Chain.optimalValue (priced 0.0 { model with Means = means }))
                  (Array.map2 (*) last (Array.last means) |> Array.sum)
                  "E mu_n"
              let huge = { model with ContinueCosts = model.ContinueCosts |> Array.map (fun _ -> 10.0) }
              within 1e-12 (Chain.optimalValue huge) (Array.map2 (*) model.Initial model.Means[0] |> Array.sum) "stop at 1"

          property 300 "P10 V* - V^pi = sum of the advantages of the wrong decisions taken"
          <| fun (Chain model) (Seed seed) ->
              let plan, stop = Chain.plan model, reactive (Random seed) model
              let loss = Chain.performanceDifference (model, plan, stop)
              within 1e-12 loss (Chain.optimalValue model - Chain.value (model, stop)) "loss"
              let reached = Chain.occupancy (model, stop)
              let byAdvantage =
                  Seq.sum (
                      seq {
                          for k in 0 .. stop.Length - 1 do
                              for s in 0 .. model.Initial.Length - 1 do
                                  if stop[k].[s] <> (plan.D[k].[s] >= 0.0) then reached[k].[s] * abs plan.D[k].[s]
                      }
                  )
              within 1e-12 loss byAdvantage "sum of |D|"

          property 300 "P11 a reservation value solves E (X - z)^+ = cost, and falls with the cost"
          <| fun (Boxes(distributions, costs)) ->
              Array.iter2
                  (fun distribution cost ->
                      within 1e-12 (Pandora.expectedExcess (distribution, Pandora.reservation (distribution, cost))) cost "excess"
                      atMost 1e-12 (Pandora.reservation (distribution, 1.5 * cost)) (Pandora.reservation (distribution, cost)) "falls")
                  distributions
                  costs

          property 200 "P11b closed forms: uniform and Bernoulli reservation values, Moser's recursion"
          <| fun (Unit c) (Unit p) ->
              let cost, p = 0.001 + c, 0.01 + 0.99 * p
              within 1e-12 (Pandora.uniformExcess (Pandora.reservationUniform cost)) cost "uniform"
              within
                  1e-12
                  (Pandora.reservation ({ Values = [| 0.0; 1.0 |]; Probabilities = [| 1.0 - p; p |] }, cost))
                  (Pandora.reservationBernoulli (p, cost))
                  "Bernoulli"
              let w = Pandora.noRecallThresholds (Array.create 3 0.5, Array.create 3 (Func<_, _> Pandora.uniformExcess), [| 0.0; c; c |])
              within 1e-15 w[1] (0.5 - c) "last"
              within 1e-12 w[0] ((if w[1] >= 0.0 then (1.0 + w[1] * w[1]) / 2.0 else 0.5) - c) "w <- (1 + w^2)/2 - c"

          property 300 "P12 with falling reservation values recall in order earns the Weitzman identity"
          <| fun (Boxes(distributions, costs)) ->
              let order = Array.zip distributions costs |> Array.sortByDescending Pandora.reservation
              let distributions, costs = Array.map fst order, Array.map snd order
              let inOrder = max 0.0 (Pandora.recallContinuation (distributions, costs, 0, 0.0))
              within 1e-12 (Pandora.weitzmanIdentity (distributions, costs, 0.0)) inOrder "identity"
              within 1e-12 (Pandora.indexPolicyValue (distributions, costs, 0.0)) inOrder "index policy"

          property 300 "P12b with recall, y - Q_k(y) is nondecreasing: stopping is a threshold in the best answer"
          <| fun (Boxes(distributions, costs)) (Unit a) (Unit b) ->
              let low, high = min a b, max a b
              for opened in 0 .. distributions.Length - 1 do
                  let gap y = y - Pandora.recallContinuation (distributions, costs, opened, y)
                  atMost 1e-12 (gap low) (gap high) "gap"
                  let sigma = Pandora.recallThreshold (distributions, costs, opened)
                  if low > sigma + 1e-9 then Expect.isTrue (gap low >= 0.0) "stops above sigma"
                  if low < sigma - 1e-9 then Expect.isTrue (gap low <= 0.0) "goes on below sigma"

          property 300 "P13 sigma_k >= z_{k+1}, with equality if sigma_{k+1} <= z_{k+1}"
          <| fun (Boxes(distributions, costs)) ->
              for opened in 0 .. distributions.Length - 1 do
                  let sigma, z =
                      Pandora.recallThreshold (distributions, costs, opened), Pandora.reservation (distributions[opened], costs[opened])
                  atMost 1e-9 z sigma "sigma >= z"
                  if opened = distributions.Length - 1 || Pandora.recallThreshold (distributions, costs, opened + 1) <= z then
                      within 1e-9 sigma z "equal"

          property 200 "P14 two bins with the same mean and row are as good as one"
          <| fun (Chain model) (Unit share) ->
              let last = model.Initial.Length - 1
              let split (row: float[]) = Array.append row[.. last - 1] [| share * row[last]; (1.0 - share) * row[last] |]
              let twice (rows: 'a[]) = Array.append rows [| rows[last] |]
              let wider =
                  { model with
                      Initial = split model.Initial
                      Kernels = model.Kernels |> Array.map (Array.map split >> twice)
                      Means = model.Means |> Array.map twice }
              within 1e-12 (Chain.optimalValue wider) (Chain.optimalValue model) "V*"

          property 300 "P37 chain <= jump <= recall <= oracle, and value = quality - lambda cost"
          <| fun (AnyDistribution(distribution, lambda)) ->
              let solve actions = BruteForce.solve (distribution, lambda, actions)
              let values = [ for a in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] -> solve a ]
              for v in values do
                  within 1e-12 v.Value (v.Quality - lambda * v.Cost) "parts"
              for a, b in List.pairwise ([ for v in values -> v.Value ] @ [ BruteForce.oracle (distribution, lambda) ]) do
                  atMost 1e-12 a b "nested"

          property 200 "P38 every action set: value convex and nonincreasing, cost and quality nonincreasing in lambda"
          <| fun (AnyDistribution(distribution, lambda)) ->
              for actions in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] do
                  let at = [| for i in 0..2 -> BruteForce.solve (distribution, lambda + 0.1 * float i, actions) |]
                  for a, b in Array.pairwise at do
                      atMost 1e-12 b.Value a.Value "value"
                      atMost 1e-9 b.Cost a.Cost "cost"
                      atMost 1e-9 b.Quality a.Quality "quality"
                  atMost 1e-12 (2.0 * at[1].Value) (at[0].Value + at[2].Value) "convex"

          property 200 "P39 the jump planner = the exact solver on Markov distributions"
          <| fun (MarkovCascade(parts, lambda)) ->
              let exact = BruteForce.solve (JumpTests.asJointDistribution parts, lambda, ActionSet.Jump)
              let planned = (Jump.plan (Jump.fromChain parts, lambda)).Outcome
              within 1e-12 planned.Value exact.Value "value"
              within 1e-12 planned.Value (planned.Quality - lambda * planned.Cost) "parts"

          property 200 "P40 the recall planner = the exact solver on Markov distributions"
          <| fun (MarkovCascade(parts, lambda)) ->
              let exact = BruteForce.solve (JumpTests.asJointDistribution parts, lambda, ActionSet.Recall)
              within 1e-12 (Recall.plan (Jump.fromChain parts, lambda)).Outcome.Value exact.Value "value"

          property 200 "P41 the chain planner = the exact solver on Markov distributions"
          <| fun (MarkovCascade((costs, _, _, _) as parts, lambda)) ->
              let exact = BruteForce.solve (JumpTests.asJointDistribution parts, lambda, ActionSet.Chain)
              within 1e-12 (Chain.optimalValue (ofCascade parts lambda) - lambda * costs[0]) exact.Value "value"

          property 300 "P42 where D crosses once at every stage, the thresholds are the plan"
          <| fun (Chain model) ->
              let plan = Chain.plan model
              let thresholds = Chain.value (model, Reactive.fromThresholds (plan.Thresholds, model.Initial.Length))
              if ThresholdForm.isThresholdOptimal model then within 1e-12 thresholds (Chain.optimalValue model) "V*"
              atMost 1e-12 thresholds (Chain.optimalValue model) "never above"

          property 200 "P43 Weitzman's index = backward induction over every order of opening"
          <| fun (Boxes(distributions, costs)) (Unit outside) ->
              let rec value unopened best =
                  unopened
                  |> List.map (fun k ->
                      let rest = List.except [ k ] unopened
                      Array.fold2
                          (fun sum x p -> sum + p * value rest (max best x))
                          -costs[k]
                          distributions[k].Values
                          distributions[k].Probabilities)
                  |> List.fold max best
              let exact = value [ 0 .. distributions.Length - 1 ] outside
              within 1e-12 (Pandora.indexPolicyValue (distributions, costs, outside)) exact "index"
              within 1e-12 (Pandora.weitzmanIdentity (distributions, costs, outside)) exact "identity"

          property 300 "P44 looking one stage ahead: optimal in the monotone case, never better than V*"
          <| fun (Chain model) (Unit scale) ->
              let model = priced (3.0 * scale) model
              let value = Chain.value (model, ThresholdForm.oneStepLookAhead model)
              atMost 1e-12 value (Chain.optimalValue model) "V*"
              if ThresholdForm.isMonotoneCase model then within 1e-12 value (Chain.optimalValue model) "monotone case"

          property 200 "P45 the run-time rule stops where the plan's thresholds stop"
          <| fun (Chain model) (Seed seed) ->
              let random, m = Random seed, model.Initial.Length
              let plan = Chain.plan model
              let edges = Array.init model.Means.Length (fun _ -> Array.init (m - 1) (fun i -> float (i + 1) / float m))
              let rule = ThresholdRule.FromPlan(plan, edges)
              let bins = Array.init model.Means.Length (fun _ -> random.Next m)
              let confidences = bins |> Array.map (fun s -> (float s + random.NextDouble()) / float m)
              let expected = Reactive.stopStage (Reactive.fromThresholds (plan.Thresholds, m), bins)
              Expect.equal (rule.StopStage(ReadOnlySpan confidences)) expected "stage"
              Expect.equal (rule.Stops(expected, confidences[expected])) true "stops there"
              if expected > 0 then Expect.equal (rule.Stops(expected - 1, confidences[expected - 1])) false "not before" ]
