/// `toolkit figure`: the figures, table and report of a run folder, drawn again.
module OptimalStopping.Cli.Commands.Figure

open Argu
open OptimalStopping.Cli
open OptimalStopping.Cli.Commands.Shared

type FigureArguments =
    | [<MainCommand; Unique>] Folder of string
    | Readme of string
    | Paper of string
    | Recorded of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Folder _ -> "a folder that `toolkit run` wrote."
            | Readme _ -> "also write the results into the marked block of this README."
            | Paper _ -> "also write numbers, tables and figures into this folder of the paper (its generated/)."
            | Recorded _ -> "with --paper: a run on a recorded ladder, compared in the paper's table; may be repeated."

let execute (arguments: ParseResults<FigureArguments>) =
    let folder = plain "a run folder" (arguments.TryGetResult FigureArguments.Folder)
    for file in Figures.drawAll folder do
        printfn "%s" file
    match arguments.TryGetResult Readme with
    | Some readme -> ReadmeBlock.write (folder, readme)
    | None -> ()
    match arguments.TryGetResult Paper with
    | Some paper ->
        for file in PaperFiles.write (folder, List.toArray (arguments.GetResults Recorded), paper) do
            printfn "%s" file
    | None ->
        if arguments.Contains Recorded then raise (UsageException "--recorded: expected --paper beside it, got none")
