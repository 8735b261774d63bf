/// Mechanical mutation of src/Theory.FSharp: every comparison, every + and -, every * and /, every min and max and every decimal
/// constant in an expression is a site; a seeded sample of them is put into one copy of the code, each behind a switch. The copy is
/// built once; its program (Driver.fs) first notes which sites each test reaches, then switches one mutant on at a time and asks the
/// tests that reach it, the quickest first. Prints the score and what survived, and appends both to a file. Exit code 1 when the
/// score is under 95 %, equivalent mutants (equivalent.tsv) not counted.
/// Usage: tests/mutations/sample [number of mutants, default 200] [seed, default 1] [seconds, default 60] [file to append to, or -]
///        [only sites whose file matches]
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

let size, seed, seconds =
    int (argument 0 "200"), int (argument 1 "1"), float (argument 2 "60")

let report, only = argument 3 "-", argument 4 "."

work <- Path.Combine(Path.GetTempPath(), $"toolkit-mutants-{seed}")

/// A place in a line of code: what stands there, and what a mutant puts there instead.
type Site =
    {
        File: string
        Line: int
        Column: int
        Indent: int
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
                    Indent = line.Length - line.TrimStart().Length
                    Token = token
                    Fault = fault
                    Text = line.Trim()
                }
            // A reference to a line that takes the message of an error apart is no arithmetic either.
            // Nor is a line of a message that goes over several.
            let inMessage = (line |> Seq.filter ((=) '"') |> Seq.length) % 2 = 1

            if not (declares code) && not (line.Contains "raise (") && not inMessage then
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
    let digits = [| for i in 0..6 -> ".@^!"[number / pown 4 i % 4] |] |> String

    (if site.Token.Length = 2 then
         site.Token.Substring(0, 1) + "="
     else
         site.Token)
    + digits

/// What stands in the code for a site, and what defines it.
let embedded number (site: Site) =
    if operators.ContainsKey site.Token then
        let name = operatorOf number site
        name, $"    let inline ( {name} ) a b = if on {number} then a {site.Fault} b else a {site.Token} b\n"
    elif site.Token = "min" || site.Token = "max" then
        $"{site.Token}{number}",
        $"    let inline {site.Token}{number} a b = if on {number} then {site.Fault} a b else {site.Token} a b\n"
    else
        $"(constant{number} ())", $"    let constant{number} () = if on {number} then {site.Fault} else {site.Token}\n"

/// Puts the sites into a fresh copy and builds it; sites on lines that then fail to compile are dropped.
let rec install (sites: (int * Site)[]) =
    prepare (
        $"    let seen: bool[] = Array.zeroCreate {size + 1}\n"
        + "    /// Notes a site while sites are noted (-1), and stops what does not end (-2).\n"
        + "    let slow number =\n        if active = -2 then raise (System.TimeoutException())\n"
        + "        seen[number] <- true\n        false\n"
        + "    let on number = active = number || (active < 0 && slow number)\n"
        + (sites
           |> Array.map (fun (number, site) -> snd (embedded number site))
           |> String.Concat)
    )

    File.Copy(
        Path.Combine(__SOURCE_DIRECTORY__, "Driver.fs"),
        Path.Combine(work, "tests", "Theory.Tests", "Program.fs"),
        true
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

        // Where a type was left open by a site, the error stands where it is closed, and names the site's operator.
        let named =
            Regex.Matches(output, @"operator '([^']+)'")
            |> Seq.map (fun m -> m.Groups[1].Value)
            |> Set.ofSeq

        let left =
            sites
            |> Array.filter (fun (number, site) ->
                not (
                    wrong.Contains(site.File.Replace('\\', '/'), site.Line)
                    || named.Contains(operatorOf number site)
                ))

        if left.Length = sites.Length then
            eprintfn "the copy does not build: %s" output
            exit 1

        printfn "%d sites are no expressions and are dropped" (sites.Length - left.Length)
        install left

/// Mutants that change nothing that can be seen, with the reason: file, the line's text, token, its column in that text.
let equivalent =
    [
        for line in File.ReadAllLines(Path.Combine(__SOURCE_DIRECTORY__, "equivalent.tsv"))[1..] do
            let cells = line.Split '\t'
            cells[0], cells[1], cells[2], int cells[3]
    ]
    |> set

printfn "%d sites in all; %d drawn with seed %d" all.Length sample.Length seed
let installed = install (sample |> Array.mapi (fun i site -> i + 1, site))
let lists = Path.Combine(work, "lists")
Directory.CreateDirectory lists |> ignore
File.WriteAllLines(Path.Combine(lists, "sites"), installed |> Array.map (fun (number, _) -> string number))

File.WriteAllLines(
    Path.Combine(lists, "sites.tsv"),
    installed
    |> Array.map (fun (number, s) ->
        $"{number}\t{s.File}\t{s.Line + 1}\t{s.Column + 1}\t{s.Token}\t{s.Fault}\t{s.Text}")
)

let program = "tests/Theory.Tests/bin/Release/net10.0/Theory.Tests.dll"
let reached = Path.Combine(lists, "reached.tsv")

/// Seconds that are left for mutants; which sites each test reaches is noted before, and not counted.
let left () =
    if File.Exists reached then
        max 1.0 (seconds - (DateTime.UtcNow - File.GetLastWriteTimeUtc reached).TotalSeconds)
    else
        seconds

let drive (fault: int) (arguments: string list) =
    run 100000 fault (program :: lists :: arguments)

/// Starts the program until it ends by itself: a mutant that hangs or crashes it ends it early.
let rec finish () =
    match drive 0 [ string (left ()); "30" ] with
    | Some(0, _) -> ()
    | Some(_, output) when not (File.Exists reached) ->
        eprintfn "the tests do not run: %s" output
        exit 1
    | _ -> finish ()

finish ()

let results () =
    File.ReadAllLines(Path.Combine(lists, "results.tsv"))
    |> Array.map (fun line -> let cells = line.Split '\t' in int cells[0], (cells[1], cells[2]))

for number, (status, _) in results () do
    if status = "static" && left () > 1.0 then
        drive number [ "0"; "30"; string number ] |> ignore

// A later line of the same mutant takes the place of an earlier one.
let verdicts = results () |> dict

let judged =
    [
        for number, site in installed do
            match verdicts.TryGetValue number with
            | true, (("caught" | "survives" | "unreached") as status, by) -> site, status, by
            | _ -> ()
    ]

let same, counted =
    judged
    |> List.partition (fun (site, status, _) ->
        status <> "caught"
        && equivalent.Contains(site.File, site.Text, site.Token, site.Column - site.Indent + 1))

let survivors = counted |> List.filter (fun (_, status, _) -> status <> "caught")
let score = 100.0 * (1.0 - float survivors.Length / float (max 1 counted.Length))

let lines =
    [
        yield
            $"seed {seed}: {judged.Length} of {all.Length} mutants tried, {same.Length} equivalent, {counted.Length - survivors.Length} caught \
              (%.1f{score} %%), {survivors.Length} survive"
        for site, status, by in survivors do
            yield
                $"  {site.File}:{site.Line + 1}:{site.Column + 1} `{site.Token}` -> `{site.Fault}` in `{site.Text}`: {status} {by}"
    ]

printfn "%s" (String.Join("\n", lines))

if report <> "-" then
    File.AppendAllLines(report, lines)

exit (if counted.Length > 0 && score >= 95.0 then 0 else 1)
