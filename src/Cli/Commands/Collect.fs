/// `toolkit collect`: every model asked every query, into a trace file.
module OptimalStopping.Cli.Commands.Collect

open System
open System.Linq
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type CollectArguments =
    | Config of file: string
    | Split of split: string
    | Count of int
    | Seed of int
    | Max_Cost of number: float
    | Times
    | [<Mandatory>] Out of file: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the cascade file (default: configs/miniature.yaml)."
            | Split _ -> "calibration, test or both (default: both)."
            | Count _ -> "only the first so many queries."
            | Seed _ -> "seed of the queries (default: 1)."
            | Max_Cost _ -> "most that this call spends, in the cascade's units (default: no limit)."
            | Times -> "also record the seconds that each answer took, one question at a time; bytes then differ from run to run."
            | Out _ -> "the trace file to write; one that an interrupted run left is gone on with."

let execute (arguments: ParseResults<CollectArguments>) (cancel: CancellationToken) =
    let out = arguments.GetResult CollectArguments.Out
    let split = arguments.GetResult(Split, defaultValue = "both")
    let count = arguments.GetResult(Count, defaultValue = Int32.MaxValue)
    if count < 1 then raise (UsageException $"--count: expected at least 1, got {count}")
    let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult CollectArguments.Config))
    let queries =
        CascadeQueries
            .Draw(file, arguments.GetResult(CollectArguments.Seed, defaultValue = 1))
            .Where(fun (struct (_, s)) -> split = "both" || s = split)
            .Take(count)
            .ToArray()
    let maxCost = arguments.GetResult(Max_Cost, defaultValue = infinity)
    if not (maxCost > 0.0) then raise (UsageException $"--max-cost: expected a number above 0, got {maxCost}")
    use cascade = Cascade.Load file
    let records = ref 0
    try
        Progress.show (fun report ->
            let relay =
                { new IProgress<int> with
                    member _.Report done' = report.Invoke("asking the models", float done' / float queries.Length) }
            records.Value <-
                Collector.CollectAsync(cascade, queries, out, maxCost, relay, arguments.Contains Times, cancel).GetAwaiter().GetResult())
    with :? OperationCanceledException ->
        raise (InterruptedException $"{out} is kept: the same command goes on")
    if records.Value < queries.Length then
        raise (
            ToolkitException
                $"--max-cost: {maxCost} are used up; {out} holds {records.Value} of {queries.Length} records: the same command goes on"
        )
    printfn "%s: %d records" out records.Value
