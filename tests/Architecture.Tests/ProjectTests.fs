/// The floor plan: which projects are under src, what each refers to, and how long their files are.
module Architecture.Tests.ProjectTests

open System
open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open Expecto

let private root = Support.Repository.root

let private sources =
    Directory.GetFiles(Path.Combine(root, "src"), "*.*", SearchOption.AllDirectories)
    |> Array.filter (fun f -> (f.EndsWith ".cs" || f.EndsWith ".fs") && not (f.Replace('\\', '/').Contains "/obj/"))

/// Project references as (from, to, condition), by project name.
let private references (projects: seq<string>) =
    [ for project in projects do
          for e in XDocument.Load(project).Descendants(XName.Get "ProjectReference") do
              let target = (nonNull (e.Attribute(XName.Get "Include"))).Value
              let condition = e.Attribute(XName.Get "Condition") |> Option.ofObj |> Option.map _.Value |> Option.defaultValue ""
              nonNull (Path.GetFileNameWithoutExtension project),
              Path.GetFullPath(Path.Combine(nonNull (Path.GetDirectoryName project), target)),
              condition ]

let private projectsUnder (folder: string) = Directory.GetFiles(Path.Combine(root, folder), "*.?sproj", SearchOption.AllDirectories)

/// The plan of docs/architecture.md. The engine on libtorch is part of a build that asks for it.
let private plan =
    Set.ofList
        [ "Runtime.CSharp", "Theory.FSharp"
          "Experiments", "Runtime.CSharp"
          "Server", "Runtime.CSharp"
          "Runtime.Torch", "Runtime.CSharp"
          "Reports", "Experiments"
          "Cli", "Reports"
          "Cli", "Server"
          "Cli", "Runtime.Torch" ]

/// Packages that only the server may bring to those who use a library.
let private serverOnly (name: string) = name.StartsWith "Microsoft.AspNetCore" || name.StartsWith "OpenTelemetry"

[<Tests>]
let tests =
    testList
        "Projects"
        [ test "Seven projects under src, with the arrows of the plan and no others" {
              let projects = projectsUnder "src"
              Expect.equal projects.Length 7 "projects"
              let found = references projects
              let name (path: string) = nonNull (Path.GetFileNameWithoutExtension path)
              Expect.equal (found |> List.map (fun (a, b, _) -> a, name b) |> Set.ofList) plan "references"
              for a, b, condition in found do
                  Expect.equal (name b = "Runtime.Torch") (condition.Contains "TorchBackend") $"{a} -> {name b}: {condition}"
                  Expect.isTrue (b.StartsWith(Path.Combine(root, "src"))) $"{a} -> {b}: nothing that ships rests on tools or tests"
          }

          test "Only the server rests on ASP.NET Core and OpenTelemetry" {
              for name in [ "OptimalStopping.Theory"; "OptimalStopping.Runtime"; "OptimalStopping.Experiments"; "OptimalStopping.Reports" ] do
                  let assembly = Reflection.Assembly.Load name
                  let brought = assembly.GetReferencedAssemblies() |> Array.map (fun r -> nonNull r.Name) |> Array.filter serverOnly
                  Expect.isEmpty brought name
              let server = Reflection.Assembly.Load("OptimalStopping.Server").GetReferencedAssemblies()
              Expect.exists server (fun r -> serverOnly (nonNull r.Name)) "the server does, so the names are right"
          }

          test "Every list of tests is marked, so that it runs" {
              let unmarked (text: string) = Regex.IsMatch(text, @"(?m)^let tests\b") && not (text.Contains "[<Tests>]")
              let files = Directory.GetFiles(Path.Combine(root, "tests"), "*.fs", SearchOption.AllDirectories)
              let hits = files |> Array.filter (File.ReadAllText >> unmarked) |> Array.map (fun f -> Path.GetRelativePath(root, f))
              Expect.isEmpty hits "lists without [<Tests>]"
              Expect.isTrue (unmarked "open Expecto\nlet tests = testList") "such a list is found"
          }

          test "No source file is longer than 600 lines" {
              printfn "%d source files under src" sources.Length
              let long =
                  sources
                  |> Array.map (fun f -> Path.GetRelativePath(root, f), File.ReadLines f |> Seq.length)
                  |> Array.filter (fun (_, n) -> n > 600)
              Expect.isEmpty long "files"
              Expect.isGreaterThan sources.Length 100 "source files found"
          } ]
