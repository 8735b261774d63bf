/// Mutation check of src/Theory.FSharp: puts every fault of faults.tsv into a copy of the code, each behind a switch, builds
/// once, runs the theory tests with one fault on at a time, and writes which test caught it to docs/mutations.md.
/// Exit code 0 when none survives, 1 otherwise. Usage: tests/mutations/run [number ...] (default: all faults)
#load "workspace.fsx"

open System
open System.IO
open Workspace


type Fault =
    {
        Number: int
        File: string
        Expression: string
        Fault: string
        What: string
        First: string
    }

let faults =
    File.ReadAllLines(Path.Combine(__SOURCE_DIRECTORY__, "faults.tsv"))[1..]
    |> Array.mapi (fun i line ->
        let c = line.Split '\t'

        {
            Number = i + 1
            File = c[0]
            Expression = c[1]
            Fault = c[2]
            What = c[3]
            First = c[4]
        })

prepare ""

for fault in faults do
    let file = Path.Combine(theory (), fault.File)
    let text = File.ReadAllText file

    if text.Split(fault.Expression).Length <> 2 then
        eprintfn "faults.tsv:%d: expected '%s' exactly once in %s" (fault.Number + 1) fault.Expression fault.File
        exit 1

    File.WriteAllText(
        file,
        text.Replace(
            fault.Expression,
            $"(if Mutations.active = {fault.Number} then ({fault.Fault}) else ({fault.Expression}))"
        )
    )

match build () with
| None -> ()
| Some output ->
    eprintfn "the copy does not build: %s" output
    exit 1

requirePassing ()

let chosen = fsi.CommandLineArgs[1..] |> Array.map int |> Set.ofArray

let results =
    [
        for fault in faults do
            if chosen.IsEmpty || chosen.Contains fault.Number then
                let caught =
                    match tests fault.Number (Some fault.First) with
                    | [] -> tests fault.Number None
                    | names -> names

                printfn
                    "%2d %-8s %s: %s"
                    fault.Number
                    (if caught.IsEmpty then "SURVIVES" else "caught")
                    fault.What
                    (match caught with
                     | [] -> ""
                     | first :: rest -> if rest.IsEmpty then first else $"{first} (+{rest.Length})")

                fault, caught
    ]

let survivors = results |> List.filter (snd >> List.isEmpty) |> List.length

if chosen.IsEmpty then
    let cell (text: string) = text.Replace("|", "\\|")

    let rows =
        [
            for fault, caught in results ->
                let by =
                    match caught with
                    | [] -> "**survives**"
                    | first :: rest ->
                        first.Substring(first.IndexOf '.' + 1)
                        + (if rest.IsEmpty then "" else $" (and {rest.Length} more)")

                $"| {fault.Number} | `{fault.File}` | `{cell fault.Expression}` | `{cell fault.Fault}` | {cell fault.What} | {cell by} |"
        ]

    let document = Path.Combine(root, "docs", "mutations.md")
    // What is said of the mechanical mutants, from its heading on, is written by hand.
    let before = File.ReadAllText document

    let mechanical =
        match before.IndexOf "\n## Mechanical mutants" with
        | -1 -> ""
        | at -> before.Substring at

    File.WriteAllText(
        document,
        $"# Mutation check\n\nWritten by `tests/mutations/run` down to the mechanical mutants; do not edit. Each fault of `tests/mutations/faults.tsv` is put into a copy of\n\
          `src/Theory.FSharp`, one at a time, and the theory tests run: first the list most likely to notice, then, if it does not, all.\n\n\
          **{results.Length - survivors} of {results.Length} faults are caught, {survivors} survive.**\n\n\
          | no. | file | code | fault | kind | caught by |\n|---|---|---|---|---|---|\n"
        + String.Join("\n", rows)
        + "\n"
        + mechanical
    )

printfn "%d of %d faults are caught" (results.Length - survivors) results.Length
exit (if survivors = 0 then 0 else 1)
