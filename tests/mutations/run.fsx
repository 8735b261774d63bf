/// Mutation check of src/Theory.FSharp: puts every fault of faults.tsv into a copy of the code, each behind a switch, builds
/// once, runs the theory tests with one fault on at a time, and writes which test caught it to docs/mutations.md.
/// Exit code 0 when none survives, 1 otherwise. Usage: tests/mutations/run [number ...] (default: all faults)
open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions

let root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, "..", ".."))
let work = Path.Combine(Path.GetTempPath(), "toolkit-mutations")

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

let copy (folder: string) =
    for file in Directory.EnumerateFiles(Path.Combine(root, folder), "*", SearchOption.AllDirectories) do
        let relative = Path.GetRelativePath(root, file)

        if not (Regex.IsMatch(relative, @"[\\/](bin|obj)[\\/]")) then
            let target = Path.Combine(work, relative)
            Directory.CreateDirectory(Path.GetDirectoryName target) |> ignore
            File.Copy(file, target, true)

/// Runs a program; None when it does not end in time.
let run (seconds: int) (fault: int) (arguments: string list) =
    let info =
        ProcessStartInfo(
            "dotnet",
            arguments,
            WorkingDirectory = work,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    info.Environment["TOOLKIT_FAULT"] <- string fault
    use started = Process.Start info

    let output, error =
        started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()

    if started.WaitForExit(1000 * seconds) then
        Some(started.ExitCode, output.Result + error.Result)
    else
        started.Kill true
        None

// ---- the copy ----

if Directory.Exists work then
    Directory.Delete(work, true)

for folder in
    [
        "src/Theory.FSharp"
        "tests/Theory.Tests"
        "tests/Support"
        "docs"
        "packaging"
    ] do
    copy folder
// The solution file is how the tests find the repository.
for file in
    [
        "Toolkit.sln"
        "Directory.Build.props"
        "Directory.Packages.props"
        "global.json"
    ] do
    File.Copy(Path.Combine(root, file), Path.Combine(work, file), true)

let theory = Path.Combine(work, "src", "Theory.FSharp")

File.WriteAllText(
    Path.Combine(theory, "Mutations.fs"),
    """namespace OptimalStopping.Theory
module internal Mutations =
    let active = match System.Environment.GetEnvironmentVariable "TOOLKIT_FAULT" with null -> 0 | text -> int text
"""
)

let project = Path.Combine(theory, "Theory.FSharp.fsproj")

File.WriteAllText(
    project,
    Regex("<ItemGroup>").Replace(File.ReadAllText project, "<ItemGroup><Compile Include=\"Mutations.fs\" />", 1)
)

for fault in faults do
    let file = Path.Combine(theory, fault.File)
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

match run 1800 0 [ "build"; "tests/Theory.Tests"; "-c"; "Release"; "--nologo"; "-v"; "q" ] with
| Some(0, _) -> ()
| outcome ->
    eprintfn "the copy does not build: %A" outcome
    exit 1

// ---- the faults ----

let failing (output: string) =
    let plain = Regex.Replace(output, @"\x1b\[[0-9;?]*[A-Za-z]", "")

    [
        for m in Regex.Matches(plain, @"ERR\] (.+?) (failed|errored) in") do
            // A test of time says nothing of a fault: a busy machine fails it too.
            if not (m.Groups[1].Value.EndsWith "stay interactive") then
                m.Groups[1].Value
    ]

let tests fault (list: string option) =
    let filter =
        match list with
        | Some name -> [ "--filter-test-list"; name ]
        | None -> []

    match run 900 fault ([ "tests/Theory.Tests/bin/Release/net10.0/Theory.Tests.dll" ] @ filter) with
    | None -> [ "(the tests did not end)" ]
    | Some(0, _) -> []
    | Some(2, _) -> [] // no test is in that list
    | Some((1 | 3), output) -> failing output // 3: some failed and some threw
    | Some _ -> [ "(the tests crashed)" ]

match tests 0 None with
| [] -> printfn "without a fault every test passes"
| names ->
    eprintfn "without a fault these fail: %s" (String.Join("; ", names))
    exit 1

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

    File.WriteAllText(
        Path.Combine(root, "docs", "mutations.md"),
        $"# Mutation check\n\nWritten by `tests/mutations/run`; do not edit. Each fault of `tests/mutations/faults.tsv` is put into a copy of\n\
          `src/Theory.FSharp`, one at a time, and the theory tests run: first the list most likely to notice, then, if it does not, all.\n\n\
          **{results.Length - survivors} of {results.Length} faults are caught, {survivors} survive.**\n\n\
          | no. | file | code | fault | kind | caught by |\n|---|---|---|---|---|---|\n"
        + String.Join("\n", rows)
        + "\n"
    )

printfn "%d of %d faults are caught" (results.Length - survivors) results.Length
exit (if survivors = 0 then 0 else 1)
