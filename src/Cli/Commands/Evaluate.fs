/// `toolkit evaluate`: stopping policies compared on a trace file.
module OptimalStopping.Cli.Commands.Evaluate

open System
open Argu
open OptimalStopping.Runtime.Experiments
open OptimalStopping.Cli.Commands.Shared

type EvaluateArguments =
    | Traces of string
    | Train_Fraction of float
    | Train_Queries of int
    | Seed of int
    | Out of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Traces _ -> "the trace file (required)."
            | Train_Fraction _ -> "share of the queries to fit on (default: 0.5)."
            | Train_Queries _ -> "fit on at most this many of them."
            | Seed _ -> "seed of the split and of the bootstrap (default: 1)."
            | Out _ -> "the folder for curve.csv and summary.csv (required)."

let execute (arguments: ParseResults<EvaluateArguments>) =
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
