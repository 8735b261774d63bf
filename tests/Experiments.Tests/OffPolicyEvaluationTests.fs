module Experiments.Tests.OffPolicyEvaluationTests

open System
open System.Collections.Generic
open System.Text
open System.Text.Json
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Experiments
open OptimalStopping.Theory.Policies
open Support

let private world = lazy (TraceFiles.withLines (TraceFiles.cascade 3000 33) TraceReader.ReadTable)

let private fault action =
    try
        action () |> ignore
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

/// What a policy does on a recorded query: the stages that run, in order, and the one that answers.
let private trajectory (policy: IStoppingPolicy) (q: int) =
    let data = world.Value.Cascade
    let confidence = Array.sub data.Confidence (q * data.Stages) data.Stages
    let rec go ran (asked: int list) =
        let decision = policy.Decide(Observation(ran, ReadOnlySpan confidence))
        if decision.Stop then List.rev asked, decision.Stage else go (ran ||| (1u <<< decision.Stage)) (decision.Stage :: asked)
    go 0u []

let private decision (q: int) (asked: int list) (answered: int) (propensity: float) =
    let data = world.Value.Cascade
    LoggedDecision(
        $"q{q}",
        "mixture",
        propensity,
        [| for k in asked ->
               let i = q * data.Stages + k
               LoggedStage(world.Value.Models[k], data.Cost[i], Nullable data.Confidence[i]) |],
        List.findIndex ((=) answered) asked,
        data.Quality[q * data.Stages + answered]
    )

/// A log of a mixture of policies on random queries, each with the probability of all that would have done the same.
let private logOf (mixture: (float * IStoppingPolicy) list) (count: int) (seed: int) =
    let random = Random seed
    DecisionLog(
        [| for _ in 1..count do
               let q = random.Next world.Value.Cascade.Queries
               let u = random.NextDouble()
               let paths = mixture |> List.map (fun (p, policy) -> p, trajectory policy q)
               let rec draw (left: float) =
                   function
                   | [ _, path ] -> path
                   | (p, path) :: rest -> if left < p then path else draw (left - p) rest
                   | [] -> failwith "no policy"
               let asked, answered = draw u paths
               let propensity = paths |> List.sumBy (fun (p, path) -> if path = (asked, answered) then p else 0.0)
               decision q asked answered propensity |],
        0
    )

let private single k = ThresholdCascade.Fixed(4, k) :> IStoppingPolicy

let private calibrated = lazy (PolicyCalibration.Run(world.Value, CalibrationOptions(0.1, 0.1, Family = "threshold")))

let private policies = [| struct ("policy.json", calibrated.Value) |]

let private row (report: OffPolicyReport) name = report.Rows |> Seq.find (fun r -> r.Policy = name)

