/// The two commands that run the tests fail when a test fails.
module All.CommandTests

open System
open System.Diagnostics
open System.IO
open Expecto

/// Set, it makes this program run two tests, of which one fails, so that a test can see the command fail.
let failOnPurpose = "TOOLKIT_FAIL_ON_PURPOSE"

/// What it runs then.
let onPurpose = testList "On purpose" [ testCase "passes" ignore; testCase "fails" (fun () -> failtest "on purpose") ]

let private dotnet (arguments: string list) (environment: (string * string) list) =
    let start = ProcessStartInfo("dotnet", arguments)
    start.WorkingDirectory <- Support.Repository.root
    for name, value in environment do
        start.Environment[name] <- value
    start.RedirectStandardOutput <- true
    use child = nonNull (Process.Start start)
    let output = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    child.ExitCode, output

let private program = Path.Combine(AppContext.BaseDirectory, "All.dll")

[<Tests>]
let tests =
    testList
        "Commands"
        [ test "A failing test fails the command" {
              let code, output = dotnet [ program ] [ failOnPurpose, "1" ]
              Expect.equal code 1 "exit code"
              Expect.equal (output.TrimEnd().Split('\n') |> Array.last) "1 passed, 1 failed, 0 skipped" "closing line"
          }

          test "A failing test fails dotnet test, which names it" {
              let code, output =
                  dotnet
                      [ "test"; "--test-modules"; Path.GetRelativePath(Support.Repository.root, program) ]
                      [ failOnPurpose, "1"; "DOTNET_CLI_UI_LANGUAGE", "en" ]
              Expect.notEqual code 0 $"exit code:\n{output}"
              Expect.stringContains output "On purpose.fails" "the failing test"
              Expect.stringContains output "failed: 1" "the count of failures"
              Expect.stringContains output "succeeded: 1" "the count of successes"
          } ]
