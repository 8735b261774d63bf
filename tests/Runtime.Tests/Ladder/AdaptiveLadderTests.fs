module Runtime.Tests.Ladder.AdaptiveLadderTests

open System
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Ladder
open Runtime.Tests.Ladder.SyntheticRecords

let private fault action =
    try
        action ()
        failtest "no fault"
    with :? ToolkitException as e -> e.Message

let tests =
    testList "AdaptiveLadder" [
        test "asks models in order, adds up their costs and returns one of their answers" {
            RandomLadder.using 3 6 100 (fun ladder _ ->
                let records = make 3 LadderRecords.Calibration 400 1 lawful
                let calibration = SignalCalibration.Fit records
                for lambda in [ 0.0; 0.02; 0.1; 100.0 ] do
                    let adaptive = AdaptiveLadder.Fit(ladder, records, lambda)
                    for prompt in [ "add 12+34="; "sort 312="; "x" ] do
                        let stages, text = ResizeArray(), Text.StringBuilder()
                        let answer = adaptive.Answer(prompt, Action<int> stages.Add, Action<string>(fun piece -> text.Append piece |> ignore))
                        let ran = [ for t in answer.Turns -> t.Stage ]
                        Expect.sequenceEqual stages ran "told"
                        Expect.isTrue (ran.Length >= 1 && ran = List.distinct (List.sort ran)) "each once, upwards"
                        Expect.equal answer.Cost (ran |> List.sumBy (fun k -> ladder.File.Stages[k].Cost)) "cost"
                        Expect.contains answer.Turns answer.Chosen "chosen"
                        Expect.equal (text.ToString()) (String.Concat [ for t in answer.Turns -> t.Text ]) "streamed text"
                        for turn in answer.Turns do
                            let g = ladder.Decoder(turn.Stage).Decode(ReadOnlySpan(ladder.Tokenizer.Encode prompt))
                            Expect.equal turn.Text (ladder.Tokenizer.Decode g.Tokens) "text"
                            Expect.equal turn.Confidence (calibration.Confidence(turn.Stage, g.Signals)) "confidence"
                        if lambda = 100.0 then Expect.equal ran [ 0 ] "too dear to go on")
        }
        test "only the calibration split decides" {
            RandomLadder.using 2 6 100 (fun ladder _ ->
                let records = make 2 LadderRecords.Calibration 200 1 lawful
                let contrary = make 2 LadderRecords.Test 500 2 (fun k s u -> 1.0 - lawful k s u)
                let confidence data = AdaptiveLadder.Fit(ladder, data, 0.01).Answer("add 1+1=").Chosen.Confidence
                Expect.equal (confidence (both records contrary)) (confidence records) "confidence"
                Expect.stringContains (fault (fun () -> AdaptiveLadder.Fit(ladder, contrary, 0.01) |> ignore))
                    "expected at least 100 of split 'calibration', got 0" "none")
        }
        test "records of other models, foreign characters and cancellation" {
            RandomLadder.using 2 6 100 (fun ladder _ ->
                Expect.equal (fault (fun () -> AdaptiveLadder.Fit(ladder, make 3 LadderRecords.Calibration 200 1 lawful, 0.01) |> ignore))
                    "calibration records: expected the models m1, m2, got m1, m2, m3" "models"
                let adaptive = AdaptiveLadder.Fit(ladder, make 2 LadderRecords.Calibration 200 1 lawful, 0.01)
                Expect.stringStarts (fault (fun () -> adaptive.Answer "add Ü" |> ignore)) "prompt:5: expected a character of the ladder's alphabet" "alphabet"
                Expect.stringStarts (fault (fun () -> adaptive.Answer "" |> ignore)) "prompt: expected at least one character" "empty"
                Expect.throwsT<OperationCanceledException> (fun () ->
                    adaptive.Answer("add 1+1=", cancel = CancellationToken true) |> ignore) "cancelled")
        }
    ]
