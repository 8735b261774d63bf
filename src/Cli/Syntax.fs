/// The command line as data, read from Argu's own cases: what help, completions, checks and docs/cli.md show, so that none
/// of them can say otherwise than the parser.
module OptimalStopping.Cli.Syntax

open System
open Argu
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Models

/// What an argument takes.
type Value =
    | File
    | Folder
    /// A number with a decimal point.
    | Number
    | Whole
    /// One of these words.
    | Choice of string list
    /// The name of one of the commands.
    | CommandName
    /// Any text; the word that stands for it in help.
    | Text of string

type Argument =
    {
        /// Its flags, the long one first; empty where the value stands alone.
        Names: string list
        Value: Value option
        /// Takes all words up to the next flag.
        Many: bool
        Required: bool
        Meaning: string
    }

type Command =
    {
        Name: string
        Meaning: string
        Flags: Argument list
        /// The argument without a flag.
        Alone: Argument option
    }

type Program = { Flags: Argument list; Commands: Command list }

/// The words that a field may hold, by the field's name. Libraries own the lists that are theirs.
let private choices =
    Map
        [ "experiments", lazy (List.ofSeq ExperimentSuite.Names)
          "family", lazy (List.ofSeq OptimalStopping.Runtime.Cascades.PolicyRegistry.Served)
          "shape", lazy (List.ofSeq ModelShapes.Names)
          "split", lazy [ "calibration"; "test"; "both" ]
          "unit", lazy [ "file"; "largest"; "all" ]
          "shell", lazy [ "bash"; "zsh" ] ]

/// Fields of the commands' types are named after what they hold: `Out of dir: string`.
let private value (field: Reflection.PropertyInfo) : Value * bool =
    let rec read (kind: Type) =
        if kind.IsGenericType then
            fst (read (kind.GetGenericArguments()[0])), true
        elif kind = typeof<float> then
            Number, false
        elif kind = typeof<int> || kind = typeof<int64> then
            Whole, false
        else
            (match field.Name with
             | "file" -> File
             | "dir" -> Folder
             | "command" -> CommandName
             | name when choices.ContainsKey name -> Choice(choices[name].Force())
             | name -> Text(name.ToUpperInvariant())),
            false
    read field.PropertyType

let private argument (case: ArgumentCaseInfo) : Argument =
    let taken = case.UnionCaseInfo.GetFields() |> Array.tryHead |> Option.map value
    { Names = if case.IsMainCommand then [] else case.CommandLineNames.Value
      Value = Option.map fst taken
      Many = taken |> Option.exists snd
      Required = case.IsMandatory.Value
      Meaning = case.Description.Value }

let private help: Argument = { Names = [ "--help"; "-h" ]; Value = None; Many = false; Required = false; Meaning = "show this help." }

let private command (parser: ArgumentParser) : Command =
    let info = parser.ParentInfo.Value
    let alone, flags = parser.GetArgumentCases() |> List.filter (fun c -> not c.IsHidden.Value) |> List.partition _.IsMainCommand
    { Name = List.head info.CommandLineNames.Value
      Meaning = info.Description.Value
      Flags = List.map argument flags @ [ help ]
      Alone = alone |> List.tryHead |> Option.map argument }

/// The whole command line of a parser.
let read (parser: ArgumentParser) : Program =
    let flags = parser.GetArgumentCases() |> List.filter (fun case -> case.ArgumentType <> ArgumentType.SubCommand)
    { Flags = List.map argument flags @ [ help ]; Commands = parser.GetSubCommandParsers() |> List.map command }

/// The word that stands for a value in help and messages.
let label (value: Value) : string =
    match value with
    | File -> "FILE"
    | Folder -> "DIR"
    | Number -> "NUMBER"
    | Whole -> "N"
    | Choice words -> String.Join("|", words)
    | CommandName -> "COMMAND"
    | Text label -> label

/// A flag with what it takes, as in `--seed N`.
let show (argument: Argument) : string =
    let taken =
        match argument.Value with
        | None -> ""
        | Some value -> label value + if argument.Many then "..." else ""
    String.Join(", ", argument.Names) + (if argument.Names.IsEmpty || taken = "" then "" else " ") + taken
