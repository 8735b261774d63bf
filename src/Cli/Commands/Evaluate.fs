/// `toolkit evaluate`: stopping policies compared on a trace file.
module OptimalStopping.Cli.Commands.Evaluate

open System
open System.Collections.Generic
open System.Threading
open Argu
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type EvaluateArguments =
    | [<Mandatory>] Traces of file: string
    | Train_Fraction of float
    | Train_Queries of int list
    | Seed of int
    | Seeds of int
    | Resamples of int
    | Ceiling
    | Objective of name: string
    | Unit of text: string
    | [<Mandatory>] Out of dir: string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Traces _ -> "the trace file, or a log that 'toolkit import' reads."
            | Train_Fraction _ -> "share of the queries to fit on (default: 0.5)."
            | Train_Queries _ -> "fit on at most this many of them; several numbers with --seeds."
            | Seed _ -> "seed of the split and of the bootstrap (default: 1)."
            | Seeds _ -> "evaluate for this many splits, from --seed on, and print means over them; writes seeds.csv only."
            | Resamples _ -> "bootstrap resamples for the intervals (default: 1000)."
            | Ceiling -> "add a row for the default policy fitted on the test part itself, which bounds what more training could bring."
            | Objective _ ->
                "what to save: cost, latency (the 'seconds' of each stage; see collect --times), or both alike (default: cost)."
            | Unit _ -> "what stands before an amount of cost, e.g. $ where the file counts in dollars."
            | Out _ -> "the folder for curve.csv, summary.csv, metrics.csv, stops.csv and report.html."
            | Json -> "print one JSON object instead of the table."

/// The mean of a cost over splits, or in how many of them a policy never reached the quality.
let costAt (costs: float[]) =
    match costs |> Array.filter Double.IsFinite |> Array.length with
    | reached when reached = costs.Length -> amount (Array.average costs)
    | 0 -> "never"
    | reached -> $"never in {costs.Length - reached}"

let private metricsJson (policy: PolicyEvaluation) =
    policy.Metrics
    |> Seq.map (fun m ->
        KeyValuePair(
            m.Name,
            {| value = finite m.Value
               low = finite m.Low
               high = finite m.High
               difference = finite m.Difference
               difference_low = finite m.DifferenceLow
               difference_high = finite m.DifferenceHigh |}
        ))
    |> Dictionary

/// What the file cannot tell; a file of a few lines is refused.
let private notes (traces: string) : string list =
    let table = OptimalStopping.Runtime.Traces.TraceReader.ReadTable traces
    if table.Cascade.Queries < LogNotes.LeastQueries then
        raise (
            OptimalStopping.Runtime.ToolkitException
                $"{traces}: expected at least {LogNotes.LeastQueries} queries, since fewer give no intervals that mean anything, got {table.Cascade.Queries}"
        )
    List.ofSeq (LogNotes.Of table)

/// The answer in one sentence.
let private sentence (report: EvaluationReport) unit =
    report.Headline |> Option.ofObj |> Option.map (fun headline -> headline.Sentence unit)

let private one (options: EvaluationOptions) (steps: IProgress<string>) unit json =
    let notes = notes options.Traces
    let report = Evaluation.Run(options, steps)
    OptimalStopping.Reports.EvaluationPage.write (nonNull (IO.Path.GetFileName options.Traces), report, unit, options.Out)
    if json then
        printJson
            {| sentence = sentence report unit |> Option.toObj
               train_queries = report.TrainQueries
               test_queries = report.TestQueries
               models =
                report.ModelRows
                |> Seq.map (fun m ->
                    {| name = m.Model
                       cost = finite m.Cost
                       quality = finite m.Quality
                       recorded = m.Recorded
                       auroc = finite m.Auroc
                       ece = finite m.Ece
                       features_auroc = finite m.FeaturesAuroc
                       features_ece = finite m.FeaturesEce |})
               candidates = report.Candidates |> Seq.map (fun c -> {| policy = c.Name; held_out_auc = c.Score; error = c.Error |})
               notes = notes
               reference = PolicyRegistry.Reference
               policies = report.Policies |> Seq.map (fun p -> {| policy = p.Policy; estimator = p.Estimator; metrics = metricsJson p |}) |}
    else
        sentence report unit |> Option.iter (fun text -> printfn "%s" (Table.wrap (Table.screen ()) 0 text))
        printfn "%d queries to fit on, %d to test on" report.TrainQueries report.TestQueries
        if report.RepeatedIds > 0 then
            printfn
                "note: %d lines have the id of an earlier line; a query in both parts makes figures and intervals too good"
                report.RepeatedIds
        for note in notes do
            printfn "%s" (Table.wrap (Table.screen ()) 0 $"note: {note}")
        let row (policy: PolicyEvaluation) =
            let metric name = policy[name]
            let auc = metric "auc"
            [| policy.Policy
               number (100.0 * auc.Value) 2
               $"[{number (100.0 * auc.DifferenceLow) 2}, {number (100.0 * auc.DifferenceHigh) 2}]"
               costAt [| (metric "cost_at_98pct").Value |]
               costAt [| (metric "cost_at_100pct").Value |]
               number (metric "quality_max").Value 4 |]
        Table.print
            [| "policy"; "auc"; "vs pair envelope"; "cost at 98 %"; "cost at 100 %"; "quality" |]
            [| for policy in report.Policies -> row policy |]
        let share (x: float) = if Double.IsFinite x then number x 3 else ""
        Table.print
            [| "model"; "cost"; "quality"; "auroc"; "ece"; "auroc, features"; "ece, features" |]
            [| for m in report.ModelRows ->
                   [| m.Model; amount m.Cost; share m.Quality; share m.Auroc; share m.Ece; share m.FeaturesAuroc; share m.FeaturesEce |] |]
        printfn "default     %s" report.Policies[0].Estimator
        printfn "report      %s" (IO.Path.Combine(options.Out, "report.html"))

