module Runtime.Tests.Program

open Expecto

let tests =
    testList "Runtime" [
        Configuration.YamlReaderTests.tests
        Tasks.GraderTests.tests
        Tasks.QueryGeneratorTests.tests
        Tokenization.CharacterTokenizerTests.tests
    ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
