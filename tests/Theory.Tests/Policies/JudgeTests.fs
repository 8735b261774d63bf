/// Stages that judge an earlier answer: legal at any time, worth their price where they should be, exact on small cases.
module Theory.Tests.JudgeTests

open System
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests

let private settings =
    { Shape = { Knots = 4; Products = true; Confidences = true }; Penalty = 1.0; Realised = 0.5; Window = 4; Folds = 5 }

/// Stage 0 writes, stage 1 judges its answer, stage 2 writes. Signals have m bins; the judge errs with the given chance, the
/// writers' own signals say little. Atoms: right answers x signals, with the judge's quality that of stage 0.
let private cascade (random: Random) m (judgeErrs: float) (judgeCost: float) : JointDistribution * int[] =
    let atoms = ResizeArray()
    let rightFirst, rightLast = 0.4 + 0.3 * random.NextDouble(), 0.85 + 0.1 * random.NextDouble()
    let lean right strength s =
        let x = float s / float (m - 1)
        let weight t = 1.0 + strength * (if right then t else 1.0 - t)
        weight x / (Seq.sumBy (fun s -> weight (float s / float (m - 1))) (seq { 0 .. m - 1 }))
    let strength = random.NextDouble()
    for first in [ true; false ] do
        for last in [ true; false ] do
            for s0 in 0 .. m - 1 do
                for s1 in [ 0; m - 1 ] do
                    for s2 in 0 .. m - 1 do
                        let p =
                            (if first then rightFirst else 1.0 - rightFirst)
                            * (if last then rightLast else 1.0 - rightLast)
                            * lean first strength s0
                            * (if (s1 > 0) = first then 1.0 - judgeErrs else judgeErrs)
                            * lean last strength s2
                        let q, r = (if first then 1.0 else 0.0), (if last then 1.0 else 0.0)
                        if p > 0.0 then atoms.Add(p, [| s0; s1; s2 |], [| q; q; r |])
    { Probabilities = atoms |> Seq.map (fun (p, _, _) -> p) |> Seq.toArray
      Signals = atoms |> Seq.map (fun (_, s, _) -> s) |> Seq.toArray
      Qualities = atoms |> Seq.map (fun (_, _, q) -> q) |> Seq.toArray
      Costs = [| 1.0; judgeCost; 8.0 |] },
    [| -1; 0; -1 |]

/// The best value of any policy with recall, by plain enumeration of what can be known.
let private bruteForce (d: JointDistribution) (judges: int[]) (lambda: float) =
    let n = d.Costs.Length
    let rec value (ran: int list) (atoms: int[]) =
        let last =
            match ran with
            | [] -> -1
            | k :: _ -> k
        let stop = ran |> Seq.map (fun k -> atoms |> Seq.sumBy (fun a -> d.Probabilities[a] * d.Qualities[a][k]))
        let go =
            seq { last + 1 .. n - 1 }
            |> Seq.filter (fun k -> judges[k] < 0 || List.contains judges[k] ran)
            |> Seq.map (fun k ->
                let mass = atoms |> Seq.sumBy (fun a -> d.Probabilities[a])
                let later = atoms |> Array.groupBy (fun a -> d.Signals[a][k]) |> Seq.sumBy (fun (_, group) -> value (k :: ran) group)
                later - lambda * d.Costs[k] * mass)
        Seq.append stop go |> Seq.max
    value [] [| 0 .. d.Probabilities.Length - 1 |]

let private draw d judges m count seed = (SyntheticCascade.draw d m count seed).WithJudges judges

let private exact (d: JointDistribution) judges m lambda (policy: IStoppingPolicy) =
    let atoms = (SyntheticCascade.ofAtoms d m).WithJudges judges
    let outcome = Replay.run (policy, atoms, [| 0 .. atoms.Queries - 1 |])
    Array.fold2 (fun sum p (q, c) -> sum + p * (q - lambda * c)) 0.0 d.Probabilities (Array.zip outcome.Quality outcome.Cost)

