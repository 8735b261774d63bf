/// What each command does with its arguments. User faults are ToolkitExceptions, missing arguments UsageExceptions.
module OptimalStopping.Cli.Commands

open System
open System.Globalization
open System.IO
open System.Linq
open System.Text.Json
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Experiments
open OptimalStopping.Runtime.Ladder
open OptimalStopping.Runtime.Models
open OptimalStopping.Cli.Arguments

/// A command line that Argu accepts but that lacks what the command needs: exit code 2.
exception UsageException of string

/// A file of this repository, found from the working folder or from where the program lies.
let private repositoryFile (path: string) =
    let rec climb (folder: DirectoryInfo | null) =
        match folder with
        | null -> path
        | folder ->
            let here = Path.Combine(folder.FullName, path)
            if File.Exists here then here else climb folder.Parent
    if File.Exists path then path else climb (DirectoryInfo AppContext.BaseDirectory)

let private ladderFile = function
    | Some(path: string) -> path
    | None -> repositoryFile (Path.Combine("configs", "nano.yaml"))

let private required name = function
    | Some value -> value
    | None -> raise (UsageException $"expected {name}, got none")

/// The argument without a flag; Argu takes a misspelt flag for it.
let private plain name = function
    | Some(value: string) when value.StartsWith "--" -> raise (UsageException $"unrecognized argument: '{value}'.")
    | value -> required name value

let private number (x: float) digits = x.ToString("F" + string digits, CultureInfo.InvariantCulture)

let run (arguments: ParseResults<RunArguments>) (cancel: CancellationToken) =
    let folder = arguments.GetResult(RunArguments.Out, defaultValue = Path.Combine("results", "run"))
    let horizon = arguments.GetResult(RunArguments.Horizon, defaultValue = 100_000)
    if horizon < 1000 then raise (UsageException $"--horizon: expected at least 1000, got {horizon}")
    let experiments = arguments.GetResult(RunArguments.Experiments, defaultValue = "all")
    if not (ExperimentSuite.Names.Contains experiments) then
        raise (UsageException $"""--experiments: expected {String.Join(", ", ExperimentSuite.Names)}, got '{experiments}'""")
    let options = ExperimentOptions(Seed = arguments.GetResult(RunArguments.Seed, defaultValue = 1), Horizon = horizon)
    let request =
        RunRequest(
            experiments,
            ladderFile (arguments.TryGetResult RunArguments.Config),
            Option.toObj (arguments.TryGetResult RunArguments.Traces),
            folder, arguments.Contains RunArguments.Resume, options)
    try
        Progress.show (fun report -> ExperimentRun.Run(request, report, cancel))
    with :? OperationCanceledException ->
        raise (ToolkitException $"interrupted; what was recorded is kept: the same command with --resume goes on")
    for file in Figures.drawAll folder do
        printfn "%s" file

let evaluate (arguments: ParseResults<EvaluateArguments>) =
    let folder = required "--out FOLDER" (arguments.TryGetResult EvaluateArguments.Out)
    let traces = required "--traces FILE" (arguments.TryGetResult EvaluateArguments.Traces)
    let fraction = arguments.GetResult(Train_Fraction, defaultValue = 0.5)
    if not (fraction > 0.0 && fraction < 1.0) then
        raise (UsageException $"--train-fraction: expected a number between 0 and 1, got {fraction}")
    let options =
        EvaluationOptions(traces, folder,
            TrainFraction = fraction,
            TrainQueries = Option.toNullable (arguments.TryGetResult Train_Queries),
            Seed = arguments.GetResult(EvaluateArguments.Seed, defaultValue = 1))
    let quiet =
        { new IProgress<string> with
            member _.Report step = if not Console.IsErrorRedirected then eprintfn "%s" step }
    let report = Evaluation.Run(options, quiet)
    printfn "%d queries to fit on, %d to test on" report.TrainQueries report.TestQueries
    printfn "%-18s %8s %20s %14s %14s %8s" "policy" "auc" "vs pair envelope" "cost at 98 %" "cost at 100 %" "quality"
    for policy in report.Policies do
        let metric name = policy[name]
        let auc = metric "auc"
        printfn "%-18s %8s %20s %14s %14s %8s" policy.Policy (number (100.0 * auc.Value) 2)
            $"[{number (100.0 * auc.DifferenceLow) 2}, {number (100.0 * auc.DifferenceHigh) 2}]"
            (number (metric "cost_at_98pct").Value 2) (number (metric "cost_at_100pct").Value 2)
            (number (metric "quality_max").Value 4)

