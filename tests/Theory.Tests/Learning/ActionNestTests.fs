/// NEST with jumps, recall and looks (Theorem 18).
module Theory.Tests.Learning.ActionNestTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private feedbacks = [| Feedback.Full; Feedback.StagesRun; Feedback.Returned |]

/// A random class of policies over n actions with m bins. Levels, costs and thus ties lie on a grid of quarters.
let private draw (random: Random) (n: int) (m: int) (count: int) =
    let quarter () = float (random.Next 5) / 4.0
    let answers = Array.init n (fun _ -> random.Next 3 > 0)
    answers[n - 1] <- true
    let policy () =
        let recall = random.Next 2 = 0
        // An answer is at hand for certain behind an answering action that was taken last.
        let next a = Array.init m (fun _ -> if a = n - 1 || (answers[a] && random.Next 2 = 0) then -1 else random.Next(a + 1, n))
        { First = random.Next(0, n); Next = Array.init n next; Recall = recall }
    ActionClass.Create(
        answers,
        Array.init n (fun _ -> quarter () / 4.0),
        Array.init n (fun _ -> Array.init m (fun _ -> quarter ())),
        Array.init count (fun _ -> policy ())
    )

let private query (random: Random) n m =
    { Bins = Array.init n (fun _ -> random.Next m); Qualities = Array.init n (fun _ -> float (random.Next 5) / 4.0) }

/// A policy's walk from its definition, another way: which actions, then which answer.
let private byDefinition (policies: ActionClass) i (bins: int[]) =
    let policy = policies.Policies[i]
    let actions = policy.First |> List.unfold (fun a -> if a < 0 then None else Some(a, policy.Next[a][bins[a]])) |> List.toArray
    let given = actions |> Array.filter (fun a -> policies.Answers[a])
    let answer = if policy.Recall then given |> Array.maxBy (fun a -> policies.Levels[a][bins[a]]) else Array.last given
    { Actions = actions; Answer = answer }

/// Whether playing one policy tells the loss of another.
let private tells feedback (played: ActionWalk) (other: ActionWalk) =
    match feedback with
    | Feedback.Full -> true
    | Feedback.StagesRun -> other.Actions.Length <= played.Actions.Length && other.Actions = played.Actions[.. other.Actions.Length - 1]
    | _ -> other = played

let private states count seed =
    let random = Random seed
    Seq.init count (fun i ->
        let n, m = random.Next(1, 6), random.Next(1, 4)
        let policies = draw random n m (random.Next(1, 12))
        let mutable state = ActionNest.init (policies, feedbacks[i % 3], 1 + random.Next 40)
        for _ in 1 .. random.Next 6 do
            state <- ActionNest.observe (state, query random n m, ActionNest.choose (state, SplitMix64(uint64 (random.Next()))))
        state, query random n m, random)

/// n = 3 stages and a look before the last: threshold policies on every route, with and without recall.
let private routes (levels: int list) (m: int) =
    let answers, costs = [| true; true; false; true |], [| 0.0; 0.05; 0.02; 0.15 |]
    let policies =
        [| for route in [ [ 0; 1; 3 ]; [ 0; 3 ]; [ 0; 1; 2; 3 ]; [ 0; 2; 3 ] ] do
               let open' = List.length route - 1
               for code in 0 .. pown levels.Length open' - 1 do
                   for recall in [ false; true ] do
                       let next = Array.init 4 (fun _ -> Array.create m -1)
                       route
                       |> List.pairwise
                       |> List.iteri (fun i (a, b) ->
                           let threshold = levels[code / pown levels.Length i % levels.Length]
                           next[a] <- Array.init m (fun s -> if s >= threshold then -1 else b))
                       { First = 0; Next = next; Recall = recall } |]
    ActionClass.Create(answers, costs, Array.init 4 (fun _ -> Array.init m (fun s -> float s / float m)), policies)

/// Queries that an adversary fixed beforehand: a first and a last action that take turns in being right, a change in the middle, a
/// signal that lies from the middle on, and honest ones.
let private adversarial (kind: int) (horizon: int) (m: int) (random: Random) =
    Array.init horizon (fun t ->
        let bins = Array.init 4 (fun _ -> random.Next m)
        let late = 2 * t >= horizon
        let right a =
            let honest = random.NextDouble() < float (bins[a] + 1) / float m
            match kind with
            | 0 -> (a = 0) = (t % 2 = 0)
            | 1 -> (a = 3) = late
            | 2 -> if late then not honest else honest
            | _ -> honest
        { Bins = bins; Qualities = Array.init 4 (fun a -> if right a then 1.0 else 0.0) })

