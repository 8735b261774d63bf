/// A stage that silently becomes worse: how soon the server's alarm says so, and how often it is false.
module Server.Tests.DegradationTests

open System
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Server
open OptimalStopping.Theory.Policies
open Server.Tests.Servers

let private plans = lazy (CascadePlans(nano.Value, records.Value))

/// The stage that answers each recorded query under the default policy, its quality and confidence.
let private outcomes =
    lazy
        (let data = plans.Value.View
         let policy = PolicyStore(nano.Value, plans.Value, null, 0.01).Default.Policy
         Array.init data.Queries (fun q ->
             let struct (_, stage) = Replay.query (policy, data, q)
             let at = q * data.Stages + stage
             struct (stage, data.Quality[at], data.Confidence[at])))

let private healthyRun = 5000

/// Grades queries drawn at random from the recorded ones. From grade `from` on the answers of `stage` are wrong with probability
/// `harm`, as sure as ever. The number of the grade at which the alarm is raised, or -1 within `most` grades.
let private run (random: Random) (from: int) (stage: int) (harm: float) (most: int) =
    let store = PolicyStore(nano.Value, plans.Value, null, 0.01)
    let service = new FeedbackService(nano.Value, ServeOptions(), store, Unchecked.defaultof<OnlineLearner>)
    let mutable raised = -1
    let mutable t = 0
    while raised < 0 && t < most do
        let struct (answered, quality, confidence) = outcomes.Value[random.Next outcomes.Value.Length]
        let quality = if t >= from && answered = stage && random.NextDouble() < harm then 0.0 else quality
        let reply = StageReply("", [||], ConfidenceFeatures(-1.0, -1.0, -1.0, 0.0, 0.0, 1), true, 1, 1, 1.0, 0.0)
        let turn = StageAnswer(answered, reply, confidence)
        let id = string t
        service.Expect(id, store.Default, true, AdaptiveAnswer([| turn |], turn, 1.0))
        service.GradeAsync(id, quality).GetAwaiter().GetResult() |> ignore
        if service.Alarm.Raised then raised <- t
        t <- t + 1
    raised

[<Tests>]
let tests =
    testList
        "Degradation"
        [ test "a stage that silently becomes worse at a random time raises the alarm; a healthy cascade hardly ever does" {
              let runs = if Environment.GetEnvironmentVariable "TOOLKIT_LONG_TESTS" = "1" then 200 else 30
              let random = Random 11
              let used =
                  outcomes.Value |> Array.countBy (fun struct (stage, _, _) -> stage) |> Array.sortByDescending snd |> Array.truncate 2
              let delays =
                  [| for i in 1..runs do
                         let from = random.Next 3000
                         // One of the two stages that answer most; half or all of its answers become wrong.
                         let raised = run random from (fst used[i % used.Length]) (if i % 4 < 2 then 0.5 else 1.0) (from + 5000)
                         if raised >= from then raised - from + 1
                         elif raised >= 0 then 0
                         else Int32.MaxValue |]
                  |> Array.sort
              let healthy = [| for _ in 1..runs -> run random Int32.MaxValue 0 0.0 healthyRun |]
              let falseAlarms = healthy |> Array.filter (fun t -> t >= 0) |> Array.length
              printfn
                  "alarm: %d degradations, delay median %d, 90 %% %d, worst %d grades; %d of %d healthy runs of %d grades with an alarm"
                  runs
                  delays[runs / 2]
                  delays[runs * 9 / 10]
                  delays[runs - 1]
                  falseAlarms
                  runs
                  healthyRun
              Expect.isLessThan delays[runs - 1] 5000 "every degradation is seen"
              Expect.isLessThan delays[runs / 2] 300 "soon"
              // Delta is 0.05 for all times together; 30 runs with more than 5 would be one in three hundred.
              Expect.isLessThanOrEqual falseAlarms (max 5 (runs / 10)) "false alarms"
          } ]