let private several (options: EvaluationOptions) seeds sizes (steps: IProgress<string>) json =
    let rows = EvaluationStudy.Run(options, seeds, sizes, steps)
    /// Least lead of a policy over mixtures of single models on the same split.
    let leastLead (row: StudyRow) =
        let mixture = rows |> Seq.find (fun r -> r.TrainQueries = row.TrainQueries && r.Policy = "mixture")
        Array.map2 (-) (row.Of "auc") (mixture.Of "auc") |> Array.min
    if json then
        printJson
            {| first_seed = options.Seed
               seeds = seeds
               rows =
                rows
                |> Seq.map (fun r ->
                    {| policy = r.Policy
                       train_queries = r.TrainQueries
                       mean_auc = Array.average (r.Of "auc")
                       auc = r.Of "auc"
                       cost_at_98pct = r.Of "cost_at_98pct" |> Array.map finite
                       best_model_cost = r.ModelCost
                       least_lead_over_mixture = leastLead r |}) |}
    else
        printfn "means over %d splits; 'least' and 'most' are single splits" seeds
        let cells (row: StudyRow) =
            let auc = row.Of "auc"
            [| row.Policy
               string row.TrainQueries
               number (100.0 * Array.average auc) 2
               number (100.0 * Array.min auc) 2
               number (100.0 * Array.max auc) 2
               number (100.0 * leastLead row) 2
               costAt (row.Of "cost_at_98pct") |]
        Table.print
            [| "policy"; "queries"; "auc"; "least"; "most"; "least lead over mixture"; "cost at 98 %" |]
            [| for row in rows -> cells row |]

let execute (arguments: ParseResults<EvaluateArguments>) (cancel: CancellationToken) =
    let folder = arguments.GetResult EvaluateArguments.Out
    let given = arguments.GetResult EvaluateArguments.Traces
    let fraction = arguments.GetResult(Train_Fraction, defaultValue = 0.5)
    if not (fraction > 0.0 && fraction < 1.0) then
        raise (UsageException $"--train-fraction: expected a number between 0 and 1, got {fraction}")
    let atLeast low name value =
        if value < low then raise (UsageException $"{name}: expected at least {low}, got {value}")
        value
    let sizes = arguments.GetResult(Train_Queries, defaultValue = []) |> List.map (atLeast 2 "--train-queries")
    let seeds = arguments.TryGetResult Seeds |> Option.map (atLeast 1 "--seeds")
    if seeds.IsNone && sizes.Length > 1 then
        raise (UsageException $"--train-queries: expected one number without --seeds, got {sizes.Length}")
    let objective =
        match arguments.GetResult(Objective, defaultValue = "cost") with
        | "cost" -> TraceObjective.Cost
        | "latency" -> TraceObjective.Latency
        | "both" -> TraceObjective.Both
        | other -> raise (UsageException $"--objective: expected cost, latency or both, got '{other}'")
    let traces = Import.tracesOf given folder cancel
    let options =
        EvaluationOptions(
            traces,
            folder,
            TrainFraction = fraction,
            Objective = objective,
            TrainQueries = Option.toNullable (List.tryHead sizes),
            Resamples = (arguments.GetResult(Resamples, defaultValue = 1000) |> atLeast 0 "--resamples"),
            Ceiling = arguments.Contains Ceiling,
            Explain = seeds.IsNone,
            Seed = arguments.GetResult(EvaluateArguments.Seed, defaultValue = 1)
        )
    let steps =
        { new IProgress<string> with
            member _.Report step = if not Console.IsErrorRedirected then eprintfn "%s" step }
    let json = arguments.Contains EvaluateArguments.Json
    match seeds with
    | None -> one options steps (arguments.GetResult(Unit, defaultValue = "")) json
    | Some seeds ->
        let sizes = if sizes.IsEmpty then [| Nullable() |] else sizes |> List.map Nullable |> List.toArray
        several options seeds sizes steps json
