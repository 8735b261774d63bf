/// docs/cli.md: the command line, described from the program's own arguments, so that the page cannot say otherwise.
module OptimalStopping.Maintenance.Reference.CliReference

open System
open Argu

let private cell (text: string) = text.Replace("|", "\\|").Replace("<", "&lt;").ReplaceLineEndings(" ").Trim()

/// What an argument takes, in angle brackets: its type in the words of `--help`.
let private values (case: ArgumentCaseInfo) =
    case.UnionCaseInfo.GetFields()
    |> Array.map (fun field ->
        match field.PropertyType with
        | t when t = typeof<string> -> "TEXT"
        | t when t = typeof<int> || t = typeof<int64> || t = typeof<uint64> -> "WHOLE"
        | t when t = typeof<float> -> "NUMBER"
        | t when t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<list<_>> -> "VALUE..."
        | _ -> "VALUE")
    |> String.concat " "

let private row (case: ArgumentCaseInfo) =
    let takes = values case
    let names =
        if case.IsMainCommand then
            $"`{takes}` (without a flag)"
        else
            case.CommandLineNames.Value
            |> List.map (fun name -> if takes = "" then $"`{name}`" else $"`{name} {takes}`")
            |> String.concat ", "
    $"| {names} | {cell case.Description.Value} |"

let private isCommand (case: ArgumentCaseInfo) = case.ArgumentType = ArgumentType.SubCommand

let rec private section (depth: int) (path: string) (description: string) (parser: ArgumentParser) : string list =
    let cases = parser.GetArgumentCases() |> List.filter (fun case -> not case.IsHidden.Value)
    let flags = cases |> List.filter (isCommand >> not)
    let commands = cases |> List.filter isCommand
    let parsers = parser.GetSubCommandParsers()
    [ yield $"""{String('#', depth)} `{path}`"""
      yield ""
      yield cell description
      yield ""
      if not flags.IsEmpty then
          yield "| argument | meaning |"
          yield "|---|---|"
          for case in flags -> row case
          yield ""
      for case in commands do
          match parsers |> List.tryFind (fun p -> p.ParentInfo |> Option.exists (fun info -> info.Name.Value = case.Name.Value)) with
          | Some sub -> yield! section (depth + 1) $"{path} {List.head case.CommandLineNames.Value}" case.Description.Value sub
          | None -> () ]

/// The whole page.
let text (parser: ArgumentParser) : string =
    [ yield "# Command line"
      yield ""
      yield
          "Written by `dotnet run --project tools/Maintenance -- docs`; do not edit. `toolkit` stands for `dotnet run --project src/Cli -c Release --` in a clone, or for the"
      yield "installed tool. Every command has `--help`. Exit codes: 0 done, 1 failed (one line on standard error says what and"
      yield "where), 2 bad usage. Long work shows its progress on standard error when that is a terminal, and can be interrupted."
      yield ""
      yield! section 1 "toolkit" "One command for each thing that the toolkit does." parser |> List.skip 4 ]
    |> String.concat "\n"
