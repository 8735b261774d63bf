module Theory.Tests.JointDistributionTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// A deterministic policy as a tree: answer with a stage, or run a stage and branch on its bin.
type private Tree =
    | Answer of int
    | Run of int * Tree[]

/// Every policy of an action set for n stages of m bins: the independent reference of the solver.
let private allTrees (actions: ActionSet) n m =
    let rec choices (options: Tree list) width =
        if width = 0 then
            [ [] ]
        else
            [ for rest in choices options (width - 1) do
                  for t in options -> t :: rest ]
    let rec after (ran: int list) =
        let last = List.head ran
        let answers = (if actions = ActionSet.Recall then ran else [ last ]) |> List.map Answer
        let furthest = if actions = ActionSet.Chain then min (last + 1) (n - 1) else n - 1
        answers @ List.collect (run ran) [ last + 1 .. furthest ]
    and run ran j = choices (after (j :: ran)) m |> List.map (fun branches -> Run(j, List.toArray branches))
    List.collect (run []) (if actions = ActionSet.Chain then [ 0 ] else [ 0 .. n - 1 ]) |> List.toArray

let private treeValue (distribution: JointDistribution) lambda tree =
    let mutable total = 0.0
    for a in 0 .. distribution.Probabilities.Length - 1 do
        let mutable at, reward, walking = tree, 0.0, true
        while walking do
            match at with
            | Answer k ->
                reward <- reward + distribution.Qualities[a][k]
                walking <- false
            | Run(j, branches) ->
                reward <- reward - lambda * distribution.Costs[j]
                at <- branches[distribution.Signals[a][j]]
        total <- total + distribution.Probabilities[a] * reward
    total

let private bruteForce distribution lambda trees = trees |> Array.map (treeValue distribution lambda) |> Array.max

/// One atom per combination of bins: any joint distribution of signals, with any conditional mean qualities.
let internal randomDistribution (random: Random) n m =
    let combinations = int (float m ** float n)
    let weights = Array.init combinations (fun _ -> random.NextDouble() ** 2.0)
    { Probabilities = weights |> Array.map (fun w -> w / Array.sum weights)
      Signals = Array.init combinations (fun a -> Array.init n (fun k -> (a / int (float m ** float k)) % m))
      Qualities = Array.init combinations (fun _ -> Array.init n (fun _ -> random.NextDouble()))
      Costs = Array.init n (fun _ -> random.NextDouble()) }

let private agrees (actions: ActionSet) sizes instances =
    testCase $"Thm 1: {actions} = brute force over all policies, {instances} random distributions of each of {sizes}"
    <| fun () ->
        let random = Random 12
        for n, m in sizes do
            let trees = allTrees actions n m
            for _ in 1..instances do
                let distribution, lambda = randomDistribution random n m, 0.5 * random.NextDouble()
                within 1e-12 (BruteForce.solve (distribution, lambda, actions)).Value (bruteForce distribution lambda trees) $"n={n}, m={m}"

let private counterExample (costs: float[]) =
    { Probabilities = Array.create 3 (1.0 / 3.0)
      Signals = Array.init 3 (fun s -> [| s; 0 |])
      Qualities = [| [| 0.05; 0.06 |]; [| 0.5; 0.9 |]; [| 0.95; 0.97 |] |]
      Costs = costs }

[<Tests>]
let tests =
    testList
        "Examples.JointDistribution"
        [ agrees ActionSet.Chain [ 1, 3; 2, 3; 3, 2; 3, 3 ] 1000
          agrees ActionSet.Jump [ 2, 3; 3, 2; 3, 3; 4, 2 ] 1000
          agrees ActionSet.Recall [ 2, 2; 2, 3 ] 1000

          testCase "Thm 1: Recall = brute force over its 15,902 policies, 1,000 random distributions, n = 3, m = 2"
          <| fun () ->
              let trees = allTrees ActionSet.Recall 3 2
              Expect.equal trees.Length (126 * 126 + 25 + 1) "number of policies"
              let random = Random 13
              for _ in 1..1000 do
                  let distribution, lambda = randomDistribution random 3 2, 0.5 * random.NextDouble()
                  within
                      1e-12
                      (BruteForce.solve (distribution, lambda, ActionSet.Recall)).Value
                      (bruteForce distribution lambda trees)
                      "value"

          testCase "chain <= jump <= recall <= oracle, and value = quality - lambda cost"
          <| fun () ->
              let random = Random 14
              for _ in 1..500 do
                  let distribution, lambda = randomDistribution random 3 3, random.NextDouble()
                  let of' actions = BruteForce.solve (distribution, lambda, actions)
                  let chain, jump, recall = of' ActionSet.Chain, of' ActionSet.Jump, of' ActionSet.Recall
                  Expect.isTrue (chain.Value <= jump.Value + 1e-12 && jump.Value <= recall.Value + 1e-12) "nested"
                  Expect.isTrue (recall.Value <= BruteForce.oracle (distribution, lambda) + 1e-12) "oracle"
                  for v in [ chain; jump; recall ] do
                      within 1e-12 v.Value (v.Quality - lambda * v.Cost) "parts"

          testCase "property 8, every action set: value convex and non-increasing, slope -E C; cost, quality fall"
          <| fun () ->
              let random = Random 15
              for _ in 1..100 do
                  let distribution = randomDistribution random 3 2
                  for actions in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] do
                      let at = [| for i in 0..20 -> BruteForce.solve (distribution, 0.05 * float i, actions) |]
                      for a, b in Array.pairwise at do
                          Expect.isTrue (b.Value <= a.Value + 1e-12) "non-increasing"
                          Expect.isTrue (b.Cost <= a.Cost + 1e-12 && b.Quality <= a.Quality + 1e-12) "cost and quality"
                          // Convexity with slopes -E C: the chord lies between the slopes at its ends.
                          let slope = (b.Value - a.Value) / 0.05
                          Expect.isTrue (-a.Cost <= slope + 1e-9 && slope <= -b.Cost + 1e-9) "slope"

          testCase "property 5: hopeless queries, optimum .600 against .570 for the best threshold"
          <| fun () ->
              let distribution = counterExample [| 0.0; 0.1 |]
              within 1e-12 (BruteForce.solve (distribution, 1.0, ActionSet.Chain)).Value (1.8 / 3.0) "optimum"
              let best =
                  [ 0..3 ]
                  |> List.map (fun theta ->
                      let branch s = if s >= theta then Answer 0 else Run(1, [| Answer 1 |])
                      treeValue distribution 1.0 (Run(0, Array.init 3 branch)))
                  |> List.max
              within 1e-12 best (1.71 / 3.0) "best threshold"
              // D_1 = mu_1 - mu_2 + .1 = .09, -.3, .08: stop, continue, stop.
              Expect.isFalse (SingleCrossing.holds [| 0.09; -0.3; 0.08 |]) "two-sided stopping region"

          testCase "bad distributions are rejected"
          <| fun () ->
              let distribution = counterExample [| 0.0; 0.1 |]
              let bad distribution lambda message =
                  rejects (fun () -> BruteForce.solve (distribution, lambda, ActionSet.Jump) |> ignore) message
              bad { distribution with Probabilities = [| 0.5; 0.5; 0.5 |] } 1.0 "mass 1.5"
              bad distribution -1.0 "negative price"
              bad { distribution with Costs = [| 1.0 |] } 1.0 "shapes" ]
