module Runtime.Tests.Program

open Expecto

let tests = testList "Runtime" []

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
