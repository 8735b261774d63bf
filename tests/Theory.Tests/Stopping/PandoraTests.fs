module Theory.Tests.PandoraTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private randomDistribution (random: Random) size =
    { Values = Array.init size (fun _ -> random.NextDouble()); Probabilities = ChainTests.randomSimplex random size }

/// Best value over all policies that may open the boxes in any order: backward induction over sets of unopened boxes.
let private freeOrder (distributions: DiscreteDistribution[]) (costs: float[]) outside =
    let rec value unopened best =
        unopened
        |> List.map (fun k ->
            let rest = List.except [ k ] unopened
            Array.fold2 (fun sum x p -> sum + p * value rest (max best x)) -costs[k] distributions[k].Values distributions[k].Probabilities)
        |> List.fold max best
    value [ 0 .. distributions.Length - 1 ] outside

[<Tests>]
let tests =
    testList
        "Examples.Pandora"
        [ testCase "property 11: reservation values solve their equation; uniform and Bernoulli closed forms"
          <| fun () ->
              let random = Random 41
              for _ in 1..500 do
                  let distribution, cost = randomDistribution random (1 + random.Next 5), 0.001 + random.NextDouble()
                  within 1e-12 (Pandora.expectedExcess (distribution, Pandora.reservation (distribution, cost))) cost "E (X - z)^+ = cost"
              for cost in [ 0.01; 0.125; 0.5; 0.8 ] do
                  within 1e-12 (Pandora.uniformExcess (Pandora.reservationUniform cost)) cost "uniform"
                  for p in [ 0.3; 1.0 ] do
                      let distribution = { Values = [| 0.0; 1.0 |]; Probabilities = [| 1.0 - p; p |] }
                      within 1e-12 (Pandora.reservationBernoulli (p, cost)) (Pandora.reservation (distribution, cost)) "Bernoulli"

          testCase "property 11: Moser 1/2, 5/8, 89/128 (and 1 - 2/n for large n)"
          <| fun () ->
              let uniform = Func<_, _> Pandora.uniformExcess
              let w n = Pandora.noRecallThresholds (Array.create n 0.5, Array.create n uniform, Array.zeroCreate n)
              allWithin 1e-15 (w 4) [| 89.0 / 128.0; 5.0 / 8.0; 1.0 / 2.0 |] "thresholds"
              // Gilbert and Mosteller (1966): w_n ~ 1 - 2 / (n + ln n + 1.767...), so n (1 - w) tends to 2.
              within 0.03 (2000.0 * (1.0 - (w 2001).[0])) 2.0 "rate"

          testCase "offers without recall are a jump-free chain: thresholds agree with the exact solver"
          <| fun () ->
              let random = Random 42
              for _ in 1..200 do
                  let distributions = Array.init 3 (fun _ -> randomDistribution random 2)
                  let costs = Array.init 3 (fun _ -> 0.2 * random.NextDouble())
                  let means = distributions |> Array.map (fun distribution -> Pandora.expectedMaximum (distribution, 0.0))
                  let excess =
                      distributions |> Array.map (fun distribution -> Func<_, _>(fun z -> Pandora.expectedExcess (distribution, z)))
                  let w = Pandora.noRecallThresholds (means, excess, costs)
                  let chain =
                      costs,
                      distributions |> Array.map (fun distribution -> distribution.Values),
                      distributions[0].Probabilities,
                      Array.init 2 (fun k -> Array.create 2 distributions[k + 1].Probabilities)
                  let exact = (BruteForce.solve (JumpTests.asJointDistribution chain, 1.0, ActionSet.Chain)).Value
                  within 1e-12 (Pandora.expectedMaximum (distributions[0], w[0]) - costs[0]) exact "value"

          testCase "Weitzman 1979: index policy = identity = backward induction over all opening orders"
          <| fun () ->
              let random = Random 43
              for _ in 1..300 do
                  let n = 1 + random.Next 4
                  let distributions = Array.init n (fun _ -> randomDistribution random (1 + random.Next 3))
                  let costs = Array.init n (fun _ -> 0.02 + 0.3 * random.NextDouble())
                  let outside = 0.4 * random.NextDouble()
                  let index = Pandora.indexPolicyValue (distributions, costs, outside)
                  within 1e-12 index (freeOrder distributions costs outside) "optimal"
                  within 1e-12 index (Pandora.weitzmanIdentity (distributions, costs, outside)) "identity"

          testCase "property 12: with z decreasing, recall in order = the Weitzman identity"
          <| fun () ->
              let random = Random 44
              for _ in 1..200 do
                  let boxes =
                      Array.init 3 (fun _ ->
                          let distribution = randomDistribution random 3 in distribution, 0.02 + 0.2 * random.NextDouble())
                      |> Array.sortByDescending Pandora.reservation
                  let distributions, costs = Array.map fst boxes, Array.map snd boxes
                  let ordered = max 0.1 (Pandora.recallContinuation (distributions, costs, 0, 0.1))
                  within 1e-12 ordered (Pandora.weitzmanIdentity (distributions, costs, 0.1)) "identity"

          testCase "independent signals: jump with recall as a planner = the exact solver, and >= no recall"
          <| fun () ->
              let random = Random 45
              for _ in 1..100 do
                  let distributions = Array.init 3 (fun _ -> randomDistribution random 3)
                  let costs = Array.init 3 (fun _ -> 0.2 * random.NextDouble())
                  let chain =
                      costs,
                      distributions |> Array.map (fun distribution -> distribution.Values),
                      distributions[0].Probabilities,
                      Array.init 2 (fun k -> Array.create 3 distributions[k + 1].Probabilities)
                  let value actions = (BruteForce.solve (JumpTests.asJointDistribution chain, 1.0, actions)).Value
                  within 1e-12 (Recall.plan (Jump.fromChain chain, 1.0)).Outcome.Value (value ActionSet.Recall) "planner"
                  Expect.isTrue (value ActionSet.Recall >= value ActionSet.Chain - 1e-12) "recall helps"

          testCase "property 13: sigma_k >= z_{k+1}, equal when sigma_{k+1} <= z_{k+1}; y - Q_k(y) non-decreasing"
          <| fun () ->
              let random = Random 46
              for _ in 1..100 do
                  let distributions = Array.init 4 (fun _ -> randomDistribution random 2)
                  let costs = Array.init 4 (fun _ -> 0.02 + 0.2 * random.NextDouble())
                  let sigma = Array.init 4 (fun k -> Pandora.recallThreshold (distributions, costs, k))
                  let z = Array.init 4 (fun k -> Pandora.reservation (distributions[k], costs[k]))
                  for k in 0..3 do
                      Expect.isTrue (sigma[k] >= z[k] - 1e-9) "sigma >= z of the next box"
                      if k = 3 || sigma[k + 1] <= z[k] then within 1e-9 sigma[k] z[k] "equality"
                      let gaps = [| for y in 0.0..0.1..1.0 -> y - Pandora.recallContinuation (distributions, costs, k, y) |]
                      Expect.isTrue (Array.pairwise gaps |> Array.forall (fun (a, b) -> a <= b + 1e-12)) "monotone"

          testCase "bad boxes are rejected"
          <| fun () ->
              let distribution = { Values = [| 1.0 |]; Probabilities = [| 1.0 |] }
              rejects (fun () -> Pandora.reservation (distribution, 0.0) |> ignore) "free box"
              rejects (fun () -> Pandora.reservation ({ distribution with Probabilities = [| 0.9 |] }, 0.1) |> ignore) "mass" ]
