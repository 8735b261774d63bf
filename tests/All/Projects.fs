/// The tests of every test project that lies beside this program.
module All.Projects

open System
open System.IO
open System.Reflection
open Expecto

/// One list for each project, by name; a project is found by its file, and its lists by their mark.
let all () : Test list =
    [| "*.Tests.dll"; "Fuzz.dll" |]
    |> Array.collect (fun pattern -> Directory.GetFiles(AppContext.BaseDirectory, pattern))
    |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
    |> Array.map (fun file -> Support.Runner.discover (Assembly.Load(AssemblyName.GetAssemblyName file)))
    |> List.ofArray
