/// What the documents name exists: files and folders of the repository, and commands of the program.
module Architecture.Tests.PathTests

open System
open System.IO
open System.Text.RegularExpressions
open Argu
open Expecto
open OptimalStopping.Cli.Arguments

let private root = Support.Repository.root

/// The pages that people write; the reference pages are the program's.
let private pages =
    [| yield! Directory.GetFiles(root, "*.md")
       yield! Directory.GetFiles(Path.Combine(root, "docs"), "*.md")
       yield! Directory.GetFiles(Path.Combine(root, "samples"), "*.md")
       yield! Directory.GetFiles(Path.Combine(root, "packaging"), "README.md", SearchOption.AllDirectories) |]

/// What a build or a run makes.
let private made = [ "results"; "packaging/packages"; "paper/main.pdf"; "configs/qwen3_public_calibration.jsonl" ]

let private named = Regex @"(?<![\w./-])(?:src|tests|docs|configs|models|paper|packaging|tools|samples|benchmarks)/[\w./+-]*[\w+]"

let private missing (text: string) : string list =
    [ for found in named.Matches text do
          let path = found.Value
          let ends = found.Index + found.Length
          let isPattern = ends < text.Length && (text[ends] = '*' || text[ends] = '{' || text[ends] = '<')
          let full = Path.Combine(root, path)
          if not isPattern && not (made |> List.exists path.StartsWith) && not (File.Exists full || Directory.Exists full) then
              path ]
    |> List.distinct

/// Links of a page to files, from the page's folder.
let private broken (page: string) (text: string) : string list =
    [ for found in Regex.Matches(text, @"\]\(([^)#:\s]+)(#[^)]*)?\)") do
          let target = Path.Combine(nonNull (Path.GetDirectoryName page), found.Groups[1].Value)
          if not (File.Exists target || Directory.Exists target) then found.Groups[1].Value ]

let private short (page: string) = Path.GetRelativePath(root, page)

[<Tests>]
let tests =
    testList
        "Paths"
        [ test "Every path that README and the documents name exists" {
              let hits =
                  [ for page in pages do
                        for path in missing (File.ReadAllText page) -> $"{short page}: {path}" ]
              let shown = String.Join("\n", hits)
              Expect.isEmpty hits $"paths that are not there:\n{shown}"
              Expect.equal
                  (missing "see `src/Nowhere/File.cs`, `src/Cli` and `models/nano/**`")
                  [ "src/Nowhere/File.cs" ]
                  "a wrong path is found"
          }

          test "Every link of README and the documents leads somewhere" {
              let hits =
                  [ for page in pages do
                        for link in broken page (File.ReadAllText page) -> $"{short page}: {link}" ]
              Expect.isEmpty hits "links"
          }

          test "Every command of toolkit that README and the documents name exists" {
              let parser = ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false)
              let commands = parser.GetSubCommandParsers() |> List.map (fun p -> p.ParentInfo.Value.Name.Value) |> Set.ofList
              let hits =
                  [ for page in pages do
                        for found in Regex.Matches(File.ReadAllText page, @"(?:`|^|\s--\s)toolkit ([a-z]+)", RegexOptions.Multiline) do
                            if not (commands.Contains found.Groups[1].Value) then $"{short page}: toolkit {found.Groups[1].Value}" ]
              Expect.isGreaterThan commands.Count 10 "commands found"
              Expect.isEmpty hits "commands that are not there"
          } ]
