/// `toolkit docs`: the reference pages, written from the program itself.
module OptimalStopping.Cli.Commands.Docs

open System.IO
open System.Text
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Cli.Plots
open OptimalStopping.Cli.Reference

type DocsArguments =
    | Out of string
    | Cli_Only
    | Check

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Out _ -> "the folder of the documentation (default: docs)."
            | Cli_Only -> "write cli.md alone."
            | Check -> "write nothing; fail if a page is not what would be written."

/// Assemblies whose public types are documented.
let private libraries = [ typeof<OptimalStopping.Theory.RegretBound>.Assembly; typeof<ToolkitException>.Assembly ]

let execute (arguments: ParseResults<DocsArguments>) (parser: ArgumentParser) =
    let folder = arguments.GetResult(Out, defaultValue = "docs")
    if not (Directory.Exists folder) then
        raise (ToolkitException $"{folder}: expected the folder of the documentation, got no such folder")
    let stale = ResizeArray<string>()
    let write name (text: string) =
        let path = Path.Combine(folder, name)
        if arguments.Contains Check then
            if not (File.Exists path) || File.ReadAllText path <> text then stale.Add path
        else printfn "%s" (Export.write (path, Encoding.UTF8.GetBytes text))
    write "cli.md" (CliReference.text parser)
    if not (arguments.Contains Cli_Only) then
        let pages = libraries |> Seq.collect ApiReference.pages |> Seq.toArray
        if not (arguments.Contains Check) then Directory.CreateDirectory(Path.Combine(folder, "api")) |> ignore
        for struct (name, text) in pages do write (Path.Combine("api", name)) text
        let index =
            [ yield "# API reference"
              yield ""
              yield "Written by `toolkit docs` from the doc comments; do not edit."
              yield ""
              for struct (name, _) in pages -> $"- [{Path.GetFileNameWithoutExtension name}]({name})"
              yield "" ]
            |> String.concat "\n"
        write (Path.Combine("api", "README.md")) index
    if stale.Count > 0 then
        raise (ToolkitException $"{stale[0]}: expected the page that 'toolkit docs' writes, got another one ({stale.Count} such pages)")
