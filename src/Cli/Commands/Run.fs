/// `toolkit run`: the experiments, their figures, table and report.
module OptimalStopping.Cli.Commands.Run

open System
open System.IO
open System.Linq
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Experiments
open OptimalStopping.Cli
open OptimalStopping.Cli.Commands.Shared

type RunArguments =
    | Experiments of string
    | Config of string
    | Traces of string
    | Policy of string
    | Out of string
    | Seed of int
    | Horizon of int
    | Resume

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Experiments _ -> "all, regret, tradeoff or statistical (default: all)."
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Traces _ -> "replay this trace file instead of running models."
            | Policy _ -> "replay this policy file of 'toolkit calibrate' beside the other policies."
            | Out _ -> "the folder for results (default: results/run)."
            | Seed _ -> "seed of queries, resamples and learners (default: 1)."
            | Horizon _ -> "queries per run of the regret experiment (default: 100000)."
            | Resume -> "go on with the records that the folder already holds."

let execute (arguments: ParseResults<RunArguments>) (cancel: CancellationToken) =
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
            folder, arguments.Contains RunArguments.Resume, options,
            Policy = Option.toObj (arguments.TryGetResult RunArguments.Policy))
    try
        Progress.show (fun report -> ExperimentRun.Run(request, report, cancel))
    with :? OperationCanceledException ->
        raise (ToolkitException $"interrupted; what was recorded is kept: the same command with --resume goes on")
    for file in Figures.drawAll folder do
        printfn "%s" file
