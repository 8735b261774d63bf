/// What users of a package take with it, read from the restore graph.
module All.PackageTests

open System.IO
open System.Text.Json
open Expecto

/// Packages and shared frameworks that a project needs at run time, directly or through another.
let private needed (root: string) (project: string) : string list =
    let assets = Path.Combine(root, "src", project, "obj", "project.assets.json")
    use document = JsonDocument.Parse(File.ReadAllText assets)
    [ for library in document.RootElement.GetProperty("libraries").EnumerateObject() do
          yield (library.Name.Split '/')[0]
      for framework in document.RootElement.GetProperty("project").GetProperty("frameworks").EnumerateObject() do
          match framework.Value.TryGetProperty "frameworkReferences" with
          | true, references ->
              for reference in references.EnumerateObject() do
                  yield reference.Name
          | _ -> () ]

let private isServers (name: string) = name.StartsWith "Microsoft.AspNetCore" || name.StartsWith "OpenTelemetry"

[<Tests>]
let tests =
    testCase "the runtime's package takes neither ASP.NET Core nor OpenTelemetry" (fun () ->
        let root = Support.Repository.root
        for project in [ "Theory.FSharp"; "Runtime.CSharp" ] do
            Expect.isEmpty (needed root project |> List.filter isServers) project
        Expect.isGreaterThan (needed root "Runtime.CSharp").Length 10 "packages were found"
        let server = needed root "Server" |> List.filter isServers
        Expect.contains server "Microsoft.AspNetCore.App" "the server's does, so the names are right"
        Expect.exists server (fun name -> name.StartsWith "OpenTelemetry") "and so does its exporter")
