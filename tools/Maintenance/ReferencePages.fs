/// The reference pages of the documentation, written from the program and its libraries.
module OptimalStopping.Maintenance.ReferencePages

open System.IO
open System.Text
open Argu
open OptimalStopping.Cli.Arguments
open OptimalStopping.Runtime
open OptimalStopping.Reports
open OptimalStopping.Maintenance.Reference

/// Assemblies whose public types are documented.
let private libraries =
    [ typeof<OptimalStopping.Theory.RegretBound>.Assembly
      typeof<ToolkitException>.Assembly
      typeof<OptimalStopping.Server.CascadeServer>.Assembly ]

/// Why these pages are made by a program of our own.
let private why =
    [ "## How these pages are made"
      ""
      "By `tools/Maintenance/Reference` (four files) from the assemblies and the XML files that the compiler leaves beside them. Two known"
      "tools were tried on OptimalStopping.Theory before that was kept. docfx 2.81.0 (`metadata`, Markdown) wrote 142 files of 0.8 MB,"
      "which show C# only, with the compiler's attributes and the inherited members of `object` on every type, each linked to a page on"
      "the network. fsdocs-tool 22.2.0 wrote 142 HTML files of 3.6 MB, which show F# only, for F# projects only, and load fonts and"
      "scripts from the network. These pages show both languages beside each other, are one file for each namespace that can be read"
      "where it lies and searched with grep, need no network, and are the same bytes every time, so that `docs --check` can compare them."
      "" ]

/// Every page: its path under the documentation's folder, and its text.
let private pages () : struct (string * string) list =
    let api = libraries |> Seq.collect ApiReference.pages |> Seq.toList
    let index =
        [ yield "# API reference"
          yield ""
          yield "Written by `dotnet run --project tools/Maintenance -- docs` from the doc comments; do not edit."
          yield ""
          for struct (name, _) in api do
              yield $"- [{Path.GetFileNameWithoutExtension name}]({name})"
          yield ""
          yield! why ]
        |> String.concat "\n"
    [ yield
          struct ("cli.md",
                  CliReference.text (
                      OptimalStopping.Cli.Syntax.read (
                          ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false)
                      )
                  ))
      for struct (name, text) in api do
          yield struct (Path.Combine("api", name), text)
      yield struct (Path.Combine("api", "README.md"), index) ]

let private inFolder (folder: string) =
    if not (Directory.Exists folder) then
        raise (ToolkitException $"{folder}: expected the folder of the documentation, got no such folder")
    [ for struct (name, text) in pages () -> struct (Path.Combine(folder, name), text) ]

/// Writes the pages and returns their paths.
let write (folder: string) : string list =
    Directory.CreateDirectory(Path.Combine(folder, "api")) |> ignore
    [ for struct (path, text) in inFolder folder -> Export.write (path, Encoding.UTF8.GetBytes text) ]

/// Pages that are not what would be written.
let stale (folder: string) : string list =
    [ for struct (path, text) in inFolder folder do
          if not (File.Exists path) || File.ReadAllText path <> text then path ]