/// Over many logs: unbiased against the full log, and the intervals hold it.
let private holds (logs: DecisionLog[]) (files: struct (string * PolicyFile)[]) (name: string) (quality: float) (cost: float) =
    let rows = logs |> Array.Parallel.map (fun log -> row (OffPolicyEvaluation.Run(log, files)) name)
    let check title (truth: float) bias (of': OffPolicyRow -> OptimalStopping.Theory.Interval) =
        let values = rows |> Array.map (fun r -> (of' r).Estimate)
        let mean = Array.average values
        let error = sqrt (Array.averageBy (fun x -> (x - mean) ** 2.0) values / float rows.Length)
        Expect.isLessThan (abs (mean - truth)) (4.0 * error + bias + 1e-9) $"{name}, {title}: {mean}, full log {truth}"
        let missed = rows |> Array.filter (fun r -> truth < (of' r).Low || truth > (of' r).High) |> Array.length
        Expect.isLessThanOrEqual (float missed / float rows.Length) 0.1 $"{name}, {title}: missed"
    check "inverse propensity" quality 0.0 _.InversePropensity
    check "self-normalised" quality 0.005 _.SelfNormalised
    check "doubly robust" quality 0.0 _.DoublyRobust
    check "cost" cost 0.0 _.Cost

[<Tests>]
let tests =
    testList
        "OffPolicyEvaluation"
        [ test "one model a query: every model's value, against the full log" {
              let logs = Array.init 100 (logOf [ 0.5, single 0; 0.2, single 1; 0.1, single 2; 0.2, single 3 ] 600)
              let rows = [| 0 .. world.Value.Cascade.Queries - 1 |]
              for k in 0..3 do
                  holds logs [||] world.Value.Models[k] (world.Value.Cascade.MeanQuality(rows, k)) (world.Value.Cascade.MeanCost(rows, k))
          }
          test "a cascade's policy file, from the log of a mixture of cascades, against the full log" {
              let own = calibrated.Value.Policy
              let logs = Array.init 100 (logOf [ 0.3, own; 0.5, ThresholdCascade(4, [| 0; 1; 3 |], [| 0.4; 0.6 |]); 0.2, single 3 ] 600)
              let outcome = Replay.run (own, world.Value.Cascade, [| 0 .. world.Value.Cascade.Queries - 1 |])
              holds logs policies "policy.json" (Array.average outcome.Quality) (Array.average outcome.Cost)
          }
          test "what a log does not tell is refused or named" {
              let never = logOf [ 0.5, single 1; 0.5, single 2 ] 400 1
              Expect.stringContains
                  (fault (fun () -> OffPolicyEvaluation.Run(never, policies)))
                  "log: expected decisions as 'policy.json' would have made them, got none among 400"
                  "never"
              let report = OffPolicyEvaluation.Run(never, [||])
              Expect.equal [ for r in report.Rows -> r.Policy ] [ OffPolicyEvaluation.AsLogged; "m1"; "m2" ] "the models that answered"
              // Half of what it would have done never had a chance.
              let half =
                  DecisionLog(
                      [| for q in 0..1999 ->
                             let asked, answered = trajectory calibrated.Value.Policy q
                             if q % 2 = 0 then decision q asked answered 1.0 else decision q [ 0; 1; 2; 3 ] 0 1.0 |],
                      0
                  )
              Expect.stringContains
                  (fault (fun () -> OffPolicyEvaluation.Run(half, policies)))
                  "got weights of 0.5 on average instead of 1: the log lacks part of what it would have done"
                  "half"
              Expect.stringContains
                  (fault (fun () -> OffPolicyEvaluation.Run(never, [||], 0.7)))
                  "propensity: expected at least the floor 0.7, got 0.5"
                  "floor"
              let foreign = DecisionLog([| LoggedDecision("a", "", 1.0, [| LoggedStage("other", 1.0, Nullable()) |], 0, 1.0) |], 0)
              Expect.stringContains
                  (fault (fun () -> OffPolicyEvaluation.Run(foreign, policies)))
                  "expected a policy of the log's models, got m0, m1, m2, m3 and in the log other"
                  "models"
          }
          test "logs are read as they are written; a propensity that is missing or 0 has its line named" {
              let log = logOf [ 0.5, calibrated.Value.Policy; 0.5, single 3 ] 50 7
              let lines =
                  [| for d in log.Decisions ->
                         use stream = new IO.MemoryStream()
                         using (new Utf8JsonWriter(stream)) d.Write
                         Encoding.UTF8.GetString(stream.ToArray()) |]
              TraceFiles.withLines lines (fun path ->
                  let back = DecisionLog.Read path
                  Expect.equal (back.Decisions.Count, back.Ungraded) (50, 0) "all"
                  for a, b in Seq.zip back.Decisions log.Decisions do
                      Expect.equal
                          (a.Id, a.Policy, a.Propensity, a.Answered, a.Quality)
                          (b.Id, b.Policy, b.Propensity, b.Answered, b.Quality)
                          "decision"
                      Expect.sequenceEqual a.Stages b.Stages "stages")
              let fine = """{"id":"a","propensity":0.5,"stages":[{"model":"m","cost":1,"confidence":0.5,"quality":1}]}"""
              TraceFiles.withLines [ fine; fine.Replace(",\"quality\":1", "") ] (fun path ->
                  let read = DecisionLog.Read path
                  Expect.equal (read.Decisions.Count, read.Ungraded) (1, 1) "a trace line of one model; one without a grade")
              for bad, expected in
                  [ fine.Replace("\"propensity\":0.5,", ""),
                    ":2: propensity: expected a number above 0, at most 1: the probability with which"
                    fine.Replace("0.5,\"stages", "0,\"stages"), ":2: propensity: expected a number above 0, at most 1"
                    fine.Replace("0.5,\"stages", "1.5,\"stages"), ":2: propensity: expected a number above 0, at most 1"
                    fine.Replace("[{", "[").Replace("}]", "]"), ":2: line: expected one JSON object"
                    fine.Replace("\"cost\":1", "\"cost\":-1"), ":2: stages[0].cost: expected "
                    "[]", ":2: line: expected one JSON object" ] do
                  Expect.stringContains (fault (fun () -> TraceFiles.withLines [ fine; bad ] DecisionLog.Read)) expected bad
              Expect.stringContains
                  (fault (fun () -> TraceFiles.withLines [ fine.Replace(",\"quality\":1", "") ] DecisionLog.Read))
                  "expected decisions with a quality, got none (1 without)"
                  "no grades"
          } ]
