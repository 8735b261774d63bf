/// `serve --decisions`: what the learner did and how likely that was, and the evaluation of other policies on that log.
module Server.Tests.DecisionLogTests

open System
open System.IO
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Server
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Server.Tests.Servers

[<Tests>]
let tests =
    testList
        "DecisionLog"
        [ test "the propensity of a decision is the share of draws that make it" {
              let random = Random 5
              let data = records.Value.ToRecordedCascade(fun _ features -> Math.Clamp(features.RawConfidence, 0.0, 1.0))
              let learner = OnlineLearner([| 1.0; 2.0; 4.0; 8.0 |], 0.02, data, 3UL)
              for _ in 1..3 do
                  let confidence = Array.init 4 (fun _ -> random.NextDouble())
                  let stops = Array.zeroCreate<int> 4
                  let mutable version = 0
                  for _ in 1..4000 do
                      let struct (policy, drawn) = learner.Choose()
                      version <- drawn
                      let rec stop ran =
                          let decision = policy.Decide(Observation(ran, ReadOnlySpan confidence))
                          if decision.Stop then decision.Stage else stop (ran ||| (1u <<< decision.Stage))
                      let k = stop 0u
                      stops[k] <- stops[k] + 1
                  let propensity k = (learner.Propensity(version, [| for j in 0..k -> OnlineLearner.Bin confidence[j] |])).Value
                  let all = [| for k in 0..3 -> propensity k |]
                  Expect.floatClose Accuracy.high (Array.sum all) 1.0 "they add up"
                  for k in 0..3 do
                      let share = float stops[k] / 4000.0
                      Expect.isLessThan (abs (share - all[k])) (0.005 + 4.0 * sqrt (all[k] * (1.0 - all[k]) / 4000.0)) $"stage {k}"
          }
          test "graded answers are logged with their probability, and the log can be evaluated" {
              use folder = new Support.RandomCheckpoint.TemporaryFolder()
              let path = folder.File "decisions.jsonl"
              let questions = records.Value.Records |> Seq.truncate 60 |> Seq.map (fun r -> nonNull r.Prompt) |> Seq.toArray
              let logged = ServeOptions(Port = 0, Learn = true, Decisions = path)
              let told =
                  serving (local ()) logged (fun _ client ->
                      [| for question in questions do
                             let response = json (post client "v1/chat/completions" (chat nano.Value.Name question ""))
                             let id, toolkit = response.GetProperty("id").GetString(), response.GetProperty "toolkit"
                             post client "v1/toolkit/feedback" $"""{{"id":"{id}","quality":1}}""" |> ignore
                             id, toolkit.GetProperty("propensity").GetDouble(), toolkit.GetProperty("stage").GetString() |])
              let log = DecisionLog.Read path
              Expect.equal
                  [| for d in log.Decisions -> d.Id, d.Propensity, d.Stages[d.Answered].Model |]
                  [| for id, propensity, stage in told -> string id, propensity, string stage |]
                  "the log says what the responses said"
              for d in log.Decisions do
                  Expect.equal (d.Policy, d.Quality) ("learner", 1.0) "policy and grade"
                  Expect.isTrue (d.Propensity > 0.0 && d.Propensity <= 1.0) "a probability"
                  Expect.isTrue
                      (d.Stages |> Seq.forall (fun s -> s.Confidence.HasValue && not (isNull s.Features)))
                      "confidences and features"
              let report = OffPolicyEvaluation.Run(log, [||])
              Expect.equal (Seq.head report.Rows).DoublyRobust.High 1.0 "all grades are 1"
          }
          test "a policy that draws nothing has the probability 1" {
              serving (local ()) options (fun _ client ->
                  let response = json (post client "v1/chat/completions" (chat nano.Value.Name "add 12+34=" ""))
                  Expect.equal ((response.GetProperty "toolkit").GetProperty("propensity").GetDouble()) 1.0 "probability")
          } ]
