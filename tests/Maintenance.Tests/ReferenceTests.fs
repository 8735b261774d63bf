/// The reference pages that the program writes about itself.
module Maintenance.Tests.ReferenceTests

open Support
open System
open System.Text.RegularExpressions
open Argu
open Expecto
open OptimalStopping.Cli.Arguments
open OptimalStopping.Maintenance.Reference
open OptimalStopping.Theory

let private parser = ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false) :> ArgumentParser

let private page =
    lazy (ApiReference.pages typeof<RegretBound>.Assembly |> Array.map (fun (struct (name, text)) -> name, text) |> Map.ofArray)

[<Tests>]
let tests =
    testList
        "Reference"
        [ test "Every command and every flag is in the command line's page" {
              let text = CliReference.text (OptimalStopping.Cli.Syntax.read parser)
              for command in parser.GetSubCommandParsers() do
                  for case in command.GetArgumentCases() do
                      if not case.IsMainCommand && not case.IsHidden.Value then
                          for name in case.CommandLineNames.Value do
                              Expect.stringContains text $"`{name}" name
          }

          testSequenced (
              test "maintenance docs writes the pages, and --check sees one that is old" {
                  SampleRun.inFolder (fun dir ->
                      let docs arguments = OptimalStopping.Maintenance.Program.execute (Array.append [| "docs"; "--out"; dir |] arguments)
                      Expect.equal (docs [||]) 0 "written"
                      Expect.equal (docs [| "--check" |]) 0 "all as they should be"
                      let page = IO.Path.Combine(dir, "cli.md")
                      IO.File.WriteAllText(page, (IO.File.ReadAllText page).Replace("--seed", "--sed"))
                      Expect.equal (docs [| "--check" |]) 1 "an old page"
                      Expect.stringContains (IO.File.ReadAllText page) "--sed" "which is left as it was")
              }
          )

          test "Doc comments become text: summaries, references, formulae" {
              let text = page.Value["OptimalStopping.Theory.md"]
              Expect.stringContains text "## RegretBound" "a record"
              Expect.stringContains text "min(bound, B T), in units of reward." "the comment of a field"
              Expect.stringContains
                  text
                  "static RegretBound Nest(Feedback feedback, int stages, double logComparators, int horizon, double range)"
                  "a signature in C#"
              Expect.stringContains
                  text
                  "F#: `Regret.nest: feedback: Feedback * stages: int * logComparators: float * horizon: int * range: float -> RegretBound`"
                  "and in F#"
              Expect.stringContains text "F#: `type RegretBound = { Value: float; Vacuous: bool }`" "a record in F#"
              Expect.stringContains text "Theorem 4: E regret of NEST tuned for T against any one comparator." "its comment"
              Expect.isFalse (Regex.IsMatch(text, @"`\d")) "no name with the compiler's count of type parameters"
          }

          test "Nearly every public member of the theory has a comment" {
              let all = page.Value |> Map.toSeq |> Seq.map snd |> String.concat "\n"
              let sections = Regex.Split(all, @"(?m)^### ") |> Array.skip 1
              let described = sections |> Array.filter (fun s -> (Regex.Replace(s, @"(?m)^`.*$|^##.*$", "")).Trim() <> "") |> Array.length
              // Constructors of records repeat their fields and have none.
              let methods = sections |> Array.filter (fun s -> s.StartsWith "`static ")
              let bare = methods |> Array.filter (fun s -> (Regex.Replace(s, @"(?m)^`.*$|(?s)^## .*", "")).Trim() = "")
              Expect.isGreaterThan described (sections.Length / 2) "more than half"
              Expect.isLessThan bare.Length (1 + methods.Length / 20) $"static functions without a comment: {bare |> Array.truncate 5}"
          } ]
