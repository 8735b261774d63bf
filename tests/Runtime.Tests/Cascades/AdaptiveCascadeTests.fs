module Runtime.Tests.Cascades.AdaptiveCascadeTests

open Support
open System
open System.Threading
open System.Threading.Tasks
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Theory.Policies
open Support.SyntheticRecords

let private fault action =
    try
        action ()
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

/// A stage that fails at its first requests and then answers with its name.
let private flaky (name: string) (failures: int) =
    let mutable left = failures
    { new IStage with
        member _.Name = name
        member _.CanVerify = false
        member _.CostOf(_, _) = 1.0
        member _.AnswerAsync(_, _, _) =
            if left > 0 then
                left <- left - 1
                raise (StageException(name, "unreachable", "expected an answer, got none"))
            ValueTask<StageReply>(StageReply(name, [||], ConfidenceFeatures(-2.0, -1.0, -1.5, 0.5, 0.3, 2), true, 1, 2, 1.0, 0.0))
        member _.VerifyAsync(_, _, _) = raise (NotSupportedException())
        member _.DisposeAsync() = ValueTask() }

let private answer (cascade: CascadeFile) (policy: IStoppingPolicy) (stages: IStage list) =
    let calibration = ConfidenceCalibration.Fit(make stages.Length CascadeRecords.Calibration 200 1 lawful)
    let failed = ResizeArray<string>()
    let events = CascadeEvents(StageFailed = Action<int, StageException>(fun k e -> failed.Add $"{k} {e.Kind}"))
    let result =
        AdaptiveCascade(new Cascade(cascade, List.toArray stages), (fun k s -> calibration.Confidence(k, s)), policy)
            .AnswerAsync(StageRequest(StagePrompt.FromQuestion "x"), events)
            .AsTask()
            .Result
    result, Seq.toList failed

/// Asks the stages of a list in order and stops after the last of them.
let private asking (n: int) (order: int list) =
    { new IStoppingPolicy with
        member _.Stages = n
        member _.Decide o =
            let last = o.Last
            match order |> List.tryFind (fun k -> k > last) with
            | Some k -> Decision.GoTo k
            | None -> Decision.StopWith last }

