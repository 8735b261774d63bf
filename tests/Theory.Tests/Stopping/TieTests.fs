/// What planners do where stopping and going on are worth the same: models on a grid of quarters, where sums are exact, so that ties
/// are ties; with zero probabilities, free stages and costs above 0.3 among them.
module Theory.Tests.TieTests

open System
open Expecto
open OptimalStopping.Theory

/// A distribution of m outcomes in quarters, zeros among them.
let internal quarters (random: Random) m =
    let p = Array.zeroCreate m
    for _ in 1..4 do
        let s = random.Next m
        p[s] <- p[s] + 0.25
    p

let private quarter (random: Random) most = 0.25 * float (random.Next(most + 1))

let internal chain (random: Random) n m : ChainModel =
    { Initial = quarters random m
      Kernels = Array.init (n - 1) (fun _ -> Array.init m (fun _ -> quarters random m))
      Means = Array.init n (fun _ -> Array.init m (fun _ -> quarter random 4))
      ContinueCosts = Array.init (n - 1) (fun _ -> quarter random 2) }

let private jump (random: Random) n m : JumpModel =
    { Costs = Array.init n (fun _ -> quarter random 2)
      Means = Array.init n (fun _ -> Array.init m (fun _ -> quarter random 4))
      Entry = Array.init n (fun _ -> quarters random m)
      Kernels = Array.init n (fun k -> Array.init n (fun j -> if j > k then Array.init m (fun _ -> quarters random m) else [||])) }

let private dot p x = Array.fold2 (fun sum a b -> sum + a * b) 0.0 p x

/// The first of the best among offers in order, where staying put comes first.
let private first (offers: (int * float)[]) =
    let best = offers |> Array.map snd |> Array.max
    offers |> Array.find (fun (_, value) -> value = best) |> fst

[<Tests>]
let tests =
    testList
        "Examples.Ties"
        [ testCase "chain: a tie stops, in the plan and in its thresholds"
          <| fun () ->
              let random = Random 151
              let mutable ties = 0
              for _ in 1..500 do
                  let model = chain random 3 3
                  let plan = Chain.plan model
                  let stop = Chain.policy plan
                  for k in 0..1 do
                      for s in 0..2 do
                          let onward = dot model.Kernels[k].[s] plan.W[k + 1] - model.ContinueCosts[k]
                          if onward = model.Means[k].[s] then ties <- ties + 1
                          Expect.equal stop[k].[s] (model.Means[k].[s] >= onward) $"stage {k}, bin {s}"
                      let least = Seq.find (fun theta -> Array.forall id stop[k].[theta..]) (seq { 0..3 })
                      Expect.equal plan.Thresholds[k] least "threshold"
              Expect.isGreaterThan ties 100 "ties were met"

          testCase "a threshold rule stops at its threshold itself; a plan's ends are always and never"
          <| fun () ->
              let rule = ThresholdRule.Create [| 0.5; 0.75 |]
              Expect.equal [ for x in [ 0.25; 0.5; 0.75 ] -> rule.Stops(0, x) ] [ false; true; true ] "at the threshold"
              Expect.isTrue (rule.Stops(2, 0.0)) "the last stage"
              Expect.isFalse (rule.Stops(1, nan)) "no confidence"
              Expect.equal (rule.StopStage(ReadOnlySpan [| 0.25; 0.75; 0.0 |])) 1 "stage"
              Expect.equal (rule.StopStage(ReadOnlySpan [| 0.25; 0.5; 0.0 |])) 2 "through"
              let plan = { W = [||]; Q = [||]; D = [||]; Thresholds = [| 0; 1; 2; 3 |] }
              let edges = Array.create 4 [| 0.25; 0.75 |]
              Expect.equal (ThresholdRule.FromPlan(plan, edges)).Thresholds [| -infinity; 0.25; 0.75; infinity |] "lower edges"

          testCase "jump: a tie stops, and of equal later stages the earliest runs; the earliest of equal entries"
          <| fun () ->
              let random = Random 152
              let mutable ties = 0
              for _ in 1..500 do
                  let n, m = 4, 2
                  let model = jump random n m
                  let plan = Jump.plan (model, 1.0)
                  for k in 0 .. n - 1 do
                      for s in 0 .. m - 1 do
                          let offers =
                              Array.append
                                  [| k, model.Means[k].[s] |]
                                  [| for j in k + 1 .. n - 1 -> j, dot model.Kernels[k].[j].[s] plan.Values[j] - model.Costs[j] |]
                          if offers.Length - (offers |> Array.distinctBy snd).Length > 0 then ties <- ties + 1
                          Expect.equal plan.Actions[k].[s] (first offers) $"stage {k}, bin {s}"
                  Expect.equal plan.Entry (first [| for k in 0 .. n - 1 -> k, dot model.Entry[k] plan.Values[k] - model.Costs[k] |]) "entry"
              Expect.isGreaterThan ties 500 "ties were met"

          testCase "recall: a tie stops, of equal later stages the earliest runs, and thresholds are the actions'"
          <| fun () ->
              let random = Random 153
              let mutable ties = 0
              for _ in 1..300 do
                  let n, m = 3, 2
                  let model = jump random n m
                  let plan = Recall.plan (model, 1.0)
                  let count = plan.Levels.Length
                  for k in 0 .. n - 1 do
                      for s in 0 .. m - 1 do
                          for b in plan.LevelOf[k].[s] .. count - 1 do
                              let ahead j =
                                  let worth t = plan.Values[j].[t * count + max b plan.LevelOf[j].[t]]
                                  dot model.Kernels[k].[j].[s] (Array.init m worth) - model.Costs[j]
                              let offers = Array.append [| k, plan.Levels[b] |] [| for j in k + 1 .. n - 1 -> j, ahead j |]
                              if offers.Length - (offers |> Array.distinctBy snd).Length > 0 then ties <- ties + 1
                              Expect.equal (plan.Next(k, s, b)) (first offers) $"stage {k}, bin {s}, level {b}"
                              Expect.equal
                                  (b >= plan.Thresholds[k].[s])
                                  (Seq.forall (fun c -> plan.Next(k, s, c) = k) (seq { b .. count - 1 }))
                                  "threshold"
              Expect.isGreaterThan ties 500 "ties were met" ]
