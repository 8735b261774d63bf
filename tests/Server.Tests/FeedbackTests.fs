module Server.Tests.FeedbackTests

open Support
open System
open System.IO
open System.Threading.Tasks
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Server
open Server.Tests.Servers

let private file = lazy (nano.Value)
let private plans = lazy (CascadePlans(nano.Value, records.Value))
let private costs = lazy [| for s in nano.Value.Stages -> s.Cost |]

let private learner () = OnlineLearner(costs.Value, 0.01, plans.Value.Records, 1UL)

let private openDesk folder learn =
    new FeedbackService(
        file.Value,
        ServeOptions(State = folder),
        PolicyStore(file.Value, plans.Value, null, 0.01),
        (if learn then learner () else Unchecked.defaultof<OnlineLearner>)
    )

let private ids (client: Net.Http.HttpClient) (count: int) =
    [ for query, _ in OptimalStopping.Experiments.ExperimentRun.Queries(nano.Value, 3) |> Seq.take count ->
          (json (post client "v1/chat/completions" (chat "nano" query.Prompt ""))).GetProperty("id").GetString() |> nonNull ]

let private grade (client: Net.Http.HttpClient) (id: string) (quality: float) =
    post client "v1/toolkit/feedback" $"""{{"id":"{id}","quality":{quality}}}"""

