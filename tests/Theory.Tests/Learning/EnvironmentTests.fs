module Theory.Tests.EnvironmentTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private randomPool (random: Random) rows n m =
    let table f = Array.init rows (fun _ -> Array.init n (fun _ -> f ()))
    let bins, qualities, costs = table (fun () -> random.Next m), table random.NextDouble, table random.NextDouble
    bins, qualities, costs, Pool.Create(bins, qualities, costs, 0.2, m)

let private randomPolicy (random: Random) n m = Array.init (n - 1) (fun _ -> Array.init m (fun _ -> random.Next 2 = 0))

[<Tests>]
let tests =
    testList
        "Examples.Environment"
        [ testCase "a pool's values = averages over its rows, 200 random pools"
          <| fun () ->
              let random = Random 71
              for _ in 1..200 do
                  let n, m = random.Next(1, 5), random.Next(1, 4)
                  let bins, qualities, costs, pool = randomPool random (random.Next(1, 40)) n m
                  let environment = pool :> IEnvironment
                  let value stop =
                      bins
                      |> Array.mapi (fun r row ->
                          let k = Reactive.stopStage (stop, row)
                          qualities[r].[k] - 0.2 * Array.sum costs[r].[1..k])
                      |> Array.average
                  let stop = randomPolicy random n m
                  within 1e-12 (environment.Value stop) (value stop) "value"
                  let policyClass = Problems.policyClass random n m 3
                  environment.ClassValues policyClass
                  |> Array.iteri (fun i v -> within 1e-12 v (value (PolicyClass.Policy(policyClass, i))) $"policy {i}")
                  Expect.isTrue
                      (environment.Range >= 1.0 + 0.2 * (costs |> Array.map (fun c -> Array.sum c[1..]) |> Array.max) - 1e-12)
                      "range"

          testCase "a pool's optimum = exact stopping over the joint distribution of its rows, 100 random pools"
          <| fun () ->
              let random = Random 72
              for _ in 1..100 do
                  let n, m, rows = random.Next(1, 5), random.Next(1, 4), 30
                  let bins, qualities, _, _ = randomPool random rows n m
                  let costs = Array.init n (fun _ -> random.NextDouble())
                  let pool = Pool.Create(bins, qualities, Array.create rows costs, 0.2, m)
                  let distribution =
                      { Probabilities = Array.create rows (1.0 / float rows); Signals = bins; Qualities = qualities; Costs = costs }
                  // The joint distribution charges for the first stage, the pool does not.
                  within
                      1e-12
                      (pool :> IEnvironment).OptimalValue
                      ((BruteForce.solve (distribution, 0.2, ActionSet.Chain)).Value + 0.2 * costs[0])
                      "optimum"

          testCase "a mixture's values: policy class = policy by policy, draws agree with them"
          <| fun () ->
              let random = Random 73
              for _ in 1..50 do
                  let n, m = random.Next(1, 5), random.Next(1, 4)
                  let first = ChainTests.randomChain random n m
                  let second = { ChainTests.randomChain random n m with ContinueCosts = first.ContinueCosts }
                  let environment = ChainMixture([| 0.3; 0.7 |], [| first; second |]) :> IEnvironment
                  let policyClass = Problems.policyClass random n m 3
                  environment.ClassValues policyClass
                  |> Array.iteri (fun i v -> within 1e-12 v (environment.Value(PolicyClass.Policy(policyClass, i))) $"policy {i}")
                  Expect.isTrue (environment.OptimalValue >= Array.max (environment.ClassValues policyClass) - 1e-12) "optimum"
                  let stop, source, outcome, draws = randomPolicy random n m, SplitMix64 8UL, Outcome.Empty n, 4000
                  let rewards =
                      Array.init draws (fun _ ->
                          environment.Draw(source, outcome)
                          Outcome.Reward(outcome, Reactive.stopStage (stop, outcome.Bins)))
                  // Rewards lie in an interval of length B: Hoeffding at level 1e-8.
                  within
                      (environment.Range * sqrt (log 2e8 / (2.0 * float draws)))
                      (Array.average rewards)
                      (environment.Value stop)
                      "mean reward"

          testCase "a mixture's optimum = exact stopping over its joint distribution"
          <| fun () ->
              let random = Random 74
              for _ in 1..50 do
                  let n, m = 3, 2
                  let first = ChainTests.randomChain random n m
                  let second = { ChainTests.randomChain random n m with ContinueCosts = first.ContinueCosts }
                  let paths =
                      [| for a in 0 .. m - 1 do
                             for b in 0 .. m - 1 do
                                 for c in 0 .. m - 1 -> [| a; b; c |] |]
                  let atoms =
                      [| for w, x in [ 0.3, first; 0.7, second ] do
                             for path in paths ->
                                 w * x.Initial[path[0]] * x.Kernels[0].[path[0]].[path[1]] * x.Kernels[1].[path[1]].[path[2]],
                                 path,
                                 Array.init n (fun k -> x.Means[k].[path[k]]) |]
                  let distribution =
                      { Probabilities = atoms |> Array.map (fun (p, _, _) -> p)
                        Signals = atoms |> Array.map (fun (_, s, _) -> s)
                        Qualities = atoms |> Array.map (fun (_, _, q) -> q)
                        Costs = Array.append [| 0.0 |] first.ContinueCosts }
                  let environment = ChainMixture([| 0.3; 0.7 |], [| first; second |]) :> IEnvironment
                  within 1e-12 environment.OptimalValue (BruteForce.solve (distribution, 1.0, ActionSet.Chain)).Value "optimum"

          testCase "section 8.3: aliased, the best threshold earns .597 with the first stage's cost"
          <| fun () ->
              let environment = Instances.aliased 3 :> IEnvironment
              let first = 0.1 / Array.sum (Instances.costs 3)
              let best = Array.max (environment.ClassValues(PolicyClass.Thresholds(3, 2)))
              within 1e-12 (best - first) (0.5 * (0.95 - 0.1) + 0.5 * (0.35 - first)) ".5965"
              within 1e-12 environment.OptimalValue best "no history helps further"
              for n in [ 4; 8 ] do
                  let environment = Instances.aliased n :> IEnvironment
                  within 1e-12 environment.OptimalValue (Array.max (environment.ClassValues(PolicyClass.Thresholds(n, 2)))) $"n = {n}"
              rejects (fun () -> Instances.aliased 2 |> ignore) "nothing to hide the type"

          testCase "section 8: structured instances suit thresholds, unstructured ones do not; B = 1.283 at n = 4"
          <| fun () ->
              let gap (model: ChainModel) = Chain.optimalValue model - (ChainPolicyClasses.bestThreshold model).Value
              for n, m in [ 2, 10; 4, 5 ] do
                  let structured = [| for seed in 1UL .. 5UL -> gap (Instances.structured (n, m, seed)) |]
                  let unstructured = [| for seed in 1UL .. 5UL -> gap (Instances.unstructured (n, m, seed)) |]
                  Expect.isTrue (Array.max structured < 0.005) $"{structured}"
                  Expect.isTrue (Array.average unstructured > 0.01) $"{unstructured}"
              within 5e-4 (Chain.range (Instances.structured (4, 10, 1UL))) 1.283 "range"
              within 5e-4 (Chain.range (Instances.structured (8, 5, 1UL))) 1.291 "range"
              Expect.equal (Instances.structured (4, 5, 3UL)) (Instances.structured (4, 5, 3UL)) "seeded"

          testCase "bad pools are rejected"
          <| fun () ->
              let good () = [| [| 0; 1 |] |], [| [| 0.5; 1.0 |] |], [| [| 1.0; 2.0 |] |]
              let make (b, q, c) lambda bins = Pool.Create(b, q, c, lambda, bins) |> ignore
              make (good ()) 0.1 2
              let b, q, c = good ()
              rejects (fun () -> make (b, q, c) 0.1 1) "bin out of range"
              rejects (fun () -> make (b, q, c) -0.1 2) "negative price"
              rejects (fun () -> make (b, [| [| 0.5; 1.5 |] |], c) 0.1 2) "quality above 1"
              rejects (fun () -> make (b, q, [| [| 1.0 |] |]) 0.1 2) "shape"
              rejects (fun () -> make ([||], [||], [||]) 0.1 2) "empty" ]
