module Torch.Tests.Program

open System.Reflection
open Expecto

[<EntryPoint>]
let main argv =
    NativeLibrary.prepare ()
    TorchSharp.torch.set_num_threads 1 // small products gain nothing from more, and other work shares the cores
    // In sequence: torch's thread count and random generator are global.
    Support.Runner.run argv (testSequenced (Support.Runner.discover (Assembly.GetExecutingAssembly())))