[<Tests>]
let tests =
    testList
        "ActionNest"
        [ test "a walk is the policy's own, with jumps, looks and recall; ties go to the earliest" {
              for state, query, _ in states 600 1 do
                  for i in 0 .. state.Class.Policies.Length - 1 do
                      Expect.equal (ActionNest.walk (state.Class, i, query.Bins)) (byDefinition state.Class i query.Bins) "walk"
          }
          test "Theorem 18's estimate: averaged over the policy drawn it is loss o/(o + gamma), and sum w/o is within D" {
              for state, query, _ in states 900 2 do
                  let policies, w = state.Class, ActionNest.weights state
                  let walks = Array.init w.Length (fun i -> byDefinition policies i query.Bins)
                  let logN, d = log (float (max 2 w.Length)), float (ActionNest.depth (policies, state.Feedback))
                  let gamma = if state.Feedback = Feedback.Full then 0.0 else sqrt (logN / (d * float state.Horizon)) / 2.0
                  let o =
                      walks
                      |> Array.map (fun mine ->
                          Array.fold2 (fun s p other -> if tells state.Feedback other mine then s + p else s) 0.0 w walks)
                  within 1e-9 (Array.sum w) 1.0 "weights"
                  Expect.isLessThanOrEqual (Array.fold2 (fun s p o -> s + p / o) 0.0 w o) (d + 1e-9) "sum of w/o"
                  let mean = Array.zeroCreate w.Length
                  w
                  |> Array.iteri (fun i p ->
                      let after = ActionNest.observe (state, query, i)
                      after.Losses |> Array.iteri (fun j x -> mean[j] <- mean[j] + p * (x - state.Losses[j])))
                  walks
                  |> Array.iteri (fun j walk ->
                      let loss = ActionNest.loss (policies, walk, query.Qualities)
                      let cost = walk.Actions |> Array.sumBy (fun a -> policies.Costs[a])
                      within 1e-12 loss ((1.0 - query.Qualities[walk.Answer] + cost) / policies.Range) "loss"
                      Expect.isTrue (loss >= 0.0 && loss <= 1.0) "loss in [0,1]"
                      within 1e-9 mean[j] (loss * o[j] / (o[j] + gamma)) "mean estimate")
          }
          test "what the feedback does not show is not read" {
              for state, query, random in states 600 3 do
                  if state.Feedback <> Feedback.Full then
                      let i = random.Next state.Class.Policies.Length
                      let walk = ActionNest.walk (state.Class, i, query.Bins)
                      let run a = Array.contains a walk.Actions
                      let bins = query.Bins |> Array.mapi (fun a s -> if run a then s else -1)
                      let graded a = if state.Feedback = Feedback.StagesRun then run a else a = walk.Answer
                      let qualities = query.Qualities |> Array.mapi (fun a q -> if graded a then q else nan)
                      let shown = ActionNest.observe (state, { Bins = bins; Qualities = qualities }, i)
                      Expect.equal shown (ActionNest.observe (state, query, i)) "the same state"
          }
          test "on a chain, with the answer alone graded, it is NEST: D = n, the same losses" {
              let random = Random 4
              for _ in 1..100 do
                  let n, m = random.Next(2, 5), random.Next(1, 4)
                  let thresholds = PolicyClass.Thresholds(n, m)
                  let steps = Array.init (n - 1) (fun _ -> float (random.Next 4) / 8.0)
                  let next (stop: bool[][]) a = Array.init m (fun s -> if a = n - 1 || stop[a][s] then -1 else a + 1)
                  let policies =
                      Array.init (PolicyClass.Size thresholds) (fun i ->
                          { First = 0; Next = Array.init n (next (PolicyClass.Policy(thresholds, i))); Recall = false })
                  let levels = Array.init n (fun _ -> Array.zeroCreate m)
                  let actions = ActionClass.Create(Array.create n true, Array.append [| 0.0 |] steps, levels, policies)
                  Expect.equal (actions.Paths, actions.Leaves) (n, n) "paths and leaves"
                  within 1e-12 actions.Range (1.0 + Array.sum steps) "B"
                  let horizon = 5 + random.Next 30
                  let settings =
                      { PolicyClass = thresholds
                        Feedback = Feedback.Returned
                        Side = SideExpert.None
                        Horizon = horizon
                        Range = actions.Range
                        ContinueCosts = steps
                        Seed = 0UL
                        AuditRate = 1.0 }
                  let mutable mine, theirs = ActionNest.init (actions, Feedback.Returned, horizon), Nest.init settings
                  for _ in 1..5 do
                      let query = query random n m
                      let chosen = ActionNest.choose (mine, SplitMix64(uint64 (random.Next())))
                      let stop = (ActionNest.walk (actions, chosen, query.Bins)).Answer
                      let outcome = { Bins = query.Bins; Qualities = query.Qualities; Costs = Array.scan (+) 0.0 steps }
                      mine <- ActionNest.observe (mine, query, chosen)
                      theirs <- Nest.observe (theirs, outcome, stop)
                  allWithin 1e-9 mine.Losses theirs.Losses "losses"
                  within 1e-9 mine.Incurred theirs.Incurred "incurred"
                  within
                      1e-9
                      (ActionNest.regretBound (actions, Feedback.Returned, horizon))
                      (2.0 * actions.Range * sqrt (float (n * horizon) * log (float (PolicyClass.Size thresholds))))
                      "the bound"
          }
          test "Theorem 18: 2,000 runs against adversarial queries, mean regret within the bound at every feedback" {
              let horizon, m, runs = 200, 3, 2000
              let policies = routes [ 0; 2; 3 ] m
              let random = Random 6
              for feedback in feedbacks do
                  let worst =
                      [| for kind in 0..3 do
                             let queries = adversarial kind horizon m random
                             let losses =
                                 queries
                                 |> Array.map (fun query ->
                                     Array.init policies.Policies.Length (fun i ->
                                         ActionNest.loss (policies, ActionNest.walk (policies, i, query.Bins), query.Qualities)))
                             let best = losses |> Array.reduce (Array.map2 (+)) |> Array.min
                             let regrets =
                                 Array.init (runs / 4) (fun run ->
                                     let source = SplitMix64(uint64 (runs * kind + run))
                                     let mutable state = ActionNest.init (policies, feedback, horizon)
                                     for query in queries do
                                         state <- ActionNest.observe (state, query, ActionNest.choose (state, source))
                                     policies.Range * (state.Incurred - best))
                             let mean = Array.average regrets
                             let error = sqrt ((regrets |> Array.averageBy (fun x -> (x - mean) ** 2.0)) / float regrets.Length)
                             Expect.isLessThan
                                 mean
                                 (ActionNest.regretBound (policies, feedback, horizon) + 3.0 * error)
                                 $"{feedback}, queries of kind {kind}"
                             mean |]
                      |> Array.max
                  // No learner does better than half of the queries that take turns against both ends.
                  Expect.isGreaterThan worst 0.0 "the adversary bites"
                  printfn
                      "Theorem 18, %O: D = %d, worst mean regret %.1f, bound %.1f"
                      feedback
                      (ActionNest.depth (policies, feedback))
                      worst
                      (ActionNest.regretBound (policies, feedback, horizon))
          }
          test "classes that do not hold together are refused" {
              let policy = { First = 0; Next = [| [| 1; -1 |]; [| -1; -1 |] |]; Recall = true }
              let create answers costs policy =
                  ActionClass.Create(answers, costs, Array.init 2 (fun _ -> [| 0.0; 1.0 |]), [| policy |]) |> ignore
              create [| true; true |] [| 0.0; 0.1 |] policy
              rejects (fun () -> create [| false; true |] [| 0.0; 0.1 |] policy) "an answer before there is one"
              rejects (fun () -> create [| true; true |] [| 0.0; -0.1 |] policy) "a cost below 0"
              rejects (fun () -> create [| true; true |] [| 0.0 |] policy) "a cost too few"
              rejects (fun () -> create [| true; true |] [| 0.0; 0.1 |] { policy with First = 2 }) "no such action"
              rejects
                  (fun () -> create [| true; true |] [| 0.0; 0.1 |] { policy with Next = [| [| 0; -1 |]; [| -1; -1 |] |] })
                  "no way back"
              rejects (fun () -> create [| true; true |] [| 0.0; 0.1 |] { policy with Next = [| [| 1; -1 |] |] }) "a row too few"
              let actions = ActionClass.Create([| true; true |], [| 0.0; 0.1 |], Array.init 2 (fun _ -> [| 0.0; 1.0 |]), [| policy |])
              rejects (fun () -> ActionNest.init (actions, Feedback.Full, 0) |> ignore) "no horizon"
              let state = ActionNest.init (actions, Feedback.Full, 1)
              rejects
                  (fun () -> ActionNest.observe (state, { Bins = [| 0; 0 |]; Qualities = [| 0.0; 0.0 |] }, 1) |> ignore)
                  "no such policy"
          } ]