[<Tests>]
let tests =
    testList
        "Examples.Judge"
        [ test "the plan is close to the best that enumeration finds, and never above it" {
              for seed in 1..4 do
                  let random = Random seed
                  let d, judges = cascade random 3 (0.2 * random.NextDouble()) (0.1 + random.NextDouble())
                  let data = draw d judges 3 20_000 (50 + seed)
                  let planner = Planner(data, SyntheticCascade.allRows data, ActionSet.Recall, settings)
                  for lambda in [ 0.0; 0.01; 0.03; 0.06 ] do
                      let best = bruteForce d judges lambda
                      let value = exact d judges 3 lambda (planner.Plan lambda).Policy
                      Expect.isTrue (value <= best + 1e-9) $"seed {seed}, lambda {lambda}: {value} above the optimum {best}"
                      Expect.isTrue (value >= best - 0.008) $"seed {seed}, lambda {lambda}: {value} far below {best}"
          }

          test "a sure and cheap judge is asked, a dear one is not" {
              let asked judgeCost =
                  let d, judges = cascade (Random 1) 3 0.02 judgeCost
                  let data = draw d judges 3 8_000 7
                  let policy = (Planner(data, SyntheticCascade.allRows data, ActionSet.Recall, settings).Plan 0.04).Policy
                  let middle = SyntheticCascade.confidenceOf 3 1
                  policy.Decide(Observation(1u, ReadOnlySpan [| middle; nan; nan |]))
              Expect.equal (asked 0.3) (Decision.GoTo 1) "for a third of the first stage's cost"
              Expect.notEqual (asked 12.0) (Decision.GoTo 1) "for more than the last stage's"
          }

          test "no policy runs a judge before the answer that it judges" {
              let random = Random 5
              for _ in 1..20 do
                  let n = random.Next(2, 7)
                  let judges = Array.init n (fun k -> if k > 0 && random.Next 3 = 0 then random.Next k else -1)
                  let judges = judges |> Array.map (fun j -> if j >= 0 && judges[j] >= 0 then -1 else j)
                  let queries = 60
                  let quality = Array.init (queries * n) (fun _ -> float (random.Next 2))
                  for q in 0 .. queries - 1 do
                      for k in 0 .. n - 1 do
                          if judges[k] >= 0 then quality[q * n + k] <- quality[q * n + judges[k]]
                  let data =
                      RecordedCascade
                          .Create(
                              queries,
                              n,
                              Array.init (queries * n) (fun _ -> float (random.Next 4)),
                              Array.init (queries * n) (fun _ -> if random.Next 6 = 0 then nan else random.NextDouble()),
                              quality
                          )
                          .WithJudges
                          judges
                  for actions in [ ActionSet.Jump; ActionSet.Recall ] do
                      let planner = Planner(data, [| 0 .. queries - 1 |], actions, { settings with Window = random.Next(1, 5) })
                      for lambda in [ 0.0; 0.05; 1.0 ] do
                          let policy = (planner.Plan lambda).Policy
                          for q in 0 .. queries - 1 do
                              let mutable ran, going = 0u, true
                              while going do
                                  let confidence = ReadOnlySpan(data.Confidence, q * n, n)
                                  let decision = policy.Decide(Observation(ran, confidence))
                                  if decision.Stop then
                                      Expect.isTrue (ran &&& (1u <<< decision.Stage) <> 0u) "answers with what ran"
                                      going <- false
                                  else
                                      Expect.isTrue (data.MayRun(decision.Stage, ran)) $"{decision.Stage} after {ran:B}"
                                      ran <- ran ||| (1u <<< decision.Stage)
          }

          test "judges that cannot be are refused" {
              let data = RecordedCascade.Create(1, 3, [| 1.0; 1.0; 1.0 |], [| 0.5; 0.5; 0.5 |], [| 1.0; 1.0; 0.0 |])
              let refused judges = Expect.throwsT<ArgumentException> (fun () -> data.WithJudges judges |> ignore) $"%A{judges}"
              refused [| -1; 0 |]
              refused [| 0; -1; -1 |]
              refused [| -1; 2; -1 |]
              refused [| -1; 0; 1 |]
              refused [| -1; -1; 0 |] // another quality than the answer that it judges
              Expect.equal (data.WithJudges [| -1; 0; -1 |]).Writers [| 0; 2 |] "stages that write"
              Expect.equal (data.Only [| 0; 2 |]).Quality [| 1.0; 0.0 |] "their records alone"
          } ]