[<Tests>]
let tests =
    testSequenced (
        testList
            "Feedback"
            [ test "grades are kept, once each, and a new server has them" {
                  TraceFiles.withFolder (fun folder ->
                      let options = ServeOptions(Port = 0, State = folder, Learn = true)
                      serving (local ()) options (fun server client ->
                          Expect.equal server.Replayed 0L "nothing yet"
                          let answers = ids client 30
                          // All at once: they share the disk's writes.
                          let replies =
                              Task.WhenAll [| for i, id in List.indexed answers -> Task.Run(fun () -> grade client id (float (i % 2))) |]
                              |> _.Result
                          for r in replies do
                              Expect.equal (int r.StatusCode) 200 (text r)
                              Expect.isTrue ((json r).GetProperty("learned").GetBoolean()) "learnt from"
                          Expect.equal (int (grade client answers[0] 1.0).StatusCode) 404 "a second grade is refused"
                          Expect.equal (metric client "toolkit_feedback_total" "") 30.0 "metrics"
                          Expect.equal (metric client "toolkit_learner_rounds" "") (float (plans.Value.Records.Queries + 30)) "rounds")
                      let lines = File.ReadAllLines(Path.Combine(folder, "feedback.jsonl"))
                      Expect.equal lines.Length 31 "a header and a line each"
                      // A crash inside a write leaves a torn line, which nobody was told of.
                      File.AppendAllText(Path.Combine(folder, "feedback.jsonl"), "{\"Id\":\"chatcmpl-torn")
                      serving (local ()) options (fun server client ->
                          Expect.equal server.Replayed 30L "replayed"
                          Expect.equal (metric client "toolkit_learner_rounds" "") (float (plans.Value.Records.Queries + 30)) "learner"
                          let gap = metric client "toolkit_calibration_gap" ""
                          Expect.isTrue (gap <> 0.0) "monitors are rebuilt")
                      Expect.equal
                          (File.ReadAllLines(Path.Combine(folder, "feedback.jsonl")))
                          lines
                          "the torn line is gone, the others are as they were")
              }
              test "a replay comes to the same state of the learner, bit for bit, late grades included" {
                  TraceFiles.withFolder (fun folder ->
                      let random = Random 5
                      let path = Path.Combine(folder, "feedback.jsonl")
                      let live, again = learner (), learner ()
                      let log = FeedbackLog.Open(path, "header", fun _ -> ())
                      // Grades of answers drawn long before, in any order.
                      let grades =
                          [ for i in 1..300 ->
                                let struct (_, version) = live.Choose()
                                let bins = [| for _ in 0 .. random.Next 4 -> random.Next 8 |]
                                let late = max 0 (version - random.Next 50)
                                let grade = GradedAnswer(string i, "learner", true, late, bins.Length - 1, bins, 0.5, random.NextDouble())
                                Expect.isTrue (log.AppendAsync(grade, fun () -> live.Observe(late, bins, grade.Quality)).Result) "learnt"
                                grade ]
                      log.DisposeAsync().AsTask().Wait()
                      let replayed = ResizeArray<GradedAnswer>()
                      let log =
                          FeedbackLog.Open(
                              path,
                              "header",
                              fun g ->
                                  replayed.Add g
                                  again.Observe(g.Version, g.Bins, g.Quality) |> ignore
                          )
                      log.DisposeAsync().AsTask().Wait()
                      Expect.equal
                          [ for g in replayed -> g.Id, g.Quality, List.ofArray g.Bins ]
                          [ for g in grades -> g.Id, g.Quality, List.ofArray g.Bins ]
                          "grades"
                      Expect.equal (again.Rounds, again.Losses) (live.Rounds, live.Losses) "state"
                      Expect.isFalse (live.Observe(-5, [| 0 |], 1.0)) "a state that is not remembered teaches nothing")
              }
              test "a log of another cascade, a foreign line, and a second server on the same folder are refused" {
                  TraceFiles.withFolder (fun folder ->
                      let path = Path.Combine(folder, "feedback.jsonl")
                      let fault () =
                          try
                              (openDesk folder false).DisposeAsync().AsTask().Wait()
                              "no fault"
                          with :? ToolkitException as e ->
                              e.Message
                      File.WriteAllText(path, "{\"toolkit_feedback\":1,\"models\":[\"a\"]}\n")
                      Expect.stringContains (fault ()) "feedback.jsonl:1: expected the grades of this cascade" "another cascade"
                      Expect.equal (File.ReadAllText path) "{\"toolkit_feedback\":1,\"models\":[\"a\"]}\n" "and left alone"
                      File.Delete path
                      Expect.equal (fault ()) "no fault" "a new one"
                      File.AppendAllText(path, "hello\n")
                      Expect.stringContains (fault ()) "feedback.jsonl:2: expected a graded answer" "a foreign line"
                      File.Delete path
                      let feedback = openDesk folder false
                      Expect.stringContains (fault ()) "only this server writes to" "in use"
                      feedback.DisposeAsync().AsTask().Wait())
              }
              test "the alarm stays silent while the guarantee is kept and is raised when it is broken" {
                  let feedback (guarantee: float) =
                      new FeedbackService(
                          file.Value,
                          ServeOptions(Guarantee = guarantee),
                          PolicyStore(file.Value, plans.Value, null, 0.01),
                          Unchecked.defaultof<OnlineLearner>
                      )
                  let policy = PolicyStore(file.Value, plans.Value, null, 0.01).Default
                  let answer = AdaptiveCascade.Fit(models.Value, records.Value, 0.01).Answer "add 1+1="
                  let feed (feedback: FeedbackService) (quality: int -> float) count =
                      for i in 1..count do
                          feedback.Expect(string i, policy, true, answer)
                          feedback.GradeAsync(string i, quality i).Wait()
                  let good, bad = feedback 0.9, feedback 0.9
                  feed good (fun i -> if i % 20 = 0 then 0.0 else 1.0) 2000
                  feed bad (fun i -> if i % 4 = 0 then 0.0 else 1.0) 2000
                  Expect.equal (good.Alarm.Raised, bad.Alarm.Raised) (false, true) "mean 0.95 and 0.75 against 0.9"
                  Expect.isTrue (good.Quality.Low < 0.95 && 0.95 < good.Quality.High) "interval"
              }
              test "the learner starts where calibration leaves it: its policies are good at once" {
                  let learner = learner ()
                  let data = plans.Value.Records
                  let n = data.Stages
                  let mutable reward = 0.0
                  for q in 0 .. data.Queries - 1 do
                      let struct (policy, _) = learner.Choose()
                      let struct (cost, stage) = OptimalStopping.Theory.Policies.Replay.query (policy, data, q)
                      reward <- reward + data.Quality[q * n + stage] - 0.01 * cost
                  let fixed' k =
                      [ for q in 0 .. data.Queries - 1 -> data.Quality[q * n + k] - 0.01 * (Seq.sum costs.Value[..k]) ] |> List.average
                  let best = [ for k in 0 .. n - 1 -> fixed' k ] |> List.max
                  Expect.isGreaterThan (reward / float data.Queries) best "better than always stopping at the best fixed stage"
              } ]
    )
