module Theory.Tests.ChainTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let internal randomSimplex (random: Random) size =
    // Squared weights make rows that are far from uniform.
    let w = Array.init size (fun _ -> random.NextDouble() ** 2.0 + 1e-9)
    w |> Array.map (fun x -> x / Array.sum w)

let internal randomChain (random: Random) n m =
    { Initial = randomSimplex random m
      Kernels = Array.init (n - 1) (fun _ -> Array.init m (fun _ -> randomSimplex random m))
      Means = Array.init n (fun _ -> Array.init m (fun _ -> random.NextDouble()))
      ContinueCosts = Array.init (n - 1) (fun _ -> 0.3 * random.NextDouble()) }

/// Every policy that maps (stage, bin) to stop or go on: the independent reference.
let private allReactive n m =
    let cells = (n - 1) * m
    Array.init (1 <<< cells) (fun code -> Array.init (n - 1) (fun k -> Array.init m (fun s -> (code >>> (k * m + s)) &&& 1 = 1)))

/// The value of a policy summed path by path, which shares nothing with backward induction.
let private valueByPaths (model: ChainModel) (stop: bool[][]) =
    let n, m = model.Means.Length, model.Initial.Length
    let rec from k s probability paid =
        if k = n - 1 || stop[k][s] then
            probability * (model.Means[k][s] - paid)
        else
            Seq.sum (seq { for t in 0 .. m - 1 -> from (k + 1) t (probability * model.Kernels[k].[s].[t]) (paid + model.ContinueCosts[k]) })
    Seq.sum (seq { for s in 0 .. m - 1 -> from 0 s (model.Initial[s]) 0.0 })

/// A chain with T1 and T2: kernels are mixtures of monotone maps, and means are built backwards from nonincreasing gains.
let internal regularChain (random: Random) n m =
    let monotoneKernel () =
        let kernel = Array.init m (fun _ -> Array.zeroCreate m)
        for _ in 1..6 do
            Array.init m (fun _ -> random.Next m) |> Array.sort |> Array.iteri (fun s t -> kernel[s][t] <- kernel[s][t] + 1.0 / 6.0)
        kernel
    let kernels = Array.init (n - 1) (fun _ -> monotoneKernel ())
    let raw = Array.init n (fun _ -> Array.init m (fun _ -> random.NextDouble()))
    for k in n - 2 .. -1 .. 0 do
        let gains = Array.init m (fun _ -> 0.6 * random.NextDouble() - 0.2) |> Array.sortDescending
        raw[k] <- Array.init m (fun s -> Array.fold2 (fun sum p x -> sum + p * x) 0.0 (kernels[k][s]) (raw[k + 1]) - gains[s])
    // One affine map for all stages brings the means into [0,1] and keeps the gains nonincreasing.
    let low, high = raw |> Array.concat |> Array.min, raw |> Array.concat |> Array.max
    { Initial = randomSimplex random m
      Kernels = kernels
      Means = raw |> Array.map (Array.map (fun x -> min 1.0 ((x - low) / (high - low))))
      ContinueCosts = Array.init (n - 1) (fun _ -> 0.1 * random.NextDouble()) }

let private priced lambda (model: ChainModel) = { model with ContinueCosts = model.ContinueCosts |> Array.map (fun c -> lambda * c) }

let private hopeless =
    { Initial = Array.create 3 (1.0 / 3.0)
      Kernels = [| Array.init 3 (fun s -> Array.init 3 (fun t -> if s = t then 1.0 else 0.0)) |]
      Means = [| [| 0.05; 0.5; 0.95 |]; [| 0.06; 0.9; 0.97 |] |]
      ContinueCosts = [| 0.1 |] }

