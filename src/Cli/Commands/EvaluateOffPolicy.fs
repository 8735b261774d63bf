/// `toolkit evaluate --off-policy`: other policies on the logs of a service that answers each query once.
module OptimalStopping.Cli.Commands.EvaluateOffPolicy

open System
open System.IO
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Theory
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

let private intervalJson (x: Interval) = {| value = x.Estimate; low = x.Low; high = x.High |}

let private cell digits (x: Interval) = $"{number x.Estimate digits} [{number x.Low digits}, {number x.High digits}]"

let private costCell (x: Interval) = $"{amount x.Estimate} [{amount x.Low}, {amount x.High}]"

let private print (report: OffPolicyReport) unit =
    printfn
        "%d graded decisions, made with probabilities from %s on; intervals hold with probability 95 %%, each by itself"
        report.Decisions
        (report.LeastPropensity.ToString("0.####", Globalization.CultureInfo.InvariantCulture))
    let note (text: string) = printfn "%s" (Table.wrap (Table.screen ()) 0 $"note: {text}")
    if report.Ungraded > 0 then
        note
            $"{report.Ungraded} decisions have no grade and are left out; where grades are missing for reasons of their own (only bad answers are complained about), all figures are wrong"
    if report.NeverAlone.Count > 0 then
        note
            $"""the log does not tell what {String.Join(", ", report.NeverAlone)} would be worth alone: they were not always a possible choice, or never chosen"""
    Table.print
        [| "policy"
           "matched"
           "effective"
           "quality, doubly robust"
           "inverse propensity"
           "self-normalised"
           $"cost {unit}".TrimEnd() |]
        [| for row in report.Rows ->
               [| row.Policy
                  string row.Matched
                  number row.EffectiveQueries 0
                  cell 4 row.DoublyRobust
                  cell 4 row.InversePropensity
                  cell 4 row.SelfNormalised
                  costCell row.Cost |] |]

/// Evaluates a log of decisions with policy files and every model alone.
let run (log: string) (policies: string list) (floor: float) (unit: string) json cancel =
    let report =
        abandonable cancel (fun () ->
            let files = policies |> List.map (fun path -> struct (string (Path.GetFileName path), PolicyFile.Load path)) |> List.toArray
            OffPolicyEvaluation.Run(DecisionLog.Read log, files, floor, log))
    if json then
        printJson
            {| decisions = report.Decisions
               ungraded = report.Ungraded
               least_propensity = report.LeastPropensity
               floor = report.Floor
               most_cost = report.MostCost
               never_alone = report.NeverAlone
               policies =
                report.Rows
                |> Seq.map (fun row ->
                    {| policy = row.Policy
                       matched = row.Matched
                       effective_queries = row.EffectiveQueries
                       inverse_propensity = intervalJson row.InversePropensity
                       self_normalised = intervalJson row.SelfNormalised
                       doubly_robust = intervalJson row.DoublyRobust
                       cost = intervalJson row.Cost |}) |}
    else
        print report unit
