module Torch.Tests.Program

open Expecto

/// In sequence: torch's thread count and random generator are global.
let tests =
    testSequenced (
        testList
            "Torch"
            [ ModelExportTests.tests
              TrainerTests.tests
              TrainingPlanTests.tests
              TorchModelTests.tests
              TorchDoctorTests.tests
              DecisionsTests.tests ]
    )

[<EntryPoint>]
let main argv =
    NativeLibrary.prepare ()
    TorchSharp.torch.set_num_threads 1 // small products gain nothing from more, and other work shares the cores
    Support.Runner.run argv tests
