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
    | Traces of file: string
    | Suite of dir: string
    | Off_Policy of log: string
    | Policy of file: string list
    | Floor of float
    | Ablation
    | Train_Fraction of float
    | Train_Queries of int list
    | Seed of int
    | Seeds of int
    | Resamples of int
    | Ceiling
    | Objective of name: string
    | Unit of text: string
    | Out of dir: string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Traces _ -> "the trace file, or a log that 'toolkit import' reads (required without --suite)."
            | Suite _ -> "instead, evaluate every trace file of this folder against the field's policies, and pool over files."
            | Off_Policy _ ->
                "instead, tell from a log of decisions with their probabilities (serve --decisions) what other policies would have been worth."
            | Policy _ -> "with --off-policy: policy files to evaluate, beside every model alone."
            | Floor _ ->
                "with --off-policy: the least probability that the log's policies give to what they may do (default: the least in the log)."
            | Ablation -> "tell what each group of features (text, dataset, numbers recorded, agreement, confidence) brings."
            | Train_Fraction _ -> "share of the queries to fit on (default: 0.5)."
            | Train_Queries _ -> "fit on at most this many of them; several numbers with --seeds."
            | Seed _ -> "seed of the split and of the bootstrap (default: 1)."
            | Seeds _ -> "evaluate for this many splits, from --seed on, and print means over them; writes seeds.csv only."
            | Resamples _ -> "bootstrap resamples for the intervals (default: 1000)."
            | Ceiling -> "add a row for the default policy fitted on the test part itself, which bounds what more training could bring."
            | Objective _ ->
                "what to save: cost, latency (the 'seconds' of each stage; see collect --times), or both alike (default: cost)."
            | Unit _ -> "what stands before an amount of cost, e.g. $ where the file counts in dollars."
            | Out _ ->
                "the folder for curve.csv, summary.csv, metrics.csv, stops.csv, learning.csv and report.html (required without --suite)."
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
let private notes (traces: string) (table: TraceTable) : string list =
    if table.Cascade.Queries < LogNotes.LeastQueries then
        raise (
            OptimalStopping.Runtime.ToolkitException
                $"{traces}: expected at least {LogNotes.LeastQueries} queries, since fewer give no intervals that mean anything, got {table.Cascade.Queries}"
        )
    List.ofSeq (LogNotes.Of table)

let private learning (report: EvaluationReport) =
    report.Learning
    |> Option.ofObj
    |> Option.map (fun curve ->
        {| sentence = curve.Sentence
           policy = curve.Family
           points = curve.Points |> Seq.map (fun p -> {| queries = p.Queries; fits = p.Fits; auc = p.Auc |})
           more = LearningCurve.More
           gain = curve.Gain
           low = finite curve.Low
           high = finite curve.High |})

/// The answer in one sentence.
let private sentence (report: EvaluationReport) unit =
    report.Headline |> Option.ofObj |> Option.map (fun headline -> headline.Sentence unit)

let private ablationJson (rows: AblationRow seq) =
    rows
    |> Seq.map (fun r -> {| group = r.Group; auc_without = finite r.Auc; gain = finite r.Gain; low = finite r.Low; high = finite r.High |})

let private points (value: float) (low: float) (high: float) =
    $"{number (100.0 * value) 2} [{number (100.0 * low) 2}, {number (100.0 * high) 2}]"

let private printAblation (rows: AblationRow seq) =
    if not (Seq.isEmpty rows) then
        Table.print
            [| "without"; "auc"; "the group brings" |]
            [| for r in rows -> [| r.Group; number (100.0 * r.Auc) 2; points r.Gain r.Low r.High |] |]

let private one (options: EvaluationOptions) (steps: IProgress<string>) unit json ablation cancel =
    let notes, report, ablation =
        abandonable cancel (fun () ->
            steps.Report $"reading {options.Traces}"
            let table = TraceReader.ReadTable(options.Traces, null, options.Objective)
            let notes = notes options.Traces table
            let report = Evaluation.Run(table, options, steps)
            let ablation = if ablation then EvaluationAblation.Run(table, options, steps) |> Seq.toArray else [||]
            notes, report, ablation)
    report.Write options.Out
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
               learning = learning report |> Option.toObj
               notes = notes
               ablation = ablationJson ablation
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
        printAblation ablation
        match Option.ofObj report.Learning with
        | Some curve -> printfn "%s" (Table.wrap (Table.screen ()) 0 curve.Sentence)
        | None -> ()
        printfn "default     %s" report.Policies[0].Estimator
        printfn "report      %s" (IO.Path.Combine(options.Out, "report.html"))

let private several (options: EvaluationOptions) seeds sizes (steps: IProgress<string>) json cancel =
    let rows =
        abandonable cancel (fun () ->
            steps.Report $"reading {options.Traces}"
            EvaluationStudy.Run(TraceReader.ReadTable(options.Traces, null, options.Objective), options, seeds, sizes, steps))
    EvaluationStudy.Write(rows, options)
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

let private suiteFigures (policy: SuitePolicy) =
    policy.Figures
    |> Seq.map (fun f -> KeyValuePair(f.Name, {| value = finite f.Value; low = finite f.Low; high = finite f.High |}))
    |> Dictionary

let private leadJson (lead: SuiteLead) =
    {| policy = lead.Policy
       files = lead.Files
       lead = {| value = finite lead.Lead.Value; low = finite lead.Lead.Low; high = finite lead.Lead.High |}
       wins = {| value = finite lead.Wins.Value; low = finite lead.Wins.Low; high = finite lead.Wins.High |}
       clear_wins = lead.ClearWins
       clear_losses = lead.ClearLosses |}

let private policyJson (policy: SuitePolicy) = {| policy = policy.Policy; files = policy.Files; figures = suiteFigures policy |}

