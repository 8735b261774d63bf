/// `toolkit bench --serve URL`: load on an OpenAI-compatible server, ours or another.
module OptimalStopping.Cli.Commands.BenchServe

open System
open System.IO
open System.Text.Json
open System.Threading
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Traces
open OptimalStopping.Experiments
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

/// Prompts of a trace file, or of any JSON lines with a `prompt`.
let private promptsOf (path: string) =
    let prompts =
        [| for line, text in Seq.indexed (File.ReadLines path) do
               if not (String.IsNullOrWhiteSpace text) then
                   let value =
                       try
                           use document = JsonDocument.Parse text
                           match document.RootElement.ValueKind with
                           | JsonValueKind.Object ->
                               match document.RootElement.TryGetProperty "prompt" with
                               | true, prompt when prompt.ValueKind = JsonValueKind.String -> Option.ofObj (prompt.GetString())
                               | _ -> None
                           | _ -> None
                       with :? JsonException ->
                           None
                   match value with
                   | Some prompt -> prompt
                   | None -> raise (ToolkitException $"{path}:{line + 1}: expected a JSON object with a string 'prompt', got another line") |]
    if prompts.Length = 0 then raise (ToolkitException $"{path}: expected lines with prompts, got none")
    prompts

/// The prompts to ask: those of the file, or the examples of the embedded cascade.
let prompts (file: string option) : string[] =
    match file with
    | Some path when not (File.Exists path) -> raise (ToolkitException $"{path}: expected a file with prompts, got none")
    | Some path -> promptsOf path
    | None -> Seq.toArray (Cascades.CascadeFile.Load(cascadeFile None)).Examples

let private milliseconds (seconds: float) = if Double.IsFinite seconds then number (1000.0 * seconds) 1 else "-"

let private show (settings: LoadSettings) (s: LoadSummary) =
    printfn
        "%s at %O: %d requests in %s s, %s"
        settings.Model
        settings.Url
        s.Requests
        (number s.Seconds 1)
        (if settings.Rate > 0.0 then $"{settings.Rate} a second" else $"{settings.Clients} clients")
    Table.print
        [| "ms"; "p50"; "p90"; "p99" |]
        [| for name, times in [ "first token", s.FirstToken; "per token", s.PerToken; "whole answer", s.Whole ] ->
               [| name; milliseconds times.P50; milliseconds times.P90; milliseconds times.P99 |] |]
    printfn
        "%s requests/s, %s tokens/s; goodput (first token within %s ms) %s requests/s"
        (number s.RequestsPerSecond 2)
        (number s.TokensPerSecond 1)
        (milliseconds settings.FirstTokenWithin)
        (number s.Goodput 2)
    for fault in s.Errors do
        printfn "failed: %d, %s" fault.Value fault.Key

let private json (s: LoadSummary) =
    let times (t: LoadTimes) = {| p50 = finite t.P50; p90 = finite t.P90; p99 = finite t.P99 |}
    printJson
        {| requests = s.Requests
           failed = s.Failed
           seconds = s.Seconds
           requests_per_second = s.RequestsPerSecond
           tokens_per_second = s.TokensPerSecond
           goodput = s.Goodput
           first_token_seconds = times s.FirstToken
           per_token_seconds = times s.PerToken
           whole_seconds = times s.Whole
           errors = [| for fault in s.Errors -> {| what = fault.Key; count = fault.Value |} |] |}

/// Puts the load on the server and prints what came of it. Exit code 1 where no request was answered.
let run (settings: LoadSettings) (asJson: bool) (cancel: CancellationToken) =
    let mutable summary = Unchecked.defaultof<LoadSummary>
    let work (report: Action<string, float>) =
        let ended = Action<int>(fun count -> report.Invoke("requests", float count / float settings.Requests))
        summary <- ServerLoad.RunAsync(settings, ended, cancel).GetAwaiter().GetResult()
    Progress.show work
    if asJson then json summary else show settings summary
    if summary.Failed = summary.Requests then
        raise (ToolkitException $"{settings.Url}: expected answers, got none to {summary.Requests} requests ({summary.Errors[0].Key})")
