/// Looks over the words of a command line before Argu reads them, for what Argu lets pass or cannot explain: it reads a
/// decimal comma as a separator of thousands (0,01 as 1), and names no option that may have been meant.
module OptimalStopping.Cli.CommandLine

open System
open System.Globalization
open Argu
open OptimalStopping.Cli.Commands.Shared

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
    let name = names |> List.minBy (distance word)
    if distance word name <= max 1 (word.Length / 3) then Some name else None

let private unrecognized (word: string) hint = raise (UsageException $"unrecognized argument: '{word}'{hint}")

let private didYouMean word names =
    match nearest word names with
    | Some name -> unrecognized word $"; did you mean {name}?"
    | None -> unrecognized word ""

/// What the command itself refuses with a better message (too large a number, NaN) passes.
let private checkNumber (option: string) (kind: Type) (value: string) =
    let refuse wanted = raise (UsageException $"{option}: expected {wanted}, got '{value}'")
    if kind = typeof<float> then
        if not (fst (Double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture))) then
            refuse "a number with a decimal point"
    elif kind = typeof<int> || kind = typeof<int64> then
        if not (fst (Numerics.BigInteger.TryParse(value, NumberStyles.Integer, CultureInfo.InvariantCulture))) then
            refuse "a whole number"

/// The options of a command by name, with the types of the values that follow each.
let private options (cases: ArgumentCaseInfo list) =
    Map
        [ for case in cases do
              if not case.IsMainCommand then
                  for name in case.CommandLineNames.Value do
                      name, [ for field in case.UnionCaseInfo.GetFields() -> field.PropertyType ] ]

let private checkCommand (cases: ArgumentCaseInfo list) (words: string list) =
    let options = options cases
    let names = [ yield! options.Keys; "--help" ]
    let takesText = cases |> List.exists _.IsMainCommand
    let isFlag (word: string) = word.StartsWith("--", StringComparison.Ordinal)
    // Options of other tools (-h, -o); a text may begin with a dash, as in "-3+5=".
    let isLetters (word: string) = word.Length > 1 && word[0] = '-' && Seq.forall Char.IsAsciiLetter word[1..]
    let rec check texts =
        function
        | [] -> ()
        | word :: rest when options.ContainsKey word ->
            match options[word] with
            | [ kind ] when kind.IsGenericType -> // a list: all words up to the next option
                let values = rest |> List.takeWhile (isFlag >> not)
                for value in values do
                    checkNumber word (kind.GetGenericArguments()[0]) value
                check texts (List.skip values.Length rest)
            | [ kind ] when not rest.IsEmpty && not (options.ContainsKey rest.Head) ->
                checkNumber word kind rest.Head
                check texts rest.Tail
            | _ -> check texts rest
        | word :: _ when isFlag word ->
            match word.Split('=', 2) with
            | [| name; value |] when options.ContainsKey name -> unrecognized word $"; did you mean {name} {value}?"
            | parts -> didYouMean parts[0] names
        | word :: _ when isLetters word -> didYouMean word names
        | word :: rest when takesText ->
            if texts > 0 then unrecognized word "; text with spaces goes in quotes"
            check (texts + 1) rest
        | word :: _ when options.ContainsKey("--" + word) -> unrecognized word $"; did you mean --{word}?"
        | word :: _ -> unrecognized word ""
    check 0 words

/// Raises UsageException at the first word that cannot be right. Argu reports the rest, such as values that are missing.
let check (parser: ArgumentParser) (argv: string[]) =
    let subcommands = parser.GetSubCommandParsers()
    let name (sub: ArgumentParser) =
        match sub.ParentInfo with
        | Some info -> List.head info.CommandLineNames.Value
        | None -> ""
    match List.ofArray argv with
    | words when List.contains "--help" words -> ()
    | command :: words ->
        match subcommands |> List.tryFind (fun sub -> name sub = command) with
        | Some sub -> checkCommand (sub.GetArgumentCases()) words
        | None when command.StartsWith "-" ->
            let own = options (parser.GetArgumentCases() |> List.filter (fun case -> case.ArgumentType <> ArgumentType.SubCommand))
            if not (own.ContainsKey command) then didYouMean command [ yield! own.Keys; "--help" ]
        | None -> didYouMean command (List.map name subcommands)
    | [] -> ()