let figure (arguments: ParseResults<FigureArguments>) =
    let folder = plain "a run folder" (arguments.TryGetResult FigureArguments.Folder)
    for file in Figures.drawAll folder do
        printfn "%s" file
    match arguments.TryGetResult Readme with
    | Some readme -> ReadmeBlock.write (folder, readme)
    | None -> ()

let private warmUpRounds = 30
let private timedRounds = 15

let decode (arguments: ParseResults<DecodeArguments>) (cancel: CancellationToken) =
    let prompt = plain "a prompt" (arguments.TryGetResult Prompt)
    let lambda = arguments.GetResult(Lambda, defaultValue = 0.01)
    if not (lambda >= 0.0 && Double.IsFinite lambda) then
        raise (UsageException $"--lambda: expected a number of at least 0, got {lambda}")
    let json = arguments.Contains DecodeArguments.Json
    let file = LadderFile.Load(ladderFile (arguments.TryGetResult DecodeArguments.Config))
    let records =
        match Option.ofObj file.CalibrationTrace with
        | Some path when File.Exists path -> LadderRecords.Load path
        | Some path -> raise (ToolkitException $"{file.File}: key 'calibration_trace': expected a file at {path}, got none; 'toolkit collect --split calibration' writes it")
        | None -> raise (ToolkitException $"{file.File}: key 'calibration_trace': expected the trace file to fit the policy on, got none")
    use ladder = ModelLadder.Load file
    let adaptive = AdaptiveLadder.Fit(ladder, records, lambda)
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
    let tokens = ladder.Tokenizer.Encode prompt
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
               answer = Tasks.Grader.ExtractAnswer answer.Chosen.Text
               text = answer.Chosen.Text
               stage = name answer.Chosen.Stage
               confidence = answer.Chosen.Confidence
               cost = answer.Cost
               cost_of_largest = file.Stages[largest].Cost
               seconds = seconds
               seconds_of_largest = largestSeconds
               turns = answer.Turns |> Seq.map (fun t -> {| stage = name t.Stage; text = t.Text; confidence = t.Confidence; tokens = t.Tokens |}) |> Seq.toArray |}
        printfn "%s" (JsonSerializer.Serialize(value, JsonSerializerOptions(WriteIndented = true, Encoder = Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)))
    else
        printfn "answer      %s" (match Tasks.Grader.ExtractAnswer answer.Chosen.Text with null -> "(none given)" | text -> text)
        printfn "stage       %s (asked: %s)" (name answer.Chosen.Stage) (String.Join(", ", answer.Turns |> Seq.map (fun t -> name t.Stage)))
        printfn "confidence  %s" (number answer.Chosen.Confidence 3)
        printfn "cost        %s of %s for %s alone: %sx cheaper" (number answer.Cost 1) (number file.Stages[largest].Cost 1) (name largest) (number (file.Stages[largest].Cost / answer.Cost) 1)
        printfn "time        %s ms of %s ms: %sx as fast (medians of 15, in turn)" (number (1000.0 * seconds) 2) (number (1000.0 * largestSeconds) 2) (number (largestSeconds / seconds) 1)

