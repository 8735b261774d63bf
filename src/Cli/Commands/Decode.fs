/// `toolkit decode`: one prompt, answered by the ladder.
module OptimalStopping.Cli.Commands.Decode

open System
open System.IO
open System.Linq
open System.Text.Json
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Ladder
open OptimalStopping.Cli.Commands.Shared

type DecodeArguments =
    | [<MainCommand; Unique>] Prompt of string
    | Lambda of float
    | Policy of string
    | Config of string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Prompt _ -> "the question, e.g. \"add 963+447=\"."
            | Lambda _ -> "price of cost: quality that one unit of cost is worth (default: 0.01)."
            | Policy _ -> "answer with this policy file of 'toolkit calibrate'; it fixes the price of cost."
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Json -> "print one JSON object instead of text."

let private warmUpRounds = 30
let private timedRounds = 15

/// The records that the policy is fitted on where no policy file is given.
let private calibrationRecords (file: LadderFile) =
    match Option.ofObj file.CalibrationTrace with
    | Some path when File.Exists path -> LadderRecords.Load path
    | Some path -> raise (ToolkitException $"{file.File}: key 'calibration_trace': expected a file at {path}, got none; 'toolkit collect --split calibration' writes it")
    | None -> raise (ToolkitException $"{file.File}: key 'calibration_trace': expected the trace file to fit the policy on, got none")

let execute (arguments: ParseResults<DecodeArguments>) (cancel: CancellationToken) =
    let prompt = plain "a prompt" (arguments.TryGetResult Prompt)
    let lambda = arguments.GetResult(Lambda, defaultValue = 0.01)
    if not (lambda >= 0.0 && Double.IsFinite lambda) then
        raise (UsageException $"--lambda: expected a number of at least 0, got {lambda}")
    if arguments.Contains Lambda && arguments.Contains DecodeArguments.Policy then
        raise (UsageException "--policy: expected no --lambda beside it, since the policy fixes the price of cost")
    let json = arguments.Contains DecodeArguments.Json
    let file = LadderFile.Load(ladderFile (arguments.TryGetResult DecodeArguments.Config))
    let policy = arguments.TryGetResult DecodeArguments.Policy |> Option.map PolicyFile.Load
    use ladder = ModelLadder.Load file
    let adaptive =
        match policy with
        | Some policy -> AdaptiveLadder.Of(ladder, policy)
        | None -> AdaptiveLadder.Fit(ladder, calibrationRecords file, lambda)
    let name stage = file.Stages[stage].Name
    let onText = if json then null else Action<string>(printf "%s")
    let mutable first = true // no model has written yet
    let onStage =
        if json then null
        else Action<int>(fun stage ->
            if not first then printfn ""
            first <- false
            printf "%-8s " (name stage))
    let answer = adaptive.Answer(prompt, onStage, onText, cancel)
    if not json then printfn ""
    let largest = file.Stages.Count - 1
    // Side by side and in turn; the first rounds, in which the runtime still compiles, are not counted.
    let tokens = ladder.EncodePrompt prompt
    let timeLargest () =
        let start = Diagnostics.Stopwatch.GetTimestamp()
        ladder.Decoder(largest).Decode(tokens, cancel = cancel) |> ignore
        Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds
    let timeAdaptive () = adaptive.Answer(prompt, cancel = cancel).Turns.Sum(fun turn -> turn.Seconds)
    let rounds = Array.init (warmUpRounds + timedRounds) (fun _ -> struct (timeAdaptive (), timeLargest ())) |> Array.skip warmUpRounds
    let median (pick: struct (float * float) -> float) = (rounds |> Array.map pick |> Array.sort)[timedRounds / 2]
    let seconds, largestSeconds = median (fun struct (a, _) -> a), median (fun struct (_, b) -> b)
    if json then
        let value =
            {| prompt = prompt
               answer = file.Tasks.ExtractAnswer answer.Chosen.Text
               text = answer.Chosen.Text
               stage = name answer.Chosen.Stage
               confidence = answer.Chosen.Confidence
               cost = answer.Cost
               cost_of_largest = file.Stages[largest].Cost
               seconds = seconds
               seconds_of_largest = largestSeconds
               turns =
                answer.Turns
                |> Seq.map (fun t ->
                    {| stage = name t.Stage; text = t.Text; confidence = t.Confidence; tokens = t.Tokens; cost = t.Reply.Cost
                       forwards = t.Reply.Forwards
                       drafted = (match t.Reply.Draft with null -> 0 | draft -> draft.Drafted)
                       accepted = (match t.Reply.Draft with null -> 0 | draft -> draft.Accepted) |})
                |> Seq.toArray |}
        printfn "%s" (JsonSerializer.Serialize(value, JsonSerializerOptions(WriteIndented = true, Encoder = Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)))
    else
        printfn "answer      %s" (match file.Tasks.ExtractAnswer answer.Chosen.Text with null -> "(none given)" | text -> text)
        printfn "stage       %s (asked: %s)" (name answer.Chosen.Stage) (String.Join(", ", answer.Turns |> Seq.map (fun t -> name t.Stage)))
        for i in 1 .. answer.Turns.Count - 1 do
            let turn = answer.Turns[i]
            match turn.Reply.Draft with
            | null -> ()
            | draft ->
                printfn "verified    %s took the answer of %s as a draft: %d of %d tokens accepted, %d forwards instead of %d"
                    (name turn.Stage) (name answer.Turns[i - 1].Stage) draft.Accepted draft.Drafted turn.Reply.Forwards turn.Tokens
        printfn "confidence  %s" (number answer.Chosen.Confidence 3)
        printfn "cost        %s of %s for %s alone: %sx cheaper" (number answer.Cost 1) (number file.Stages[largest].Cost 1) (name largest) (number (file.Stages[largest].Cost / answer.Cost) 1)
        printfn "time        %s ms of %s ms: %sx as fast (medians of 15, in turn)" (number (1000.0 * seconds) 2) (number (1000.0 * largestSeconds) 2) (number (largestSeconds / seconds) 1)
