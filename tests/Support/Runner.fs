/// Runs Expecto tests and closes with the one plain line that a script can read: N passed, N failed, N skipped.
module Support.Runner

open System
open Expecto

/// Names this assembly, for those who look for the test programs beside it.
type Marker = class end

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
