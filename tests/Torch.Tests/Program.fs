module Torch.Tests.Program

open Expecto

/// In sequence: torch's thread count and random generator are global.
let tests =
    testSequenced (testList "Torch" [ ModelExportTests.tests; TrainerTests.tests; TrainingPlanTests.tests; TorchModelTests.tests ])

[<EntryPoint>]
let main argv =
    NativeLibrary.prepare ()
    Support.Runner.run argv tests
