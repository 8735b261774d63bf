module Runtime.Tests.Program

open Expecto

let tests =
    testList "Runtime" [
        TraceReaderTests.tests
        EvaluationTests.tests
    ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
