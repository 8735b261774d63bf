/// `toolkit calibrate`: a policy with a guarantee about its quality, written to a file.
module OptimalStopping.Cli.Commands.Calibrate

open System
open System.IO
open System.Text.Encodings.Web
open System.Text.Json
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type CalibrateArguments =
    | [<Mandatory>] Traces of file: string
    | Max_Loss of float
    | Delta of float
    | Max_Cost of float
    | Cost_Risk of float
    | Abstain of float
    | Groups of field: string
    | Fit_Fraction of float
    | Policy of family: string
    | Seed of int
    | Out of file: string
    | Check of int
    | Sample of int
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Traces _ -> "the trace file."
            | Max_Loss _ -> "most expected quality that may be lost against the best model alone (default: 0.02)."
            | Delta _ -> "most probability of losing more (default: 0.05)."
            | Max_Cost _ ->
                "budget of a query, in the traces' units of cost: a bound on the probability to exceed it, beside the one on the loss."
            | Cost_Risk _ -> "most probability that a query costs more than --max-cost (default: 0.05)."
            | Abstain _ ->
                "say \"not sure\" instead of an answer where that is needed to keep what the answers given lack in quality (the share of wrong ones) at most this in expectation."
            | Groups _ ->
                "a field of the trace lines (dataset, a tenant): the bound on the loss is to hold in each of its groups, not only over all queries."
            | Fit_Fraction _ -> "share of the queries to fit on; the guarantee is tested on the others (default: 0.5)."
            | Policy _ -> "the family of policies to fit, by its name in `toolkit evaluate` (default: default)."
            | Seed _ -> "seed of the split (default: 1)."
            | Out _ -> "the policy file to write, e.g. policy.json (required without --check)."
            | Check _ -> "instead, calibrate on this many samples drawn from the traces and count how often the guarantee breaks."
            | Sample _ -> "queries in each sample of --check (default: 2000)."
            | Json -> "print one JSON object instead of text."

let private share name (value: float) =
    if not (value > 0.0 && value < 1.0) then
        raise (UsageException $"{name}: expected a number strictly between 0 and 1, got {value}")
    value

/// Counts broken guarantees instead of writing a policy.
let private check traces (options: CalibrationOptions) resamples sample json cancel =
    let table = abandonable cancel (fun () -> PolicyCalibration.ReadTable(traces, options))
    let mutable result = Unchecked.defaultof<GuaranteeCheck>
    Progress.show (fun report ->
        result <- GuaranteeCheck.Run(table, options, resamples, sample, (fun share -> report.Invoke("calibrating", share)), cancel))
    let limit = result.Limit options.Delta
    if json then
        printJson
            {| resamples = result.Resamples
               sample = result.Sample
               max_loss = options.MaxLoss
               delta = options.Delta
               broken = result.Broken
               broken_share = result.BrokenShare
               limit = limit
               without_policy = result.WithoutPolicy
               mean_saved = result.MeanSaved
               mean_loss = result.MeanLoss |}
    else
        printfn
            "%d samples of %d queries, guarantee: at most %s lost, with probability %s"
            result.Resamples
            result.Sample
            (string options.MaxLoss)
            (string (1.0 - options.Delta))
        printfn
            "broken      %d (%s %%; delta and three standard errors: %s %%)"
            result.Broken
            (number (100.0 * result.BrokenShare) 2)
            (number (100.0 * limit) 2)
        printfn "loss        %s on average" (number result.MeanLoss 4)
        printfn
            "saved       %s %% of the cost on average; in %d samples no policy could be shown to keep the guarantee"
            (number (100.0 * result.MeanSaved) 1)
            result.WithoutPolicy

