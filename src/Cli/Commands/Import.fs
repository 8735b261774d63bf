/// `toolkit import`: logs of other tools joined into a trace file.
module OptimalStopping.Cli.Commands.Import

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Traces.Import
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type ImportArguments =
    | [<MainCommand; Mandatory>] Logs of file: string list
    | [<Mandatory>] Out of file: string
    | Format of format: string
    | Cost of model_number: string list
    | Price of model_in_out: string list
    | Models of model: string list
    | References of file: string
    | Metric of name: string
    | Filter of name: string
    | Columns of what_name: string list
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Logs _ -> "log files or folders of one format; docs/import.md shows each."
            | Out _ -> "the trace file to write."
            | Format _ -> "the format (default: the one that the first log looks like)."
            | Cost _ -> "MODEL=NUMBER: what an answer of a model costs, where the log does not say."
            | Price _ -> "MODEL=IN/OUT: price of a million tokens of the prompt and of the answer, for logs that count tokens."
            | Models _ -> "only these models."
            | References _ -> "a file that grades the answers of a log without scores: id, and answer or quality (JSON lines or CSV)."
            | Metric _ -> "the metric or score that is the quality (default: the log's first)."
            | Filter _ -> "lm-eval: the filter whose lines count (default: the first of each file)."
            | Columns _ ->
                "csv: WHAT=NAME where a column has another name; WHAT is id, model, cost, quality, confidence, dataset or answer."
            | Json -> "print one JSON object instead of text."

/// "NAME=VALUE" at its last equals sign; names of models may hold one.
let private pair (flag: string) (text: string) =
    match text.LastIndexOf '=' with
    | at when at > 0 && at < text.Length - 1 -> text.Substring(0, at), text.Substring(at + 1)
    | _ -> raise (UsageException $"{flag}: expected NAME=VALUE, got '{text}'")

let private positive (flag: string) (text: string) =
    match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
    | true, x when x >= 0.0 && Double.IsFinite x -> x
    | _ -> raise (UsageException $"{flag}: expected a number of at least 0, got '{text}'")

let private table (pairs: (string * 'v) list) =
    let all = Dictionary<string, 'v>()
    for name, value in pairs do
        all[name] <- value
    all

let private price (text: string) =
    let model, both = pair "--price" text
    match both.Split '/' with
    | [| prompt; answer |] -> model, struct (positive "--price" prompt, positive "--price" answer)
    | _ -> raise (UsageException $"--price: expected MODEL=IN/OUT, got '{text}'")

let private columns = [ "id"; "model"; "cost"; "quality"; "confidence"; "dataset"; "answer" ]

let private column (text: string) =
    match pair "--columns" text with
    | what, name when List.contains what columns -> what, name
    | what, _ -> raise (UsageException $"""--columns: expected {String.Join(", ", columns)} before the equals sign, got '{what}'""")

/// What was read, in words.
let describe (result: ImportResult) (file: string) : string list =
    let models =
        Seq.map2 (fun (model: string) (answers: int) -> $"{model} ({answers})") result.Models result.Answers |> String.concat ", "
    [ $"{file}: {result.Queries} queries from {result.Format}, answers of {models}"
      for note in result.Notes do
          $"note: {note}" ]

let execute (arguments: ParseResults<ImportArguments>) (cancel: CancellationToken) =
    let list (values: string list option) = defaultArg values []
    let out = arguments.GetResult ImportArguments.Out
    let options =
        ImportOptions(
            Format = Option.toObj (arguments.TryGetResult Format),
            Costs = table (list (arguments.TryGetResult Cost) |> List.map (pair "--cost" >> fun (model, x) -> model, positive "--cost" x)),
            Prices = table (list (arguments.TryGetResult Price) |> List.map price),
            Models =
                (match list (arguments.TryGetResult Models) with
                 | [] -> (null: IReadOnlyCollection<string> | null)
                 | some -> HashSet<string>(some)),
            References = Option.toObj (arguments.TryGetResult References),
            Metric = Option.toObj (arguments.TryGetResult Metric),
            Filter = Option.toObj (arguments.TryGetResult Filter),
            Columns = table (list (arguments.TryGetResult Columns) |> List.map column)
        )
    if Directory.Exists out then raise (ToolkitException $"{out}: expected a file to write, got a folder")
    let result = TraceImport.Run(List.toArray (arguments.GetResult Logs), out, options, cancel)
    if arguments.Contains ImportArguments.Json then
        printJson
            {| traces = out
               format = result.Format
               queries = result.Queries
               models = Seq.map2 (fun model answers -> {| name = model; answers = answers |}) result.Models result.Answers
               notes = result.Notes |}
    else
        for line in describe result out do
            printfn "%s" line

/// The trace file that a command may read: the file itself, or one that is imported into the folder from a log of another
/// format, or from a packed file.
let tracesOf (path: string) (folder: string) (cancel: CancellationToken) : string =
    let packed =
        File.Exists path
        && (use file = File.OpenRead path
            file.ReadByte() = 0x1F && file.ReadByte() = 0x8B)
    // Whoever reads a file that is missing or that looks like nothing known says so.
    let format = if File.Exists path || Directory.Exists path then TraceImport.Sniff path else null
    match format with
    | null -> path
    | name when name = TraceImport.Own && not packed -> path
    | _ ->
        Directory.CreateDirectory folder |> ignore
        let imported = Path.Combine(folder, "imported.jsonl")
        for line in describe (TraceImport.Run([| path |], imported, ImportOptions(), cancel)) imported do
            eprintfn "%s" line
        imported
