/// Every test of the project in one process; each test project also runs on its own.
module All.Program

open Expecto

[<EntryPoint>]
let main argv =
    testList "Toolkit" [ Theory.Tests.Program.tests; Runtime.Tests.Program.tests; Cli.Tests.Program.tests ]
    |> Support.Runner.run argv
