/// Looks over the words of a command line before Argu reads them, for what Argu lets pass or cannot explain: it reads a
/// decimal comma as a separator of thousands (0,01 as 1), ignores Mandatory inside subcommands (6.1.1), and names no
/// argument that may have been meant.
module OptimalStopping.Cli.CommandLine

open System
open System.Globalization
open OptimalStopping.Cli.Commands.Shared
open OptimalStopping.Cli.Syntax

/// Letters to insert, delete or replace to turn one word into the other.
let private distance (a: string) (b: string) =
    let mutable row = [| 0 .. b.Length |]
    for i in 1 .. a.Length do
        let next = Array.create (b.Length + 1) i
        for j in 1 .. b.Length do
            let replaced = row[j - 1] + (if a[i - 1] = b[j - 1] then 0 else 1)
            next[j] <- min replaced (1 + min row[j] next[j - 1])
        row <- next
    row[b.Length]

/// The name that a misspelt word comes closest to, where one is close.
let private nearest (word: string) (names: string list) =
    // Nothing is like a letter after a dash.
    let name = names |> List.filter (fun name -> name.Length > 2) |> List.minBy (distance word)
    if distance word name <= max 1 (word.Length / 3) then Some name else None

/// What words of earlier versions are called today.
let private renamed =
    Map
        [ "--promise", "--guarantee"
          "--ladder", "--config"
          "--readme", "dotnet run --project tools/Maintenance -- readme DIR"
          "--paper", "dotnet run --project tools/Maintenance -- paper DIR"
          "docs", "dotnet run --project tools/Maintenance -- docs" ]

let private unrecognized (word: string) hint = raise (UsageException $"unrecognized argument: '{word}'{hint}")

let private didYouMean (word: string) names =
    match renamed.TryFind word, nearest word names with
    | Some now, _ -> unrecognized word $"; it is now {now}"
    | None, Some name -> unrecognized word $"; did you mean {name}?"
    | None, None -> unrecognized word ""

/// A list of alternatives: a, b or c.
let private listed (words: string list) =
    match List.rev words with
    | [ only ] -> only
    | last :: others -> String.Join(", ", List.rev others) + " or " + last
    | [] -> "nothing"

let private inWords (kind: Value) =
    match kind with
    | Number -> "a number with a decimal point"
    | Whole -> "a whole number"
    | Choice words -> listed words
    | kind -> label kind

/// What the command itself refuses with a better message (too large a number, NaN) passes.
let private checkValue (program: Program) (name: string) (kind: Value) (value: string) =
    let refuse wanted = raise (UsageException $"{name}: expected {wanted}, got '{value}'")
    match kind with
    | Number when not (fst (Double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture))) -> refuse (inWords kind)
    | Whole when not (fst (Numerics.BigInteger.TryParse(value, NumberStyles.Integer, CultureInfo.InvariantCulture))) ->
        refuse (inWords kind)
    | Choice words when not (List.contains value words) -> refuse (inWords kind)
    | CommandName when not (program.Commands |> List.exists (fun c -> c.Name = value)) ->
        didYouMean value (program.Commands |> List.map _.Name)
    | _ -> ()

let private checkCommand (program: Program) (command: Command) (words: string list) =
    let flags =
        Map
            [ for flag in command.Flags |> List.rev do
                  for name in flag.Names -> name, flag ]
    let names = List.ofSeq flags.Keys
    let isFlag (word: string) = word.StartsWith("--", StringComparison.Ordinal)
    // Flags of other tools (-o, -x); a text may begin with a dash, as in "-3+5=".
    let isLetters (word: string) = word.Length > 1 && word[0] = '-' && Seq.forall Char.IsAsciiLetter word[1..]
    let mutable given, texts = Set.empty, 0
    let rec check =
        function
        | [] -> ()
        | word :: rest when flags.ContainsKey word ->
            let flag = flags[word]
            given <- given.Add(List.head flag.Names)
            match flag.Value with
            | Some kind when flag.Many ->
                let values = rest |> List.takeWhile (isFlag >> not)
                for value in values do
                    checkValue program word kind value
                check (List.skip values.Length rest)
            | Some kind when not rest.IsEmpty && not (flags.ContainsKey rest.Head) ->
                checkValue program word kind rest.Head
                check rest.Tail
            | Some kind -> raise (UsageException $"{word}: expected {inWords kind}, got none")
            | None -> check rest
        | word :: _ when isFlag word ->
            match word.Split('=', 2) with
            | [| name; value |] when flags.ContainsKey name -> unrecognized word $"; did you mean {name} {value}?"
            | parts -> didYouMean parts[0] names
        | word :: _ when isLetters word -> didYouMean word names
        | word :: rest when command.Alone.IsSome ->
            if texts > 0 && not command.Alone.Value.Many then unrecognized word "; text with spaces goes in quotes"
            checkValue program command.Name command.Alone.Value.Value.Value word
            texts <- texts + 1
            check rest
        | word :: _ when flags.ContainsKey("--" + word) -> unrecognized word $"; did you mean --{word}?"
        | word :: _ -> unrecognized word ""
    check words
    let missing (argument: Argument) =
        let names = argument.Names |> List.truncate 1
        raise (UsageException $"""{command.Name}: expected {String.Join(" ", names @ [ inWords argument.Value.Value ])}, got none""")
    match command.Alone with
    | Some argument when argument.Required && texts = 0 -> missing argument
    | _ -> ()
    for flag in command.Flags do
        if flag.Required && not (given.Contains(List.head flag.Names)) then missing flag

/// What a command line asks for, as far as it is decided before Argu reads it.
type Asked =
    | HelpOfProgram
    | HelpOfCommand of Command
    /// Argu reads it.
    | Work

/// Raises UsageException at the first word that cannot be right.
let check (program: Program) (argv: string[]) : Asked =
    let find name = program.Commands |> List.tryFind (fun command -> command.Name = name)
    let isHelp word = word = "--help" || word = "-h"
    match List.ofArray argv with
    | []
    | [ "help" ] -> HelpOfProgram
    | word :: _ when isHelp word -> HelpOfProgram
    | name :: words ->
        match find name with
        | Some command when List.exists isHelp words -> HelpOfCommand command
        | Some command ->
            checkCommand program command words
            match name, words with
            | "help", [ topic ] -> HelpOfCommand (find topic).Value
            | _ -> Work
        | None when name.StartsWith '-' ->
            let names = program.Flags |> List.collect _.Names
            if not (List.contains name names) then didYouMean name names
            Work
        | None -> didYouMean name (program.Commands |> List.map _.Name)
