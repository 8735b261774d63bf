/// Every test of the project in one process; each test project also runs on its own.
module All.Program

open System
open System.Reflection
open Expecto

[<EntryPoint>]
let main argv =
    let tests =
        if isNull (Environment.GetEnvironmentVariable CommandTests.failOnPurpose) then
            testList "Toolkit" (Support.Runner.discover (Assembly.GetExecutingAssembly()) :: Projects.all ())
        else
            CommandTests.onPurpose
    if TestingPlatform.isAsked argv then TestingPlatform.run argv tests else Support.Runner.run argv tests