[<Tests>]
let tests =
    testList
        "AdaptiveCascade"
        [ test "asks models in order, adds up their costs and returns one of their answers" {
              RandomCascade.using 3 6 100 (fun cascade _ ->
                  let records = make 3 CascadeRecords.Calibration 400 1 lawful
                  let calibration = ConfidenceCalibration.Fit records
                  for lambda in [ 0.0; 0.02; 0.1; 100.0 ] do
                      let adaptive = AdaptiveCascade.Fit(cascade, records, lambda)
                      for prompt in [ "add 12+34="; "sort 312="; "x" ] do
                          let stages, text = ResizeArray(), Text.StringBuilder()
                          let answer =
                              adaptive.Answer(prompt, Action<int> stages.Add, Action<string>(fun piece -> text.Append piece |> ignore))
                          let ran = [ for t in answer.Turns -> t.Stage ]
                          Expect.sequenceEqual stages ran "told"
                          Expect.isTrue (ran.Length >= 1 && ran = List.distinct (List.sort ran)) "each once, upwards"
                          // The first stage writes; a later one costs the forwards that it made to verify what was there.
                          for i in 0 .. answer.Turns.Count - 1 do
                              let turn = answer.Turns[i]
                              let written = if i = 0 then 0 else answer.Turns[i - 1].Reply.Tokens.Count
                              let full = cascade.File.Stages[turn.Stage].Cost
                              Expect.floatClose
                                  Accuracy.veryHigh
                                  turn.Reply.Cost
                                  (full * float turn.Reply.Forwards / float turn.Reply.CompletionTokens)
                                  "forwards"
                              Expect.equal (isNull (box turn.Reply.Draft)) (written = 0) "drafts"
                          Expect.equal answer.Cost (answer.Turns |> Seq.sumBy _.Reply.Cost) "cost"
                          Expect.contains answer.Turns answer.Chosen "chosen"
                          Expect.equal (text.ToString()) (String.Concat [ for t in answer.Turns -> t.Text ]) "streamed text"
                          for turn in answer.Turns do
                              let g = cascade.Decoder(turn.Stage).Decode(ReadOnlySpan(cascade.Tokenizer.Encode prompt))
                              Expect.equal turn.Text (cascade.Tokenizer.Decode g.Tokens) "text"
                              Expect.equal
                                  turn.Confidence
                                  (if g.Ended then calibration.Confidence(turn.Stage, g.Features) else 0.0)
                                  "confidence; 0 where the limit cut the answer short"
                          if lambda = 100.0 then Expect.equal ran [ 0 ] "too dear to go on")
          }
          test "only the calibration split decides" {
              RandomCascade.using 2 6 100 (fun cascade _ ->
                  let records = make 2 CascadeRecords.Calibration 200 1 lawful
                  let contrary = make 2 CascadeRecords.Test 500 2 (fun k s u -> 1.0 - lawful k s u)
                  let features = (make 2 CascadeRecords.Calibration 1 3 lawful).Records[0].Features
                  let confidence data =
                      let calibration = CascadePlans(cascade.File, data).Calibration
                      [ for k in 0..1 -> calibration.Confidence(k, features[k]) ]
                  Expect.equal (confidence (both records contrary)) (confidence records) "confidence"
                  Expect.stringContains
                      (fault (fun () -> AdaptiveCascade.Fit(cascade, contrary, 0.01) |> ignore))
                      "expected at least 100 of split 'calibration', got 0"
                      "none")
          }
          test "records of other models, foreign characters and cancellation" {
              RandomCascade.using 2 6 100 (fun cascade _ ->
                  Expect.equal
                      (fault (fun () -> AdaptiveCascade.Fit(cascade, make 3 CascadeRecords.Calibration 200 1 lawful, 0.01) |> ignore))
                      "calibration records: expected the models m1, m2, got m1, m2, m3"
                      "models"
                  let adaptive = AdaptiveCascade.Fit(cascade, make 2 CascadeRecords.Calibration 200 1 lawful, 0.01)
                  Expect.stringStarts
                      (fault (fun () -> adaptive.Answer "add Ü" |> ignore))
                      "prompt:5: expected a character of the cascade's alphabet"
                      "alphabet"
                  Expect.stringStarts (fault (fun () -> adaptive.Answer "" |> ignore)) "prompt: expected at least one character" "empty"
                  Expect.throwsT<OperationCanceledException>
                      (fun () -> adaptive.Answer("add 1+1=", cancel = CancellationToken true) |> ignore)
                      "cancelled")
          }
          test "a stage that fails is passed over; the answers that are there are not lost" {
              use folder = new Support.RandomCheckpoint.TemporaryFolder()
              let file = CascadeFile.Load(RandomCascade.write folder.Path 4 6 100)
              let run order dead =
                  let result, failed =
                      answer file (asking 4 order) [ for k in 0..3 -> flaky $"m{k + 1}" (if List.contains k dead then 1 else 0) ]
                  [ for t in result.Turns -> t.Stage ], result.Chosen.Stage, failed, result.Failures.Count
              Expect.equal (run [ 0; 1 ] []) ([ 0; 1 ], 1, [], 0) "none fails"
              Expect.equal (run [ 0; 1 ] [ 1 ]) ([ 0; 2 ], 2, [ "1 unreachable" ], 1) "the next later one"
              Expect.equal (run [ 0; 1 ] [ 1; 2 ]) ([ 0; 3 ], 3, [ "1 unreachable"; "2 unreachable" ], 2) "the one after"
              let turns, _, failed, _ = run [ 0; 2 ] [ 2; 3 ]
              Expect.equal (turns, failed) ([ 0 ], [ "2 unreachable"; "3 unreachable" ]) "no later one: what is there"
              Expect.equal (run [ 3 ] [ 3 ]) ([ 2 ], 2, [ "3 unreachable" ], 1) "nothing later and nothing there: the largest that works"
              let all =
                  try
                      run [ 0; 1; 2; 3 ] [ 0; 1; 2; 3 ] |> ignore
                      "no fault"
                  with :? AggregateException as e ->
                      (nonNull e.InnerException).Message
              Expect.equal all "stage 'm4': expected an answer, got none" "all fail"
          } ]
