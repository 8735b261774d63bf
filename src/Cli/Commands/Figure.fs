/// `toolkit figure`: the figures, table and report of a run folder, drawn again.
module OptimalStopping.Cli.Commands.Figure

open Argu
open OptimalStopping.Cli.Commands.Shared
open OptimalStopping.Reports

type FigureArguments =
    | [<MainCommand; Unique; Mandatory>] Folder of dir: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Folder _ -> "a folder that `toolkit run` wrote."

let execute (arguments: ParseResults<FigureArguments>) =
    let folder = arguments.GetResult FigureArguments.Folder
    for file in Figures.drawAll folder do
        printfn "%s" file
