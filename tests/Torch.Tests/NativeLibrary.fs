/// Makes sure that TorchSharp's native library loads before any test touches it.
module Torch.Tests.NativeLibrary

open System
open System.IO
open System.Reflection
open System.Runtime.InteropServices

/// Loads the library from this program's folder. Where libstdc++ is older than GCC 13 it cannot be loaded as shipped;
/// then tests/TorchCompat is applied to this output folder's copy, and said so.
let prepare () : unit =
    let folder = AppContext.BaseDirectory
    let load () = NativeLibrary.Load(Path.Combine(folder, "libLibTorchSharp.so")) |> ignore
    try
        load ()
    with :? DllNotFoundException as fault when fault.Message.Contains "GLIBCXX_3.4.32" ->
        printfn
            "libLibTorchSharp.so needs a newer libstdc++ than this system's; applying tests/TorchCompat to the copy in the output folder"
        match Assembly.Load("TorchCompat").EntryPoint with
        | null -> failwith "TorchCompat: expected a program, got a library"
        | tool ->
            match tool.Invoke(null, [| box [| folder |] |]) with
            | :? int as code when code = 0 -> load ()
            | code -> failwith $"TorchCompat failed with exit code {code}"