let collect (arguments: ParseResults<CollectArguments>) (cancel: CancellationToken) =
    let out = required "--out FILE" (arguments.TryGetResult CollectArguments.Out)
    let split = arguments.GetResult(Split, defaultValue = "both")
    if not (Array.contains split [| "calibration"; "test"; "both" |]) then
        raise (UsageException $"--split: expected calibration, test or both, got '{split}'")
    let count = arguments.GetResult(Count, defaultValue = Int32.MaxValue)
    if count < 1 then raise (UsageException $"--count: expected at least 1, got {count}")
    let file = LadderFile.Load(ladderFile (arguments.TryGetResult CollectArguments.Config))
    let queries =
        ExperimentRun.Queries(file, arguments.GetResult(CollectArguments.Seed, defaultValue = 1))
            .Where(fun (struct (_, s)) -> split = "both" || s = split)
            .Take(count).ToArray()
    use ladder = ModelLadder.Load file
    try
        Progress.show (fun report ->
            let relay = { new IProgress<int> with member _.Report done' = report.Invoke("asking the models", float done' / float queries.Length) }
            Collector.Run(ladder, queries, out, relay, cancel))
    with :? OperationCanceledException ->
        raise (ToolkitException $"interrupted; {out} is kept: the same command goes on")
    printfn "%s: %d records" out queries.Length

let train (arguments: ParseResults<TrainArguments>) (cancel: CancellationToken) =
    let out = required "--out FOLDER" (arguments.TryGetResult TrainArguments.Out)
    let config = arguments.GetResult(TrainArguments.Config, defaultValue = repositoryFile (Path.Combine("configs", "nano_training.yaml")))
    let threads = arguments.GetResult(Threads, defaultValue = 1)
    if threads < 1 then raise (UsageException $"--threads: expected at least 1, got {threads}")
#if TORCH
    try
        Torch.TrainingCommand.Run(config, out, threads, Action<string>(printfn "%s"), cancel)
    with :? OperationCanceledException ->
        raise (ToolkitException $"interrupted; the checkpoints in {out} are kept: the same command goes on")
#else
    ignore (config, threads, cancel)
    raise (ToolkitException $"train: expected a build with TorchSharp, got one without; run: dotnet run --project src/Cli -c Release -p:TorchBackend=cpu -- train --out {out}")
#endif

let info (arguments: ParseResults<InfoArguments>) =
    let file = LadderFile.Load(ladderFile (arguments.TryGetResult InfoArguments.Config))
    use ladder = ModelLadder.Load file
    let timings = ModelBenchmark.Measure ladder.Models
    let costs = ModelBenchmark.RelativeCosts timings
    let rows =
        file.Stages |> Seq.mapi (fun i stage ->
            let config = (ladder.Models[i] :?> CpuModel).Config
            {| name = stage.Name
               hidden = config.HiddenSize
               layers = config.Layers
               heads = $"{config.Heads}/{config.KeyValueHeads} x {config.HeadDimension}"
               intermediate = config.IntermediateSize
               bytes = FileInfo(Path.Combine(stage.Path, "model.safetensors")).Length
               cost = stage.Cost
               measured_cost = costs[i]
               microseconds_per_token = 1e6 * timings[i].SecondsPerToken
               batched_cost = timings[i].BatchedSecondsPerToken / timings[0].BatchedSecondsPerToken
               batched_microseconds_per_token = 1e6 * timings[i].BatchedSecondsPerToken |})
        |> Seq.toArray
    if arguments.Contains InfoArguments.Json then
        printfn "%s" (JsonSerializer.Serialize({| ladder = file.Name; kernels = KernelSet.Best.Name; stages = rows |}, JsonSerializerOptions(WriteIndented = true)))
    else
        printfn "ladder %s, kernels %s (available: %s)" file.Name KernelSet.Best.Name (String.Join(", ", KernelSet.Available.Select(fun k -> k.Name)))
        printfn "%-10s %6s %6s %10s %6s %10s %8s %10s %12s %10s %12s" "model" "hidden" "layers" "heads" "ffn" "bytes" "cost" "measured" "us/token" "batched" "us/token"
        for r in rows do
            printfn "%-10s %6d %6d %10s %6d %10d %8s %10s %12s %10s %12s" r.name r.hidden r.layers r.heads r.intermediate r.bytes (number r.cost 1)
                (number r.measured_cost 2) (number r.microseconds_per_token 1) (number r.batched_cost 2) (number r.batched_microseconds_per_token 1)
