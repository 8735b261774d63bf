/// Mechanical mutation of src/Theory.FSharp: every comparison, every + and -, every * and /, every min and max and every decimal
/// constant in an expression is a site; a seeded sample of them is put into one copy of the code, each behind a switch, and
/// the theory tests run with one on at a time. Prints the score and what survived, and appends both to a file.
/// Usage: tests/mutations/sample [number of mutants, default 50] [seed, default 1] [file to append to] [only sites whose file matches]
#load "workspace.fsx"

open System
open System.IO
open System.Text.RegularExpressions
open Workspace

let argument i otherwise =
    if fsi.CommandLineArgs.Length > i + 1 then
        fsi.CommandLineArgs[i + 1]
    else
        otherwise

let size, seed = int (argument 0 "50"), int (argument 1 "1")
let report, only = argument 2 "", argument 3 "."

work <- Path.Combine(Path.GetTempPath(), $"toolkit-mutants-{seed}")

/// A place in a line of code: what stands there, and what a mutant puts there instead.
type Site =
    {
        File: string
        Line: int
        Column: int
        Token: string
        Fault: string
        Text: string
    }

/// The line with strings, comments and attributes blanked, so that nothing in them is a site.
let codeOf (line: string) =
    let blank (m: Match) = String(' ', m.Length)
    let noStrings = Regex.Replace(line, "\\$?\"(\\\\.|[^\"\\\\])*\"", blank)
    Regex.Replace(Regex.Replace(noStrings, "//.*$", blank), "\\[<.*?>\\]", blank)

let operators =
    dict
        [
            "<", "<="
            "<=", "<"
            ">", ">="
            ">=", ">"
            "+", "-"
            "-", "+"
            "*", "/"
            "/", "*"
            "=", "<>"
        ]

/// Types are written with the same signs: lines that declare are no place for arithmetic.
let declares (code: string) =
    Regex.IsMatch(code, @"^\s*(open|type|abstract|namespace|module|member val|inherit|interface)\b")
    || code.Contains "->" && code.Contains " * "

let constant (text: string) =
    match float text with
    | 0.0 -> "1.0"
    | 1.0 -> "2.0"
    | x -> (1.5 * x).ToString("0.0################", Globalization.CultureInfo.InvariantCulture)

let sitesOf (path: string) =
    let file = Path.GetRelativePath(Path.Combine(root, "src", "Theory.FSharp"), path)

    [
        for number, line in File.ReadLines path |> Seq.indexed do
            let code = codeOf line

            let site token fault column =
                {
                    File = file
                    Line = number
                    Column = column
                    Token = token
                    Fault = fault
                    Text = line.Trim()
                }
            // A reference to a line that takes the message of an error apart is no arithmetic either.
            if not (declares code) && not (line.Contains "raise (") then
                for m in Regex.Matches(code, @"(?<= )(<=|>=|<|>|\+|-|\*|/)(?= )") do
                    site m.Value operators[m.Value] m.Index

                for m in Regex.Matches(code, @"(?<=^\s*(el)?if [^=]*[^=<>!:] )=(?= )") do
                    site "=" "<>" m.Index

                for m in Regex.Matches(code, @"(?<![\w.])(min|max)(?= [\w(])") do
                    site m.Value (if m.Value = "min" then "max" else "min") m.Index

                for m in Regex.Matches(code, @"(?<![\w.])\d+\.\d+(e-?\d+)?(?![\w.])") do
                    site m.Value (constant m.Value) m.Index
    ]

let all =
    Directory.GetFiles(Path.Combine(root, "src", "Theory.FSharp"), "*.fs", SearchOption.AllDirectories)
    |> Array.filter (fun path -> not (Regex.IsMatch(path, @"[\\/](bin|obj)[\\/]")))
    |> Array.sort
    |> Seq.collect sitesOf
    |> Seq.toArray

let sample =
    let random = Random seed

    let order =
        all
        |> Array.filter (fun site -> Regex.IsMatch(site.File, only))
        |> Array.map (fun site -> random.NextDouble(), site)

    order |> Array.sortBy fst |> Array.map snd |> Array.truncate size

