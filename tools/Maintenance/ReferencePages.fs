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
          yield "" ]
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
