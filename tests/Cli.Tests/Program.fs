module Cli.Tests.Program

open Expecto

let tests =
    testList
        "Cli"
        [ Cli.Tests.ServeTests.tests
          Cli.Tests.ProgramTests.tests
          Cli.Tests.TutorialTests.tests
          Cli.Tests.TheoryTests.tests
          Cli.Tests.ShellTests.tests
          Cli.Tests.RealModelsTests.tests
          testList
              "Faults"
              [ Cli.Tests.Faults.KillTests.tests; Cli.Tests.Faults.ResourceTests.tests; Cli.Tests.Faults.ReproductionTests.tests ] ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