/// An operator of its own for a site: the first sign decides its precedence, the rest spells the number.
let operatorOf number (site: Site) =
    let digits = [| for i in 0..4 -> ".@^!"[number / pown 4 i % 4] |] |> String

    (if site.Token.Length = 2 then
         site.Token.Substring(0, 1) + "="
     else
         site.Token)
    + digits

/// What stands in the code for a site, and what defines it.
let embedded number (site: Site) =
    if operators.ContainsKey site.Token then
        let name = operatorOf number site
        name, $"    let inline ( {name} ) a b = if active = {number} then a {site.Fault} b else a {site.Token} b\n"
    elif site.Token = "min" || site.Token = "max" then
        $"{site.Token}{number}",
        $"    let inline {site.Token}{number} a b = if active = {number} then {site.Fault} a b else {site.Token} a b\n"
    else
        $"constant{number}", $"    let constant{number} = if active = {number} then {site.Fault} else {site.Token}\n"

/// Puts the sites into a fresh copy and builds it; sites on lines that then fail to compile are dropped.
let rec install (sites: (int * Site)[]) =
    prepare (
        sites
        |> Array.map (fun (number, site) -> snd (embedded number site))
        |> String.Concat
    )

    for file, inFile in sites |> Array.groupBy (fun (_, site) -> site.File) do
        let path = Path.Combine(theory (), file)
        let lines = File.ReadAllLines path
        // From the right, so that columns stay what they were.
        for number, site in inFile |> Array.sortByDescending (fun (_, site) -> site.Column) do
            let line = lines[site.Line]

            lines[site.Line] <-
                line.Substring(0, site.Column)
                + fst (embedded number site)
                + line.Substring(site.Column + site.Token.Length)

        File.WriteAllLines(path, lines)

    match build () with
    | None -> sites
    | Some output ->
        let wrong =
            Regex.Matches(output, @"Theory\.FSharp/(\S+?)\((\d+),")
            |> Seq.map (fun m -> m.Groups[1].Value, int m.Groups[2].Value - 1)
            |> Set.ofSeq

        let left =
            sites
            |> Array.filter (fun (_, site) -> not (wrong.Contains(site.File.Replace('\\', '/'), site.Line)))

        if left.Length = sites.Length then
            eprintfn "the copy does not build: %s" output
            exit 1

        printfn "%d sites are no expressions and are dropped" (sites.Length - left.Length)
        install left

/// The list of tests most likely to notice a fault in a file.
let first (file: string) =
    match Path.GetFileNameWithoutExtension file with
    | "EffectsAndIntervals" -> "EffectSizes"
    | "Calibrators" -> "Logistic"
    | "PolicyClass" -> "Nest"
    | "Comparison" -> "MultipleTesting"
    | "JumpAndRecall" -> "Jump"
    | "OptimisticPlanning" -> "OptimisticPlan"
    | "Foundations" -> "PairedTests"
    | "Environments" -> "Environment"
    | name -> name

printfn "%d sites in all; %d drawn with seed %d" all.Length sample.Length seed
let installed = install (sample |> Array.mapi (fun i site -> i + 1, site))
requirePassing ()

let survivors =
    [
        for number, site in installed do
            let caught =
                match tests number (Some(first site.File)) with
                | [] -> tests number None
                | names -> names

            let place = $"{site.File}:{site.Line + 1}:{site.Column + 1}"

            let said =
                match caught with
                | [] -> "SURVIVES"
                | name :: _ -> "caught   " + name

            printfn "%3d %s `%s` -> `%s` in `%s`: %s" number place site.Token site.Fault site.Text said

            if caught.IsEmpty then
                place, site
    ]

let score = 100.0 * (1.0 - float survivors.Length / float installed.Length)

let lines =
    [
        yield
            $"seed {seed}: {installed.Length} of {all.Length} sites, {installed.Length - survivors.Length} caught (%.1f{score} %%), {survivors.Length} survive"
        for place, site in survivors do
            yield $"  {place} `{site.Token}` -> `{site.Fault}` in `{site.Text}`"
    ]

printfn "%s" (String.Join("\n", lines))

if report <> "" then
    File.AppendAllLines(report, lines)

exit (if survivors.IsEmpty then 0 else 1)
