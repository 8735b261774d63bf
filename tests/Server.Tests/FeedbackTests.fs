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
    [ for query, _ in OptimalStopping.Experiments.CascadeQueries.Draw(nano.Value, 3) |> Seq.take count ->
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
                      serving (local ()) options (fun server client ->
                          Expect.equal server.Replayed 30L "replayed"
                          Expect.equal (metric client "toolkit_learner_rounds" "") (float (plans.Value.Records.Queries + 30)) "learner"
                          let gap = metric client "toolkit_calibration_gap" ""
                          Expect.isTrue (gap <> 0.0) "monitors are rebuilt"))
              }
              test "an answer of before a restart can be graded; a grade sent twice is acknowledged twice and kept once" {
                  TraceFiles.withFolder (fun folder ->
                      let options = ServeOptions(Port = 0, State = folder)
                      let answers = serving (local ()) options (fun _ client -> ids client 3)
                      serving (local ()) options (fun _ client ->
                          let reply = grade client answers[0] 1.0
                          Expect.equal (int reply.StatusCode) 200 (text reply)
                          Expect.equal (int (grade client "chatcmpl-none" 1.0).StatusCode) 404 "unknown")
                      serving (local ()) options (fun server _ -> Expect.equal server.Replayed 1L "kept"))
              }
              test "another price of cost keeps the grades, and its monitors do not mix them" {
                  TraceFiles.withFolder (fun folder ->
                      let monitor (client: Net.Http.HttpClient) (name: string) =
                          (json (get client "v1/toolkit/cascade")).GetProperty("monitor").GetProperty(name).GetInt64()
                      let at (lambda: float) (action: CascadeServer -> Net.Http.HttpClient -> unit) =
                          let server =
                              CascadeServer
                                  .StartAsync(local (), records.Value, null, lambda, ServeOptions(Port = 0, State = folder))
                                  .GetAwaiter()
                                  .GetResult()
                          try
                              use client = new Net.Http.HttpClient(BaseAddress = server.Address)
                              action server client
                          finally
                              server.DisposeAsync().AsTask().Wait()
                      at 0.01 (fun _ client ->
                          for id in ids client 4 do
                              Expect.equal (int (grade client id 1.0).StatusCode) 200 "graded")
                      at 0.05 (fun _ client ->
                          Expect.equal (monitor client "grades", monitor client "graded_default") (4L, 0L) "kept, and not of this policy"
                          Expect.equal (int (grade client (ids client 1).Head 1.0).StatusCode) 200 "graded")
                      at 0.01 (fun _ client ->
                          Expect.equal (monitor client "grades", monitor client "graded_default") (5L, 4L) "the first policy's again"))
              }
              test "a replay comes to the same state of the learner, bit for bit, late grades included" {
                  TraceFiles.withFolder (fun folder ->
                      let random = Random 5
                      let live, again = learner (), learner ()
                      let observe (learner: OnlineLearner) =
                          Func<GradedAnswer, bool>(fun g -> learner.Observe(g.Version, g.Bins, g.Quality))
                      let store = FeedbackStore.Open(folder, "cascade", [| "a" |], observe live)
                      // Grades of answers drawn long before, in any order.
                      let grades =
                          [ for i in 1..300 ->
                                let struct (_, version) = live.Choose()
                                let bins = [| for _ in 0 .. random.Next 4 -> random.Next 8 |]
                                let late = max 0 (version - random.Next 50)
                                let grade = GradedAnswer(string i, "learner", true, late, bins.Length - 1, bins, 0.5, random.NextDouble())
                                Expect.equal (store.AppendAsync(grade).Result) (Nullable true) "learnt"
                                grade ]
                      Expect.equal (store.AppendAsync(grades[7]).Result.HasValue) true "sent again: acknowledged again"
                      store.DisposeAsync().AsTask().Wait()
                      let replayed = ResizeArray<GradedAnswer>()
                      let store =
                          FeedbackStore.Open(
                              folder,
                              "cascade",
                              [| "a" |],
                              fun g ->
                                  replayed.Add g
                                  again.Observe(g.Version, g.Bins, g.Quality)
                          )
                      store.DisposeAsync().AsTask().Wait()
                      Expect.equal
                          [ for g in replayed -> g.Id, g.Quality, List.ofArray g.Bins ]
                          [ for g in grades -> g.Id, g.Quality, List.ofArray g.Bins ]
                          "grades"
                      Expect.equal (again.Rounds, again.Losses) (live.Rounds, live.Losses) "state"
                      Expect.isFalse (live.Observe(-5, [| 0 |], 1.0)) "a state that is not remembered teaches nothing")
              }
              test "the log of earlier versions is taken over once; one of another cascade or with a foreign line is refused" {
                  TraceFiles.withFolder (fun folder ->
                      let path = Path.Combine(folder, "feedback.jsonl")
                      let header =
                          """{"toolkit_feedback":1,"models":["nano-1","nano-2","nano-3","nano-4"],"costs":[1,2,4.5,10],"learner":false,"lambda":0.01}"""
                      let line (i: int) =
                          $"""{{"Id":"chatcmpl-{i}","Policy":"lambda","Default":true,"Version":-1,"Stage":{i % 4},"Bins":[],"Confidence":0.5,"Quality":1}}"""
                      let fault () =
                          try
                              (openDesk folder false).DisposeAsync().AsTask().Wait()
                              "no fault"
                          with :? ToolkitException as e ->
                              e.Message
                      let other = "{\"toolkit_feedback\":1,\"models\":[\"a\"]}\n"
                      File.WriteAllText(path, other)
                      Expect.stringContains (fault ()) "feedback.jsonl:1: expected the grades of this cascade" "another cascade"
                      Expect.equal (File.ReadAllText path) other "and left alone"
                      File.WriteAllText(path, header + "\nhello\n")
                      Expect.stringContains (fault ()) "feedback.jsonl:2: expected a graded answer" "a foreign line"
                      File.WriteAllText(path, String.Join("\n", header :: [ for i in 1..20 -> line i ]) + "\n{\"Id\":\"chatcmpl-torn")
                      let feedback = openDesk folder false
                      Expect.equal (feedback.Grades, int feedback.Quality.Count) (20L, 20) "taken over, of the same policy"
                      feedback.DisposeAsync().AsTask().Wait()
                      Expect.isFalse (File.Exists path) "once"
                      let feedback = openDesk folder false
                      Expect.equal feedback.Grades 20L "still there"
                      feedback.DisposeAsync().AsTask().Wait())
              }
              test "two servers on one folder share grades" {
                  TraceFiles.withFolder (fun folder ->
                      let options = ServeOptions(Port = 0, State = folder)
                      serving (local ()) options (fun _ one ->
                          serving (local ()) options (fun _ two ->
                              let answered = ids one 5
                              // Answers are kept soon, not at once.
                              let rec graded (id: string) (tries: int) =
                                  let reply = grade two id 1.0
                                  if int reply.StatusCode = 404 && tries > 0 then
                                      Threading.Thread.Sleep 50
                                      graded id (tries - 1)
                                  else
                                      int reply.StatusCode
                              for id in answered do
                                  Expect.equal (graded id 100) 200 "graded at the other server"
                              Expect.equal (int (grade one answered[0] 0.0).StatusCode) 404 "not twice"
                              let seen (client: Net.Http.HttpClient) =
                                  (json (get client "v1/toolkit/cascade")).GetProperty("monitor").GetProperty("grades").GetInt64()
                              let until = Diagnostics.Stopwatch.StartNew()
                              while seen one < 5L && until.Elapsed.TotalSeconds < 10.0 do
                                  Threading.Thread.Sleep 50
                              Expect.equal (seen one, seen two) (5L, 5L) "both have them")))
              }
              testList "Postgres" (Postgres.cases ids grade)
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
              }
              test "with an audit rate the learner weights a grade for its probability, and a grade stands for 1 / rate queries" {
                  let rate = 0.25
                  let learner = OnlineLearner(costs.Value, 0.01, plans.Value.Records, 1UL, rate)
                  let n, start = costs.Value.Length, plans.Value.Records.Queries
                  let policyClass = OptimalStopping.Theory.PolicyClass.Thresholds(n, 8)
                  let random = Random 4
                  for grades in 1..6 do
                      let before = learner.Losses
                      let struct (_, version) = learner.Choose()
                      let bins = [| for _ in 0 .. random.Next n -> random.Next 8 |]
                      let stop, quality = bins.Length - 1, random.NextDouble()
                      let logN = log (float before.Length)
                      let rates =
                          OptimalStopping.Theory.NestRates.AnytimeAudited(
                              OptimalStopping.Theory.Feedback.Returned,
                              n,
                              logN,
                              learner.Rounds + 1,
                              rate
                          )
                      let weights = before |> Array.map (fun loss -> exp (-rates.Eta * (loss - Array.min before)))
                      let path k = if k < bins.Length then bins[k] else 0
                      let stops =
                          Array.init before.Length (fun i ->
                              let policy = OptimalStopping.Theory.PolicyClass.Policy(policyClass, i)
                              Seq.append (Seq.init (n - 1) id) [ n - 1 ] |> Seq.find (fun k -> k = n - 1 || policy[k][path k]))
                      let mass = (Array.fold2 (fun sum w s -> if s = stop then sum + w else sum) 0.0 weights stops) / Array.sum weights
                      let price k = 0.01 * Seq.sum costs.Value[1..k]
                      let loss = (1.0 - (quality - price stop)) / (1.0 + price (n - 1))
                      Expect.isTrue (learner.Observe(version, bins, quality)) "learnt"
                      Expect.equal learner.Rounds (start + 4 * grades) "queries"
                      learner.Losses
                      |> Array.iteri (fun i after ->
                          let expected = if stops[i] = stop then loss / (rate * mass + rates.Gamma) else 0.0
                          Expect.isLessThan (abs (after - before[i] - expected)) 1e-6 $"policy {i}")
              }
              test "serve --audit-rate: a coin asks for grades, the response says so, and no other grade is learnt from" {
                  let options = ServeOptions(Port = 0, Learn = true, AuditRate = 0.5)
                  serving (local ()) options (fun _ client ->
                      let answers =
                          [ for query, _ in OptimalStopping.Experiments.CascadeQueries.Draw(nano.Value, 3) |> Seq.take 60 ->
                                let reply = json (post client "v1/chat/completions" (chat "nano" query.Prompt ""))
                                nonNull (reply.GetProperty("id").GetString()),
                                reply.GetProperty("toolkit").GetProperty("audit").GetBoolean() ]
                      let asked = answers |> List.filter snd |> List.length
                      // 60 fair coins: fewer than 8 or more than 52 heads in one of 10^9 runs.
                      Expect.isTrue (asked >= 8 && asked <= 52) $"{asked} of 60"
                      for id, audited in answers do
                          Expect.equal ((json (grade client id 1.0)).GetProperty("learned").GetBoolean()) audited "learnt from"
                      Expect.equal
                          (metric client "toolkit_learner_rounds" "")
                          (float (plans.Value.Records.Queries + 2 * asked))
                          "a grade stands for two queries")
              } ]
    )
