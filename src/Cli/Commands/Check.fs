/// `toolkit check`: does a policy's guarantee still hold on fresh graded logs?
module OptimalStopping.Cli.Commands.Check

open System
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type CheckArguments =
    | [<Mandatory>] Policy of file: string
    | [<Mandatory>] Traces of file: string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Policy _ -> "the policy file that `toolkit calibrate` wrote."
            | Traces _ -> "fresh graded logs: a trace file with every stage's answer, in the order of time."
            | Json -> "print JSON."

let private verdict (check: PolicyCheck) =
    match check.Verdict with
    | GuaranteeVerdict.Shown -> "shown"
    | GuaranteeVerdict.NotContradicted -> "not contradicted"
    | _ -> "broken"

/// A stage that answered nothing has no means.
let private mean (x: float) = if Double.IsNaN x then "-" else number x 3

let execute (arguments: ParseResults<CheckArguments>) =
    let file, traces = arguments.GetResult CheckArguments.Policy, arguments.GetResult CheckArguments.Traces
    let policy = PolicyFile.Load file
    let check = PolicyCheck.Run(policy, traces)
    let guarantee = policy.Guarantee
    if arguments.Contains CheckArguments.Json then
        printJson
            {| verdict = verdict check
               max_loss = guarantee.MaxLoss
               delta = guarantee.Delta
               reference = guarantee.Reference
               queries = check.Queries
               mean_loss = check.MeanLoss
               low_loss = check.LowLoss
               high_loss = check.HighLoss
               raised_at = check.RaisedAt
               stages =
                [| for s in check.Stages ->
                       {| name = s.Name
                          answered = s.Answered
                          confidence = finite s.Confidence
                          quality = finite s.Quality
                          reference_quality = finite s.ReferenceQuality |} |] |}
    else
        printfn
            "guarantee   at most %s lost against %s, except with probability %s"
            (string guarantee.MaxLoss)
            guarantee.Reference
            (string guarantee.Delta)
        printfn
            "loss        %s on %d queries; %s to %s at all times at once"
            (number check.MeanLoss 4)
            check.Queries
            (number check.LowLoss 4)
            (number check.HighLoss 4)
        printfn "verdict     %s" (verdict check)
        printfn ""
        Table.print
            [| "answered by"; "queries"; "confidence"; "quality"; guarantee.Reference |]
            [| for s in check.Stages -> [| s.Name; string s.Answered; mean s.Confidence; mean s.Quality; mean s.ReferenceQuality |] |]
    if check.Verdict = GuaranteeVerdict.Broken then
        raise (ToolkitException $"{file}: the guarantee no longer holds, seen at query {check.RaisedAt} of {traces}: {check.Reason policy}")
