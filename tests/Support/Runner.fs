/// Runs Expecto tests and closes with the one plain line that a script can read: N passed, N failed, N skipped.
module Support.Runner

open System
open System.Reflection
open Expecto

/// Names this assembly, for those who look for the test programs beside it.
type Marker = class end

/// Every list that an assembly marks with [<Tests>], in the order of its files, under the project's name: "Theory" for
/// Theory.Tests. The mark is all that registers a list.
let discover (assembly: Assembly) : Test =
    let name = nonNull (assembly.GetName().Name)
    match Impl.testFromAssembly assembly with
    | Some tests -> testList (if name.EndsWith ".Tests" then name[.. name.Length - 7] else name) [ tests ]
    | None -> failwith $"{name}: expected a list of tests marked [<Tests>], got none"

/// Runs the tests with Expecto's own command line (--filter, --stress, ...) and returns the process's exit code:
/// 0 when every test passed, 1 when any failed or errored, 2 when nothing ran at all.
let run (argv: string[]) (tests: Test) : int =
    let mutable passed, failed, skipped = 0, 0, 0
    let count (summary: Impl.TestRunSummary) =
        passed <- List.length summary.passed
        failed <- List.length summary.failed + List.length summary.errored
        skipped <- List.length summary.ignored
    let code = runTestsWithCLIArgs [ Append_Summary_Handler(SummaryHandler count) ] argv tests
    // Expecto leaves the cursor behind a colour code; the closing line must stand alone.
    printfn ""
    printfn "%d passed, %d failed, %d skipped" passed failed skipped
    Console.Out.Flush()
    if code <> 0 then code
    elif failed > 0 then 1
    elif passed = 0 && not (Array.contains "--list-tests" argv) then 2
    else 0

/// Runs every test of one project: what its `main` does.
let runAll (argv: string[]) (assembly: Assembly) : int = run argv (discover assembly)
