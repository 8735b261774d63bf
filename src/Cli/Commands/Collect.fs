/// `toolkit collect`: every model asked every query, into a trace file.
module OptimalStopping.Cli.Commands.Collect

open System
open System.Linq
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Cli
open OptimalStopping.Cli.Commands.Shared

type CollectArguments =
    | Config of file: string
    | Split of split: string
    | Count of int
    | Seed of int
    | [<Mandatory>] Out of file: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the cascade file (default: configs/nano.yaml)."
            | Split _ -> "calibration, test or both (default: both)."
            | Count _ -> "only the first so many queries."
            | Seed _ -> "seed of the queries (default: 1)."
            | Out _ -> "the trace file to write; one that an interrupted run left is gone on with."

let execute (arguments: ParseResults<CollectArguments>) (cancel: CancellationToken) =
    let out = arguments.GetResult CollectArguments.Out
    let split = arguments.GetResult(Split, defaultValue = "both")
    let count = arguments.GetResult(Count, defaultValue = Int32.MaxValue)
    if count < 1 then raise (UsageException $"--count: expected at least 1, got {count}")
    let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult CollectArguments.Config))
    let queries =
        ExperimentRun
            .Queries(file, arguments.GetResult(CollectArguments.Seed, defaultValue = 1))
            .Where(fun (struct (_, s)) -> split = "both" || s = split)
            .Take(count)
            .ToArray()
    use cascade = Cascade.Load file
    try
        Progress.show (fun report ->
            let relay =
                { new IProgress<int> with
                    member _.Report done' = report.Invoke("asking the models", float done' / float queries.Length) }
            Collector.Run(cascade, queries, out, relay, cancel))
    with :? OperationCanceledException ->
        raise (ToolkitException $"interrupted; {out} is kept: the same command goes on")
    printfn "%s: %d records" out queries.Length