[<Tests>]
let tests =
    testList
        "Examples.Chain"
        [ testCase "property 1: plan = brute force over all 2^(m(n-1)) reactive policies, 1,400 random instances"
          <| fun () ->
              let random = Random 1
              for n, m in [ 1, 3; 2, 1; 2, 2; 2, 3; 3, 1; 3, 2; 3, 3 ] do
                  let policies = allReactive n m
                  for _ in 1..200 do
                      let model = randomChain random n m
                      let best = policies |> Array.map (fun p -> Chain.value (model, p)) |> Array.max
                      let plan = Chain.plan model
                      within 1e-12 (Chain.optimalValue model) best $"V*, n={n}, m={m}"
                      within 1e-12 (valueByPaths model (Chain.policy plan)) best "the plan's own policy attains it"

          testCase "a policy's value, path by path, 1,000 random policies"
          <| fun () ->
              let random = Random 2
              for _ in 1..1000 do
                  let n, m = random.Next(1, 5), random.Next(1, 4)
                  let model = randomChain random n m
                  let stop = Array.init (n - 1) (fun _ -> Array.init m (fun _ -> random.Next 2 = 0))
                  within 1e-12 (Chain.value (model, stop)) (valueByPaths model stop) "value"
                  let qualities = Array.map2 (fun reached k -> reached, k) (Chain.occupancy (model, stop)) [| 0 .. n - 1 |]
                  let quality =
                      qualities
                      |> Array.sumBy (fun (reached, k) ->
                          Seq.sum (
                              seq {
                                  for s in 0 .. m - 1 do
                                      if k = n - 1 || stop[k][s] then reached[s] * model.Means[k][s]
                              }
                          ))
                  within 1e-12 (quality - Chain.expectedCost (model, stop)) (Chain.value (model, stop)) "quality - cost"

          testCase "property 2: 0 <= W <= 1 and W >= mu, 1,000 random instances"
          <| fun () ->
              let random = Random 3
              for _ in 1..1000 do
                  let model = randomChain random (random.Next(1, 6)) (random.Next(1, 6))
                  let plan = Chain.plan model
                  Array.iter2 (Array.iter2 (fun w mu -> Expect.isTrue (w >= 0.0 && w <= 1.0 && w >= mu) $"{w}, {mu}")) plan.W model.Means

          testCase "property 3: identity (*) of Theorem 1, 1,000 random instances"
          <| fun () ->
              let random = Random 4
              for _ in 1..1000 do
                  let n, m = random.Next(2, 6), random.Next(1, 6)
                  let model = randomChain random n m
                  let plan, gains = Chain.plan model, ThresholdForm.oneStepGains model
                  for k in 0 .. n - 2 do
                      for s in 0 .. m - 1 do
                          let later =
                              if k = n - 2 then
                                  0.0
                              else
                                  Seq.sum (seq { for t in 0 .. m - 1 -> model.Kernels[k].[s].[t] * min (plan.D[k + 1].[t]) 0.0 })
                          within 1e-12 (plan.D[k].[s]) (model.ContinueCosts[k] - gains[k].[s] + later) "D"

          testCase "property 4: under T1 and T2 every D is nondecreasing, 2,000 random instances"
          <| fun () ->
              let random = Random 5
              for _ in 1..2000 do
                  let model = regularChain random (random.Next(2, 6)) (random.Next(2, 6))
                  Expect.isTrue (ThresholdForm.isStochasticallyMonotone model && ThresholdForm.hasNonincreasingGains model) "T1 and T2 hold"
                  for row in (Chain.plan model).D do
                      for a, b in Array.pairwise row do
                          Expect.isTrue (a <= b + 1e-12) $"{a} then {b}"
                  Expect.isTrue (ThresholdForm.isThresholdOptimal model) "hence thresholds"

          testCase "property 5: hopeless queries have value .600, the best threshold .570, the best interval .600"
          <| fun () ->
              within 1e-12 (Chain.optimalValue hopeless) 0.6 "V*"
              within 1e-12 (ChainPolicyClasses.bestThreshold hopeless).Value 0.57 "threshold"
              within 1e-12 (ChainPolicyClasses.bestInterval hopeless).Value 0.6 "interval"
              Expect.equal (Chain.policy (Chain.plan hopeless)) [| [| true; false; true |] |] "stop, continue, stop"
              Expect.isFalse (ThresholdForm.isThresholdOptimal hopeless) "not a threshold"

          testCase "property 5: without T1 a constant gain and a rising D_2 still give a falling D_1"
          <| fun () ->
              // Bins low, high; D_2 = (-1, 0) up to scale, P_1 swaps the bins, Delta_1 constant.
              let model =
                  { Initial = [| 0.5; 0.5 |]
                    Kernels = [| [| [| 0.0; 1.0 |]; [| 1.0; 0.0 |] |]; [| [| 1.0; 0.0 |]; [| 0.0; 1.0 |] |] |]
                    Means = [| [| 0.5; 0.2 |]; [| 0.2; 0.5 |]; [| 0.7; 0.5 |] |]
                    ContinueCosts = [| 0.1; 0.0 |] }
              let plan = Chain.plan model
              Expect.isFalse (ThresholdForm.isStochasticallyMonotone model) "T1 fails"
              Expect.isTrue (ThresholdForm.hasNonincreasingGains model) "T2 holds"
              allWithin 1e-12 (plan.D[1]) [| -0.5; 0.0 |] "D_2"
              allWithin 1e-12 (plan.D[0]) [| 0.1; -0.4 |] "D_1"

          testCase "property 6: best threshold <= best interval <= V*, equal under T1 and T2, 1,000 random instances"
          <| fun () ->
              let random = Random 6
              for i in 1..1000 do
                  let n, m = random.Next(1, 4), random.Next(2, 5)
                  let model = if i % 2 = 0 then randomChain random n m else regularChain random n m
                  let threshold, interval = ChainPolicyClasses.bestThreshold model, ChainPolicyClasses.bestInterval model
                  let optimum = Chain.optimalValue model
                  Expect.isTrue (threshold.Value <= interval.Value + 1e-12 && interval.Value <= optimum + 1e-12) "nested"
                  within 1e-12 (valueByPaths model threshold.Stop) threshold.Value "the policy returned attains its value"
                  within 1e-12 (valueByPaths model interval.Stop) interval.Value "the interval policy too"
                  if i % 2 = 1 then
                      within 1e-12 threshold.Value optimum "Theorem 1"
                      within 1e-12 (Chain.value (model, Reactive.fromThresholds ((Chain.plan model).Thresholds, m))) optimum "thresholds"

          testCase "property 7: stop sets are nested and thresholds nonincreasing in lambda, 1,000 random instances"
          <| fun () ->
              let random = Random 7
              for _ in 1..1000 do
                  let model = randomChain random (random.Next(2, 6)) (random.Next(1, 6))
                  let plans = [| for lambda in [ 0.0; 0.1; 0.3; 1.0; 3.0; 10.0 ] -> Chain.plan (priced lambda model) |]
                  for a, b in Array.pairwise plans do
                      Array.iter2 (Array.iter2 (fun x y -> Expect.isTrue (y >= x - 1e-12) "D rises")) a.D b.D
                      Array.iter2 (fun x y -> Expect.isTrue (y <= x) "thresholds fall") a.Thresholds b.Thresholds

          testCase "property 8: V*(lambda) is convex and nonincreasing with slope -E C, 1,000 random instances"
          <| fun () ->
              let random = Random 8
              for _ in 1..1000 do
                  let model = randomChain random (random.Next(2, 5)) (random.Next(1, 5))
                  let at lambda =
                      let m = priced lambda model
                      let stop = Chain.policy (Chain.plan m)
                      Chain.value (m, stop), Chain.expectedCost ({ m with ContinueCosts = model.ContinueCosts }, stop)
                  for (v, c), (v', c') in Array.pairwise [| for i in 0..10 -> at (0.3 * float i) |] do
                      let slope = (v' - v) / 0.3
                      Expect.isTrue (slope <= 1e-12 && -c <= slope + 1e-9 && slope <= -c' + 1e-9) $"{-c} <= {slope} <= {-c'}"

          testCase "property 9: free and consistent means reach E mu_n; a huge price stops at once, 1,000 random instances"
          <| fun () ->
              let random = Random 9
              for _ in 1..1000 do
                  let n, m = random.Next(1, 6), random.Next(1, 6)
                  let model = randomChain random n m
                  let means = model.Means |> Array.map Array.copy
                  for k in n - 2 .. -1 .. 0 do
                      means[k] <- model.Kernels[k] |> Array.map (fun row -> Array.fold2 (fun sum p x -> sum + p * x) 0.0 row means[k + 1])
                  let model = { model with Means = means; ContinueCosts = Array.zeroCreate (n - 1) }
                  let toTheEnd = Reactive.fromThresholds (Array.create (n - 1) m, m)
                  within 1e-12 (Chain.optimalValue model) (valueByPaths model toTheEnd) "E mu_n"
                  let dear = { model with ContinueCosts = Array.create (n - 1) 1.5 }
                  Expect.isTrue (Chain.policy (Chain.plan dear) |> Array.forall (Array.forall id)) "stops at stage 1"

          testCase "property 10: performance difference = V* - V^pi, 1,000 random policies"
          <| fun () ->
              let random = Random 10
              for _ in 1..1000 do
                  let n, m = random.Next(1, 6), random.Next(1, 6)
                  let model = randomChain random n m
                  let stop = Array.init (n - 1) (fun _ -> Array.init m (fun _ -> random.Next 2 = 0))
                  within
                      1e-12
                      (Chain.performanceDifference (model, Chain.plan model, stop))
                      (Chain.optimalValue model - valueByPaths model stop)
                      "difference"

          testCase "property 14: splitting a bin into two with its mean and row leaves V* unchanged, 1,000 random instances"
          <| fun () ->
              let random = Random 11
              for _ in 1..1000 do
                  let n, m = random.Next(1, 5), random.Next(1, 5)
                  let model = randomChain random n m
                  let twin = random.Next m
                  // Mass that enters the bin goes to either twin in any proportion.
                  let split (row: float[]) =
                      let share = random.NextDouble()
                      Array.append (row |> Array.mapi (fun s p -> if s = twin then share * p else p)) [| (1.0 - share) * row[twin] |]
                  let doubled (rows: 'a[]) = Array.append rows [| rows[twin] |]
                  let larger =
                      { Initial = split model.Initial
                        Kernels = model.Kernels |> Array.map (Array.map split >> doubled)
                        Means = model.Means |> Array.map doubled
                        ContinueCosts = model.ContinueCosts }
                  within 1e-12 (Chain.optimalValue larger) (Chain.optimalValue model) "V*"

          testCase "intervals, thresholds and paths"
          <| fun () ->
              Expect.equal (Reactive.fromIntervals ([| 1 |], [| 3 |], 4)) [| [| true; false; false; true |] |] "go on in 1 and 2"
              let stop = Reactive.fromThresholds ([| 2; 1 |], 3)
              Expect.equal (Reactive.stopStage (stop, [| 2; 0; 0 |])) 0 "at once"
              Expect.equal (Reactive.stopStage (stop, [| 1; 1; 0 |])) 1 "second"
              Expect.equal (Reactive.stopStage (stop, [| 1; 0; 0 |])) 2 "last"

          testCase "bad models are rejected"
          <| fun () ->
              let bad model message = rejects (fun () -> Chain.plan model |> ignore) message
              bad { hopeless with Initial = [| 0.5; 0.5; 0.5 |] } "mass 1.5"
              bad { hopeless with Initial = [| 1.5; -0.5; 0.0 |] } "negative probability"
              bad { hopeless with Means = [| hopeless.Means[0]; [| 0.0; 0.0; 1.1 |] |] } "mean above 1"
              bad { hopeless with Means = [| hopeless.Means[0]; [| 0.0; 0.0; nan |] |] } "NaN"
              bad { hopeless with ContinueCosts = [| -0.1 |] } "negative cost"
              bad { hopeless with ContinueCosts = [||] } "no cost"
              rejects (fun () -> Chain.value (hopeless, [||]) |> ignore) "policy of wrong shape" ]
