/// `toolkit quickstart`: from nothing to a calibrated cascade of real models: pull, collect, calibrate, decode.
module OptimalStopping.Cli.Commands.Quickstart

open System
open System.IO
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Files
open OptimalStopping.Runtime.Hub
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Cli.Commands.Shared

type QuickstartArguments =
    | [<MainCommand; Unique>] Prompt of prompt: string
    | Config of file: string
    | Stages of int
    | Questions of file: string
    | Count of int
    | Max_Tokens of int
    | Out of dir: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Prompt _ -> "the first prompt to answer (default: a word problem)."
            | Config _ -> "the cascade file whose smallest stages are taken (default: configs/qwen3_public.yaml)."
            | Stages _ -> "how many of them (default: 3)."
            | Questions _ -> "your questions: a line each, {\"question\": ..., \"answer\": a number} (default: generated word problems)."
            | Count _ -> "questions to calibrate on (default: 200, at least 100)."
            | Max_Tokens _ -> "longest answer (default: 512)."
            | Out _ -> "folder for cascade file, records and policy (default: quickstart); one that is there is gone on with."

let private defaultPrompt =
    "Ada has 17 books. She buys 4 boxes with 12 books in each and gives half of all to Ben. How many are left?"

let private parse<'arguments when 'arguments :> IArgParserTemplate> (words: string list) =
    ArgumentParser.Create<'arguments>().ParseCommandLine(List.toArray words)

/// The smallest stages that come from the hub, run by the CPU engine.
let private stagesOf (file: CascadeFile) count =
    match file.Stages |> Seq.filter (fun stage -> not (isNull stage.Repository)) |> Seq.truncate count |> List.ofSeq with
    | stages when stages.Length < 2 ->
        raise (ToolkitException $"{file.File}: expected 2 stages with the key repository, got {stages.Length}")
    | stages -> stages

let private quoted (text: string) = "'" + text.Replace("'", "''") + "'"

let private cascadeText (stages: CascadeStage list) (questions: string) count maxTokens =
    let stage (s: CascadeStage) =
        let repository = nonNull s.Repository
        let file =
            match repository.File with
            | null -> ""
            | file -> $"\n    file: {quoted file}"
        $"  - name: {quoted s.Name}\n    repository: {quoted repository.Name}\n    revision: {quoted repository.Revision}{file}\n    cost: {s.Cost}\n"
    String.Join(
        "\n",
        [ "# Written by `toolkit quickstart`; every other command takes it with --config."
          "name: quickstart"
          "backend: cpu"
          "stages:"
          String.Join("", List.map stage stages) + "chat: direct"
          "tasks: jsonl"
          $"data: {{ path: {quoted questions}, prompt: question, reference: answer, grading: numeric,"
          "        instruction: 'Think in a few short steps. End with the answer as a number.' }"
          $"max_tokens: {maxTokens}"
          $"calibration_queries: {count}"
          "test_queries: 100"
          "calibration_trace: calibration.jsonl"
          "" ]
    )

let execute (arguments: ParseResults<QuickstartArguments>) (cancel: CancellationToken) =
    let number name least (value: int) =
        if value < least then raise (UsageException $"{name}: expected at least {least}, got {value}")
        value
    let count = arguments.GetResult(Count, defaultValue = 200) |> number "--count" 100
    let stages = arguments.GetResult(Stages, defaultValue = 3) |> number "--stages" 2
    let maxTokens = arguments.GetResult(Max_Tokens, defaultValue = 512) |> number "--max-tokens" 1
    let folder = arguments.GetResult(QuickstartArguments.Out, defaultValue = "quickstart")
    let cascade, records, policy =
        Path.Combine(folder, "cascade.yaml"), Path.Combine(folder, "calibration.jsonl"), Path.Combine(folder, "policy.json")
    let step (k: int) text = printfn "[%d/4] %s" k text
    if File.Exists cascade then
        step 1 $"{cascade} is there and gone on with"
    else
        let source =
            arguments.TryGetResult QuickstartArguments.Config
            |> Option.defaultWith (fun () -> repositoryFile (Path.Combine("configs", "qwen3_public.yaml")))
        let chosen = stagesOf (CascadeFile.Load source) stages
        Directory.CreateDirectory folder |> ignore
        let questions =
            match arguments.TryGetResult Questions with
            | Some file -> Path.GetFullPath file
            | None ->
                AtomicFile.Write(Path.Combine(folder, "questions.jsonl"), WordProblems.ToJsonLines(WordProblems.Draw(count + 100, 1)))
                "questions.jsonl"
        AtomicFile.Write(cascade, cascadeText chosen questions count maxTokens)
        step 1 $"{cascade} written"
    let file = CascadeFile.Load cascade
    for model in Pull.fetch (Pull.requestsOf file) HubPull.Parallel cancel do
        printfn $"      {model.Repository.Name}: {model.Path}"
    step 2 $"asking every model {file.CalibrationQueries} questions; a run that is interrupted is gone on with"
    Collect.execute (parse [ "--config"; cascade; "--split"; "calibration"; "--out"; records ]) cancel
    step 3 "choosing a policy that loses at most 5 % of quality against the largest"
    Calibrate.execute (parse [ "--traces"; records; "--out"; policy; "--max-loss"; "0.05" ]) cancel
    let prompt = arguments.GetResult(Prompt, defaultValue = defaultPrompt)
    step 4 $"toolkit decode --config {cascade} --policy {policy} \"{prompt}\""
    Decode.execute (parse [ "--config"; cascade; "--policy"; policy; prompt ]) cancel
    printfn "next        toolkit serve --config %s --policy %s" cascade policy
