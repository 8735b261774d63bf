/// What keeps the repository's own pages true: the README's table of results, the generated parts of the paper, the
/// reference pages. Not shipped. `dotnet run --project tools/Maintenance -- --help` lists the commands.
module OptimalStopping.Maintenance.Program

open Argu
open OptimalStopping.Runtime

type ReadmeArguments =
    | [<MainCommand; ExactlyOnce>] Folder of string
    | File of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Folder _ -> "a folder that `toolkit run` wrote."
            | File _ -> "the file with the marked block of results (default: README.md)."

type PaperArguments =
    | [<MainCommand; ExactlyOnce>] Folder of string
    | To of string
    | Recorded of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Folder _ -> "a folder that `toolkit run` wrote."
            | To _ -> "the paper's folder; its generated/ is written (default: paper)."
            | Recorded _ -> "a run on a recorded cascade, compared in the paper's table; may be repeated."

type DocsArguments =
    | Out of string
    | Check

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Out _ -> "the folder of the documentation (default: docs)."
            | Check -> "write nothing; fail if a page is not what would be written."

type MaintenanceArguments =
    | [<CliPrefix(CliPrefix.None)>] Readme of ParseResults<ReadmeArguments>
    | [<CliPrefix(CliPrefix.None)>] Paper of ParseResults<PaperArguments>
    | [<CliPrefix(CliPrefix.None)>] Docs of ParseResults<DocsArguments>

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Readme _ -> "write a run's results into the README."
            | Paper _ -> "write a run's numbers, tables and figures into the paper."
            | Docs _ -> "write the reference pages of the command line and of the libraries."

/// The argument without a flag. Argu 6.1.1 does not enforce that it is there inside subcommands.
let private folder =
    function
    | Some(value: string) -> value
    | None -> raise (ToolkitException "expected a run folder, got none")

let private dispatch (arguments: ParseResults<MaintenanceArguments>) =
    match arguments.GetSubCommand() with
    | Readme a -> ReadmeBlock.write (folder (a.TryGetResult ReadmeArguments.Folder), a.GetResult(File, defaultValue = "README.md"))
    | Paper a ->
        let recorded = List.toArray (a.GetResults Recorded)
        for file in PaperFiles.write (folder (a.TryGetResult PaperArguments.Folder), recorded, a.GetResult(To, defaultValue = "paper")) do
            printfn "%s" file
    | Docs a ->
        let folder = a.GetResult(Out, defaultValue = "docs")
        if not (a.Contains Check) then
            for page in ReferencePages.write folder do
                printfn "%s" page
        else
            match ReferencePages.stale folder with
            | [] -> ()
            | first :: _ as all ->
                raise (
                    ToolkitException $"{first}: expected the page that 'maintenance docs' writes, got another one ({all.Length} such pages)"
                )

/// Runs a command line and returns the exit code: 0 done, 1 failed, 2 bad usage.
let execute (argv: string[]) : int =
    try
        dispatch (ArgumentParser.Create<MaintenanceArguments>(programName = "maintenance").ParseCommandLine argv)
        0
    with
    | :? ArguParseException as e ->
        eprintfn "%s" e.Message
        if e.ErrorCode = ErrorCode.HelpText then 0 else 2
    | :? ToolkitException as e ->
        eprintfn "maintenance: %s" e.Message
        1

[<EntryPoint>]
let main argv = execute argv
