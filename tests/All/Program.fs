/// Every test of the project in one process; each test project also runs on its own.
module All.Program

open System
open System.Diagnostics
open Expecto

/// Set, it makes this program run one test that fails, so that a test can see the command fail.
let private failOnPurpose = "TOOLKIT_FAIL_ON_PURPOSE"

let private runner =
    testCase "A failing test fails the command" (fun () ->
        let start = ProcessStartInfo("dotnet", [| typeof<Support.Runner.Marker>.Assembly.Location.Replace("Support.dll", "All.dll") |])
        start.Environment[failOnPurpose] <- "1"
        start.RedirectStandardOutput <- true
        use child = nonNull (Process.Start start)
        let output = child.StandardOutput.ReadToEnd()
        child.WaitForExit()
        Expect.equal child.ExitCode 1 "exit code"
        Expect.equal (output.TrimEnd().Split('\n') |> Array.last) "0 passed, 1 failed, 0 skipped" "closing line")

[<EntryPoint>]
let main argv =
    if isNull (Environment.GetEnvironmentVariable failOnPurpose) then
        let all =
            [ Theory.Tests.Program.tests
              OptimalStopping.Theory.CSharp.Tests.FaceTests.Tests
              Runtime.Tests.Program.tests
              Experiments.Tests.Program.tests
              Server.Tests.Program.tests
              Reports.Tests.Program.tests
              Cli.Tests.Program.tests
              Maintenance.Tests.Program.tests
              Architecture.Tests.Program.tests
              Fuzz.FuzzTests.tests ]
        testList
            "Toolkit"
            (runner
             :: DocumentTests.tests all
             :: testList "Licences" [ LicenceTests.tests Support.Repository.root ]
             :: testList "Locks" [ LockTests.tests Support.Repository.root ]
             :: all)
    else
        testCase "fails" (fun () -> failtest "on purpose")
    |> Support.Runner.run argv