let private suite (options: EvaluationOptions) ablation (steps: IProgress<string>) json (cancel: CancellationToken) =
    let report = abandonable cancel (fun () -> EvaluationSuite.Run(options, ablation, steps, cancel))
    if json then
        printJson
            {| seed = options.Seed
               files =
                report.Files
                |> Seq.map (fun f ->
                    {| file = f.File
                       models = f.Models
                       train_queries = f.TrainQueries
                       test_queries = f.TestQueries
                       ``default`` = f.Default
                       policies = f.Policies |> Seq.map policyJson
                       leads = f.Leads |> Seq.map leadJson
                       ablation = ablationJson f.Ablation |})
               policies = report.Policies |> Seq.map policyJson
               leads = report.Leads |> Seq.map leadJson |}
    else
        let share (x: float) = if Double.IsNaN x then "" else number x 3
        let table (policies: SuitePolicy seq) (leads: SuiteLead seq) pooled =
            let lead (policy: SuitePolicy) = leads |> Seq.tryFind (fun l -> l.Policy = policy.Policy)
            Table.print
                [| "policy"
                   if pooled then "files"
                   "aiq"
                   "apgr"
                   "cpt 50 %"
                   "cpt 80 %"
                   "cost at 95 %"
                   "98 %"
                   "100 %"
                   "default's lead"
                   if pooled then "wins" |]
                [| for p in policies ->
                       let value (name: string) = p[name].Value
                       [| p.Policy
                          if pooled then string p.Files
                          number (100.0 * value "aiq") 2
                          for name in [ "apgr"; "cpt50"; "cpt80"; "cost_at_95pct"; "cost_at_98pct"; "cost_at_100pct" ] do
                              share (value name)
                          match lead p with
                          | Some l -> points l.Lead.Value l.Lead.Low l.Lead.High
                          | None -> ""
                          if pooled then
                              match lead p with
                              | Some l -> $"{number l.Wins.Value 0} [{number l.Wins.Low 0}, {number l.Wins.High 0}] of {l.Files}"
                              | None -> "" |] |]
        for f in report.Files do
            printfn
                "%s: %d models, %d queries to fit on, %d to test on; default: %s"
                f.File
                f.Models.Count
                f.TrainQueries
                f.TestQueries
                f.Default
            table f.Policies f.Leads false
            printAblation f.Ablation
        printfn "over %d files" report.Files.Count
        table report.Policies report.Leads true
        printfn "costs are shares of the best single model's; leads are in points of auc, with 95 %% intervals for these files"

let private comparison (arguments: ParseResults<EvaluateArguments>) (cancel: CancellationToken) =
    for flag, given in [ "--policy", arguments.Contains EvaluateArguments.Policy; "--floor", arguments.Contains Floor ] do
        if given then raise (UsageException $"{flag}: expected --off-policy LOG beside it, got none")
    let directory = arguments.TryGetResult Suite
    let needed name (value: string option) =
        match value, directory with
        | Some value, _ -> value
        | None, Some _ -> ""
        | None, None -> raise (UsageException $"evaluate: expected {name}, got none")
    if directory.IsSome && arguments.Contains EvaluateArguments.Traces then
        raise (UsageException "--suite: expected no --traces beside it, since its folder names the files")
    let folder = arguments.TryGetResult EvaluateArguments.Out |> needed "--out DIR"
    let given = arguments.TryGetResult EvaluateArguments.Traces |> needed "--traces FILE (or --suite DIR)"
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
    if directory.IsSome && (seeds.IsSome || sizes.Length > 1) then
        raise (UsageException "--suite: expected no --seeds and one --train-queries at most beside it")
    let traces =
        match directory with
        | Some directory -> directory
        | None -> Import.tracesOf given folder cancel
    let options =
        EvaluationOptions(
            traces,
            folder,
            TrainFraction = fraction,
            Objective = objective,
            TrainQueries = Option.toNullable (List.tryHead sizes),
            Resamples = (arguments.GetResult(Resamples, defaultValue = 1000) |> atLeast 0 "--resamples"),
            Ceiling = arguments.Contains Ceiling,
            Explain = (seeds.IsNone && directory.IsNone),
            Seed = arguments.GetResult(EvaluateArguments.Seed, defaultValue = 1)
        )
    let steps =
        { new IProgress<string> with
            member _.Report step = if not Console.IsErrorRedirected then eprintfn "%s" step }
    let json = arguments.Contains EvaluateArguments.Json
    let ablation = arguments.Contains Ablation
    match seeds with
    | _ when directory.IsSome -> suite options ablation steps json cancel
    | None -> one options steps (arguments.GetResult(Unit, defaultValue = "")) json ablation cancel
    | Some seeds ->
        let sizes = if sizes.IsEmpty then [| Nullable() |] else sizes |> List.map Nullable |> List.toArray
        several options seeds sizes steps json cancel

let execute (arguments: ParseResults<EvaluateArguments>) (cancel: CancellationToken) =
    match arguments.TryGetResult Off_Policy with
    | None -> comparison arguments cancel
    | Some log ->
        for flag, given in
            [ "--traces", arguments.Contains EvaluateArguments.Traces
              "--suite", arguments.Contains Suite
              "--out", arguments.Contains EvaluateArguments.Out
              "--seeds", arguments.Contains Seeds ] do
            if given then raise (UsageException $"--off-policy: expected no {flag} beside it")
        EvaluateOffPolicy.run
            log
            (arguments.GetResult(EvaluateArguments.Policy, defaultValue = []))
            (arguments.GetResult(Floor, defaultValue = nan))
            (arguments.GetResult(Unit, defaultValue = ""))
            (arguments.Contains EvaluateArguments.Json)
            cancel
