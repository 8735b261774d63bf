module Maintenance.Tests.Program

open Expecto

let tests = testList "Maintenance" [ PaperTests.tests; ReferenceTests.tests ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
