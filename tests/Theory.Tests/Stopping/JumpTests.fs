module Theory.Tests.JumpTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// A Markov chain of signals with mean qualities mu_k(S_k), as its parts.
let internal randomChain (random: Random) n m =
    Array.init n (fun _ -> random.NextDouble()),
    Array.init n (fun _ -> Array.init m (fun _ -> random.NextDouble())),
    ChainTests.randomSimplex random m,
    Array.init (n - 1) (fun _ -> Array.init m (fun _ -> ChainTests.randomSimplex random m))

/// The same chain as a joint distribution: one atom per path.
let internal asJointDistribution (costs: float[], means: float[][], initial: float[], steps: float[][][]) =
    let n, m = costs.Length, initial.Length
    let paths = Array.init (int (float m ** float n)) (fun a -> Array.init n (fun k -> (a / int (float m ** float k)) % m))
    let probability (s: int[]) = [ 1 .. n - 1 ] |> List.fold (fun p k -> p * steps[k - 1].[s[k - 1]].[s[k]]) initial[s[0]]
    { Probabilities = Array.map probability paths
      Signals = paths
      Qualities = paths |> Array.map (Array.mapi (fun k s -> means[k].[s]))
      Costs = costs }

[<Tests>]
let tests =
    testList
        "Examples.Jump"
        [ testCase "the planner equals the exact solver on 1,000 Markov distributions"
          <| fun () ->
              let random = Random 21
              for i in 1..1000 do
                  let chain = randomChain random (2 + i % 3) (2 + i % 2)
                  let lambda = 0.5 * random.NextDouble()
                  let planned = (Jump.plan (Jump.fromChain chain, lambda)).Outcome
                  let exact = BruteForce.solve (asJointDistribution chain, lambda, ActionSet.Jump)
                  within 1e-12 planned.Value exact.Value "value"
                  within 1e-9 planned.Quality exact.Quality "quality"
                  within 1e-9 planned.Cost exact.Cost "cost"

          testCase "the chain planner equals the exact solver too: under M older signals are worth nothing"
          <| fun () ->
              let random = Random 25
              for i in 1..500 do
                  let costs, means, initial, steps = randomChain random (2 + i % 3) (2 + i % 2)
                  let lambda = 0.5 * random.NextDouble()
                  let model =
                      { Initial = initial; Kernels = steps; Means = means; ContinueCosts = costs[1..] |> Array.map (fun c -> lambda * c) }
                  let exact = BruteForce.solve (asJointDistribution (costs, means, initial, steps), lambda, ActionSet.Chain)
                  within 1e-12 (Chain.optimalValue model - lambda * costs[0]) exact.Value "value"

          testCase "tables: W = max(mu, Q) >= mu, actions follow the sign of D, last stage stops"
          <| fun () ->
              let random = Random 22
              for _ in 1..200 do
                  let model = Jump.fromChain (randomChain random 4 3)
                  let plan = Jump.plan (model, 0.3)
                  let d = Jump.advantages (model, plan)
                  for k in 0..3 do
                      for s in 0..2 do
                          within 1e-15 (plan.Values[k].[s]) (max (model.Means[k].[s]) (plan.Continuations[k].[s])) "W"
                          Expect.equal (plan.Actions[k].[s] = k) (d[k].[s] >= 0.0) "stop iff D >= 0"
                  Expect.equal (Jump.thresholds (model, plan)).[3] 0 "last stage"

          testCase "property 7: stop sets of every stage are nested in lambda for jumps too"
          <| fun () ->
              // Not claimed by Theorem 2, which is for the chain: the argument (costs are additive, so the extra cost of going
              // on is non-negative in every continuation) holds for any set of later stages.
              let random = Random 23
              for _ in 1..200 do
                  let model = Jump.fromChain (randomChain random 4 3)
                  let stops lambda = (Jump.plan (model, lambda)).Actions |> Array.mapi (fun k row -> row |> Array.map (fun j -> j = k))
                  let few, many = stops 0.1, stops 0.2
                  Array.iter2 (Array.iter2 (fun a b -> Expect.isTrue (not a || b) "nested")) few many

          testCase "property 9: free and martingale-consistent, V* = E mu_n; at a huge price the cheapest entry stops"
          <| fun () ->
              let random = Random 24
              let costs, means, initial, steps = randomChain random 4 3
              // Give every stage the conditional mean of the last quality.
              for k in 2..-1..0 do
                  for s in 0..2 do
                      means[k].[s] <- Array.fold2 (fun sum p v -> sum + p * v) 0.0 (steps[k].[s]) (means[k + 1])
              let model = Jump.fromChain (costs, means, initial, steps)
              let last = Array.fold2 (fun sum p v -> sum + p * v) 0.0 initial means[0]
              within 1e-12 (Jump.plan (model, 0.0)).Outcome.Value last "E mu_n"
              let dear = Jump.plan (model, 1e6)
              Expect.equal dear.Outcome.Cost (Array.min costs) "cheapest"

          testCase "bad models are rejected"
          <| fun () ->
              let costs, means, initial, steps = randomChain (Random 1) 3 2
              rejects (fun () -> Jump.fromChain (costs, means, [| 0.5; 0.6 |], steps) |> ignore) "initial distribution"
              rejects (fun () -> Jump.fromChain (costs, means, initial, steps[..0]) |> ignore) "missing kernel"
              let model = Jump.fromChain (costs, means, initial, steps)
              rejects (fun () -> Jump.plan ({ model with Costs = [| 1.0; nan; 1.0 |] }, 0.1) |> ignore) "NaN cost" ]
