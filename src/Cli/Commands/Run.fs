/// `toolkit run`: the experiments, their figures, table and report.
module OptimalStopping.Cli.Commands.Run

open System
open System.IO
open System.Linq
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type RunArguments =
    | Experiments of experiments: string
    | Config of file: string
    | Traces of file: string
    | Policy of file: string
    | Out of dir: string
    | Seed of int
    | Horizon of int
    | Resume
    | Reproduce of file: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Experiments _ ->
                "all (the four that follow), regret, tradeoff, statistical, speculative; or savings, looks, which take times (default: all)."
            | Config _ -> "the cascade file (default: configs/miniature.yaml)."
            | Traces _ -> "replay this trace file instead of running models."
            | Policy _ -> "replay this policy file of 'toolkit calibrate' beside the other policies."
            | Out _ -> "the folder for results (default: results/run; with --reproduce, the run's folder with -reproduced)."
            | Seed _ -> "seed of queries, resamples and learners (default: 1)."
            | Horizon _ -> "queries per run of the regret experiment (default: 100000)."
            | Resume -> "go on with the records that the folder already holds."
            | Reproduce _ -> "run the manifest.json of an earlier run again and compare the results, byte for byte."

/// Runs the work with progress; when it is interrupted, says how to go on.
let private interruptible (goOn: string) (work: Action<string, float> -> 'a) : 'a =
    let mutable result = Unchecked.defaultof<'a>
    try
        Progress.show (fun report -> result <- work report)
        result
    with :? OperationCanceledException ->
        raise (InterruptedException goOn)

/// Runs a manifest again and prints which results are the same.
let private reproduce (manifest: string) (arguments: ParseResults<RunArguments>) (cancel: CancellationToken) =
    for flag, given in
        [ "--experiments", arguments.Contains Experiments
          "--seed", arguments.Contains RunArguments.Seed
          "--horizon", arguments.Contains Horizon
          "--resume", arguments.Contains Resume ] do
        if given then raise (UsageException $"{flag}: expected none with --reproduce, whose manifest decides it")
    let source = nonNull (Path.GetDirectoryName(Path.GetFullPath manifest))
    let folder =
        arguments.GetResult(RunArguments.Out, defaultValue = Path.GetRelativePath(Directory.GetCurrentDirectory(), source + "-reproduced"))
    let files =
        interruptible "the same command goes on" (fun report ->
            RunReproduction.Run(
                manifest,
                Option.toObj (arguments.TryGetResult RunArguments.Config),
                Option.toObj (arguments.TryGetResult RunArguments.Traces),
                Option.toObj (arguments.TryGetResult RunArguments.Policy),
                folder,
                report,
                cancel
            ))
    printfn "recorded with  %s" (RunManifest.Read manifest).Build
    printfn "run again with %s" RunManifest.ThisBuild
    for file in files do
        printfn "%-24s %s" file.Name file.Got
    let same = files |> Seq.filter _.Same |> Seq.length
    printfn "%d of %d files are the same" same files.Count
    if same < files.Count then
        raise (
            ToolkitException $"{manifest}: expected the same bytes in {files.Count} files, got them in {same}; the new run is in {folder}"
        )

let execute (arguments: ParseResults<RunArguments>) (cancel: CancellationToken) =
    match arguments.TryGetResult Reproduce with
    | Some manifest -> reproduce manifest arguments cancel
    | None ->
        let folder = arguments.GetResult(RunArguments.Out, defaultValue = Path.Combine("results", "run"))
        let horizon = arguments.GetResult(RunArguments.Horizon, defaultValue = 100_000)
        if horizon < 1000 then raise (UsageException $"--horizon: expected at least 1000, got {horizon}")
        let experiments = arguments.GetResult(RunArguments.Experiments, defaultValue = "all")
        let options = ExperimentOptions(Seed = arguments.GetResult(RunArguments.Seed, defaultValue = 1), Horizon = horizon)
        let traces = Option.toObj (arguments.TryGetResult RunArguments.Traces)
        let request =
            RunRequest(
                experiments,
                cascadeFile (arguments.TryGetResult RunArguments.Config),
                traces,
                folder,
                arguments.Contains Resume,
                options,
                Policy = Option.toObj (arguments.TryGetResult RunArguments.Policy)
            )
        let goOn =
            if isNull traces then
                "what was recorded is kept: the same command with --resume goes on"
            else
                "the same command starts again"
        interruptible goOn (fun report -> ExperimentRun.Run(request, report, cancel))
        let files = OptimalStopping.Reports.Figures.drawAll folder
        for file in files do
            printfn "%s" file
        printfn ""
        for headline in OptimalStopping.Reports.Headlines.all (RunData.Load folder) do
            printfn "%s" (Table.wrap (Table.screen ()) 0 $"{headline.Value} {headline.Meaning} ({headline.Detail})")
        for report in files |> Array.filter (fun file -> file.EndsWith("report.html", StringComparison.Ordinal)) do
            printfn "report: %s" report
