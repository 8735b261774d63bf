/// `toolkit decode`: one prompt, answered by the cascade.
module OptimalStopping.Cli.Commands.Decode

open System
open System.IO
open System.Linq
open System.Text.Json
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Cli.Commands.Shared

type DecodeArguments =
    | [<MainCommand; Unique>] Prompt of prompt: string
    | Lambda of float
    | Policy of file: string
    | Config of file: string
    | Compare
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Prompt _ -> "the question, e.g. \"Explain quantum computing\"."
            | Lambda _ -> "price of cost: quality that one unit of cost is worth (default: 0.01)."
            | Policy _ -> "answer with this policy file of 'toolkit calibrate'; it fixes the price of cost."
            | Config _ -> "the cascade file (default: configs/miniature.yaml)."
            | Compare -> "also answer with the largest model alone, in turn, and say how much faster the cascade was."
            | Json -> "print one JSON object instead of text."

/// Shown to whoever gives no prompt, or one that is outside what the cascade was calibrated on.
let private examples (file: CascadeFile) =
    let questions = if file.Examples.Count > 0 then Seq.toList file.Examples else [ "What is optimal stopping?" ]
    String.Join("\n", [ for question in questions -> $"  toolkit decode \"{question}\"" ])

/// Seconds in which the runtime replaces its quick first code; not measured.
let private warmUp = 1.5

/// Answers that take longer than this are compared in one round, without a warm-up.
let private longAnswer = 0.5

let private mostRounds = 15

/// Median seconds of two ways to answer, side by side and in turn, after a warm-up, and the rounds.
let private compareTimes (first: unit -> float) (second: unit -> float) : struct (float * float * int) =
    let watch = Diagnostics.Stopwatch.StartNew()
    let round _ = struct (first (), second ())
    let struct (a, b) as once = round 0
    let rounds =
        if a + b > longAnswer then
            [| once |]
        else
            while watch.Elapsed.TotalSeconds < warmUp do
                round 0 |> ignore
            Array.init mostRounds round
    let median pick = (rounds |> Array.map pick |> Array.sort)[rounds.Length / 2]
    struct (median (fun struct (a, _) -> a), median (fun struct (_, b) -> b), rounds.Length)

/// The records that the policy is fitted on where no policy file is given.
let private calibrationRecords (file: CascadeFile) =
    match Option.ofObj file.CalibrationTrace with
    | Some path when File.Exists path -> CascadeRecords.Load path
    | Some path ->
        raise (
            ToolkitException
                $"{file.File}: key 'calibration_trace': expected a file at {path}, got none; 'toolkit collect --split calibration' writes it"
        )
    | None -> raise (ToolkitException $"{file.File}: key 'calibration_trace': expected the trace file to fit the policy on, got none")

/// How a cost or a time compares with the largest model's, in words.
let compared less more (own: float) (largest: float) =
    match number (max own largest / min own largest) 1 with
    | "1.0" -> "the same"
    | times when own < largest -> $"{times}x {less}"
    | times -> $"{times}x {more}"

/// What became of a draft. Accepted tokens stand at its start, but more forwards than theirs may be
/// saved: the model takes the draft up again wherever its own text meets it.
let draftLines (model: string) (drafter: string) (draft: DraftVerdict) tokens forwards =
    let accepted =
        match draft.Accepted with
        | 0 -> $"none of {draft.Drafted} tokens accepted: {model} begins with another token"
        | a when a = draft.Drafted -> $"all {a} tokens accepted: {model} would have written them too"
        | a -> $"the first {a} of {draft.Drafted} tokens accepted: {model} would have written them too"
    let further = max 0 (tokens - forwards - draft.Accepted)
    let reasons =
        [ if tokens - forwards - further > 0 then $"{tokens - forwards - further} saved by the accepted tokens"
          if further > 0 then $"{further} saved where it took the draft up again further on" ]
    let saved = if reasons.IsEmpty then "none saved" else String.Join(", ", reasons)
    [ $"verified    {model} read the answer of {drafter} as a draft; {accepted}"
      // A stage elsewhere does not tell its forwards.
      if forwards > 0 then $"forwards    {model} took {forwards} for {tokens} tokens, one each without a draft: {saved}" ]

