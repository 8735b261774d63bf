module Theory.Tests.Program

open Expecto

let tests = testList "Theory" []

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