let execute (arguments: ParseResults<CalibrateArguments>) (cancel: CancellationToken) =
    let traces = arguments.GetResult CalibrateArguments.Traces
    let maxLoss = share "--max-loss" (arguments.GetResult(Max_Loss, defaultValue = 0.02))
    let delta = share "--delta" (arguments.GetResult(Delta, defaultValue = 0.05))
    let options =
        CalibrationOptions(
            maxLoss,
            delta,
            MaxCost = arguments.GetResult(CalibrateArguments.Max_Cost, defaultValue = nan),
            CostRisk = share "--cost-risk" (arguments.GetResult(Cost_Risk, defaultValue = 0.05)),
            MaxRisk =
                (match arguments.TryGetResult Abstain with
                 | Some risk -> share "--abstain" risk
                 | None -> nan),
            Groups = Option.toObj (arguments.TryGetResult Groups),
            FitFraction = share "--fit-fraction" (arguments.GetResult(Fit_Fraction, defaultValue = 0.5)),
            Seed = arguments.GetResult(CalibrateArguments.Seed, defaultValue = 1),
            Family = arguments.GetResult(CalibrateArguments.Policy, defaultValue = PolicyRegistry.Default)
        )
    if arguments.Contains Cost_Risk && not (arguments.Contains CalibrateArguments.Max_Cost) then
        raise (UsageException "--cost-risk: expected --max-cost beside it, got none")
    let atLeast low name value =
        if value < low then raise (UsageException $"{name}: expected at least {low}, got {value}")
        value
    match arguments.TryGetResult Check with
    | Some resamples ->
        let sample = arguments.GetResult(Sample, defaultValue = 2000) |> atLeast 4 "--sample"
        check traces options (atLeast 1 "--check" resamples) sample (arguments.Contains CalibrateArguments.Json) cancel
    | None ->
        let file =
            match arguments.TryGetResult CalibrateArguments.Out with
            | Some file -> file
            | None -> raise (UsageException "calibrate: expected --out FILE, got none")
        if Directory.Exists file then raise (ToolkitException $"{file}: expected a file to write, got a folder")
        let steps =
            { new IProgress<string> with
                member _.Report step = if not Console.IsErrorRedirected then eprintfn "%s" step }
        let notes =
            { new IProgress<string> with
                member _.Report note = eprintfn "note: %s" note }
        let policy = abandonable cancel (fun () -> PolicyCalibration.Run(traces, options, steps, notes).WithServersOf traces)
        policy.Save file
        let guarantee, measured = policy.Guarantee, policy.Measured
        if arguments.Contains CalibrateArguments.Json then
            let value =
                {| policy = file
                   lambda = if Double.IsNaN policy.Lambda then Nullable() else Nullable policy.Lambda
                   statement = guarantee.Statement
                   max_loss = guarantee.MaxLoss
                   delta = guarantee.Delta
                   max_cost = if Double.IsNaN guarantee.MaxCost then Nullable() else Nullable guarantee.MaxCost
                   cost_risk = if Double.IsNaN guarantee.CostRisk then Nullable() else Nullable guarantee.CostRisk
                   max_risk = finite guarantee.MaxRisk
                   answered =
                    (match policy.Abstention with
                     | null -> Nullable()
                     | abstention -> Nullable abstention.Answered)
                   risk =
                    (match policy.Abstention with
                     | null -> Nullable()
                     | abstention -> finite abstention.Risk)
                   group_column = Option.toObj (Option.ofObj guarantee.GroupColumn)
                   groups =
                    policy.Groups
                    |> Seq.map (fun g ->
                        {| name = g.Name
                           queries = g.Queries
                           covered = g.Covered
                           loss = g.Loss
                           high_loss = g.HighLoss
                           saved = g.Saved |})
                   reference = guarantee.Reference
                   fit_queries = policy.Origin.FitQueries
                   test_queries = guarantee.Queries
                   candidates = guarantee.Candidates
                   passed = guarantee.Passed
                   quality = measured.Quality
                   reference_quality = measured.ReferenceQuality
                   cost = measured.Cost
                   reference_cost = measured.ReferenceCost
                   saved = measured.Saved |}
            printJson value
        else
            printfn "%s" guarantee.Statement
            printfn
                "fitted on   %d queries; %d of %d operating points passed the test on %d others"
                policy.Origin.FitQueries
                guarantee.Passed
                guarantee.Candidates
                guarantee.Queries
            if Double.IsNaN policy.Lambda then
                printfn
                    "policy      always %s: %s"
                    guarantee.Reference
                    (if guarantee.Passed = 0 then
                         "no cheaper one could be shown to keep the guarantee; more queries or a larger --max-loss would help"
                     else
                         "every policy that keeps the guarantee costs more")
            printfn
                "quality     %s on those queries; %s alone: %s"
                (number measured.Quality 4)
                guarantee.Reference
                (number measured.ReferenceQuality 4)
            printfn
                "cost        %s; %s alone: %s (%s %% saved)"
                (amount measured.Cost)
                guarantee.Reference
                (amount measured.ReferenceCost)
                (number (100.0 * measured.Saved) 1)
            match policy.Abstention with
            | null -> ()
            | abstention ->
                printfn
                    "answers     %s %% of those queries, lacking %s in quality; says \"not sure\" to the others"
                    (number (100.0 * abstention.Answered) 1)
                    (number abstention.Risk 4)
            if policy.Groups.Count > 0 then
                Table.print
                    [| "group"; "queries"; "loss"; "at most"; "saved"; "covered" |]
                    [| for g in policy.Groups ->
                           [| g.Name
                              string g.Queries
                              number g.Loss 4
                              number g.HighLoss 4
                              $"{number (100.0 * g.Saved) 1} %%"
                              (if g.Covered then "yes" else "too few queries") |] |]
            printfn "written     %s" file