let execute (arguments: ParseResults<DecodeArguments>) (cancel: CancellationToken) =
    let lambda = arguments.GetResult(Lambda, defaultValue = 0.01)
    if not (lambda >= 0.0 && Double.IsFinite lambda) then
        raise (UsageException $"--lambda: expected a number of at least 0, got {lambda}")
    if arguments.Contains Lambda && arguments.Contains DecodeArguments.Policy then
        raise (UsageException "--policy: expected no --lambda beside it, since the policy fixes the price of cost")
    let json = arguments.Contains DecodeArguments.Json
    let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult DecodeArguments.Config))
    let prompt =
        match arguments.TryGetResult Prompt with
        | Some prompt when prompt <> "" -> prompt
        | _ -> raise (UsageException $"expected a prompt, got none; for example:\n{examples file}")
    let policy = arguments.TryGetResult DecodeArguments.Policy |> Option.map PolicyFile.Load
    use cascade = Cascade.Load file
    let adaptive =
        match policy with
        | Some policy -> AdaptiveCascade.From(cascade, policy)
        | None -> AdaptiveCascade.Fit(cascade, calibrationRecords file, lambda)
    cascade.EncodePrompt prompt |> ignore // refuses a foreign character before anything is printed
    let name stage = file.Stages[stage].Name
    let onText = if json then null else Action<string>(printf "%s")
    let mutable first = true // no model has written yet
    let onStage =
        if json then
            null
        else
            Action<int>(fun stage ->
                if not first then printfn ""
                first <- false
                printf "%-8s " (name stage))
    let answer =
        try
            adaptive.Answer(prompt, onStage, onText, cancel)
        finally
            if not (json || first) then printfn "" // a fault gets a line of its own
    let largest = file.Stages.Count - 1
    let timeLargest () = cascade.Stages[largest].Answer(prompt, cancel).Seconds
    let secondsOf (given: AdaptiveAnswer) = given.Turns.Sum(fun turn -> turn.Seconds)
    let struct (seconds, largestSeconds, rounds) =
        if arguments.Contains Compare then
            compareTimes (fun () -> secondsOf (adaptive.Answer(prompt, cancel = cancel))) timeLargest
        else
            struct (secondsOf answer, nan, 1)
    // For an answer of the same length, where tokens have a price.
    let largestCost = file.Stages[largest].CostOf(answer.Chosen.Reply.PromptTokens, answer.Chosen.Reply.CompletionTokens)
    if json then
        let value =
            {| prompt = prompt
               answer = (if answer.IsWithheld then null else file.Tasks.ExtractAnswer answer.Chosen.Text)
               text = answer.Given.Text
               abstained = answer.IsWithheld
               stage = name answer.Chosen.Stage
               confidence = answer.Chosen.Confidence
               outside = answer.IsOutside
               cost = answer.Cost
               cost_of_largest = largestCost
               seconds = seconds
               seconds_of_largest = (if Double.IsNaN largestSeconds then Nullable() else Nullable largestSeconds)
               turns =
                answer.Turns
                |> Seq.map (fun t ->
                    {| stage = name t.Stage
                       text = t.Text
                       confidence = t.Confidence
                       tokens = t.Tokens
                       cost = t.Reply.Cost
                       forwards = t.Reply.Forwards
                       drafted =
                        (match t.Reply.Draft with
                         | null -> 0
                         | draft -> draft.Drafted)
                       accepted =
                        (match t.Reply.Draft with
                         | null -> 0
                         | draft -> draft.Accepted) |})
                |> Seq.toArray |}
        printJson value
    else
        printfn ""
        // The text stands above as it was written; what is graded of it is told where that is something else.
        match file.Tasks.ExtractAnswer answer.Chosen.Text with
        | _ when answer.IsWithheld -> printfn "answer      not sure: %s is not sure enough of what stands above" (name answer.Chosen.Stage)
        | null -> printfn "answer      (none given)"
        | text when text <> answer.Chosen.Text || answer.Chosen.Stage <> (Seq.last answer.Turns).Stage -> printfn "answer      %s" text
        | _ -> ()
        printfn "used        %s (asked: %s)" (name answer.Chosen.Stage) (String.Join(", ", answer.Turns |> Seq.map (fun t -> name t.Stage)))
        for i in 1 .. answer.Turns.Count - 1 do
            let turn = answer.Turns[i]
            match turn.Reply.Draft with
            | null -> ()
            | draft ->
                for line in draftLines (name turn.Stage) (name answer.Turns[i - 1].Stage) draft turn.Tokens turn.Reply.Forwards do
                    printfn "%s" line
        printfn "confidence  %s" (number answer.Chosen.Confidence 3)
        if answer.IsOutside then
            printfn "            not sure: the question is outside what this cascade was calibrated on"
            if file.Examples.Count > 0 then printfn "            it was calibrated on questions such as\n%s" (examples file)
        let duration seconds = if seconds < 1.0 then $"{number (1000.0 * seconds) 2} ms" else $"{number seconds 2} s"
        if Double.IsNaN largestSeconds then
            printfn "time        %s (--compare also times %s alone)" (duration seconds) (name largest)
        else
            printfn
                "speedup     %sx: %s, %s alone %s (%s)"
                (number (largestSeconds / seconds) 2)
                (duration seconds)
                (name largest)
                (duration largestSeconds)
                (if rounds = 1 then "once each" else $"medians of {rounds}, in turn")
        printfn
            "charged     %s, %s alone %s: %s"
            (number answer.Cost 1)
            (name largest)
            (number largestCost 1)
            (compared "cheaper" "more expensive" answer.Cost largestCost)
