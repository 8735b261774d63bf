/// The repository that the tests belong to.
module Support.Repository

open System
open System.IO

/// Its folder, found from where the test program lies by a file that only its root has.
let root: string =
    let rec climb (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "expected Toolkit.sln in a folder above the tests"
        | folder when File.Exists(Path.Combine(folder.FullName, "Toolkit.sln")) -> folder.FullName
        | folder -> climb folder.Parent
    climb (DirectoryInfo AppContext.BaseDirectory)

/// Whether a program is in PATH.
let hasProgram (program: string) =
    (nonNull (Environment.GetEnvironmentVariable "PATH")).Split Path.PathSeparator
    |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, program)))
