module Cli.Tests.TheoryTests

open System.IO
open System.Text.Json
open System.Threading
open Expecto
open OptimalStopping.Cli
open OptimalStopping.Cli.Commands

/// What a command line that must succeed prints.
let private printed (arguments: string list) =
    let before = System.Console.Out
    use out = new StringWriter()
    try
        System.Console.SetOut out
        Expect.equal (Program.execute (List.toArray arguments) CancellationToken.None) 0 "exit code"
    finally
        System.Console.SetOut before
    out.ToString()

let private config = Shared.repositoryFile (Path.Combine("configs", "qwen3_models.yaml"))
let private at (path: string list) (root: JsonElement) = path |> List.fold (fun (e: JsonElement) (key: string) -> e.GetProperty key) root
let private numbers (e: JsonElement) = [ for x in e.EnumerateArray() -> x.GetDouble() ]

[<Tests>]
let tests =
    testSequenced (
        testList
            "theory"
            [ test "the user's cascade at lambda 1: going on never pays, and the command says so" {
                  let text = printed [ "theory"; "--config"; config; "--lambda"; "1" ]
                  for part in
                      [ "rewards span B = 17.5"
                        "going on never pays"
                        "Thm 4"
                        "Thm 5"
                        "Thm 7"
                        "Thm 8(a)"
                        "Thm 9"
                        "Thm 10"
                        "Thm 11"
                        "Thm 14" ] do
                      Expect.stringContains text part "text"
                  use json = JsonDocument.Parse(printed [ "theory"; "--config"; config; "--lambda"; "1"; "--json" ])
                  let root = json.RootElement
                  Expect.equal (numbers (root.GetProperty "costs")) [ 1.0; 2.0; 4.5; 10.0 ] "costs"
                  Expect.equal ((root.GetProperty "range").GetDouble()) 17.5 "B"
                  for t in (root.GetProperty "thresholds").EnumerateArray() do
                      Expect.equal (numbers (t.GetProperty "recall")) [ 0.0; 0.0; 0.0 ] "always stop"
              }

              test "an error that would take more queries than can be counted is refused in one line" {
                  let before = System.Console.Error
                  use error = new StringWriter()
                  try
                      System.Console.SetError error
                      let code = Program.execute [| "theory"; "--config"; config; "--epsilon"; "1e-12" |] CancellationToken.None
                      Expect.equal code 2 "bad usage"
                  finally
                      System.Console.SetError before
                  Expect.stringContains (error.ToString()) "--epsilon: 1E-12 would take more than 9.2e18 queries" "line"
              }

              test "priced by a run of all models, lambda 1 gives thresholds between 0 and 1" {
                  use json = JsonDocument.Parse(printed [ "theory"; "--config"; config; "--lambda"; "1"; "--cost-unit"; "all"; "--json" ])
                  let root = json.RootElement
                  Expect.floatClose Accuracy.high ((root.GetProperty "range").GetDouble()) (1.0 + 16.5 / 17.5) "B"
                  let ceiling = numbers ((Seq.head ((root.GetProperty "thresholds").EnumerateArray())).GetProperty "chain")
                  List.iter2 (fun c x -> Expect.floatClose Accuracy.high x (1.0 - c / 17.5) "1 - lambda c") [ 2.0; 4.5; 10.0 ] ceiling
              }

              test "with traces: plans of all three action sets, fitted on one half and replayed on the other" {
                  let traces = Shared.repositoryFile (Path.Combine("models", "nano", "calibration.jsonl"))
                  let arguments = [ "theory"; "--traces"; traces; "--lambda"; "0.03" ]
                  let text = printed arguments
                  for part in [ "chain"; "jump"; "recall"; "guaranteed"; "earned"; "Theorem 11"; "Theorem 14" ] do
                      Expect.stringContains text part "text"
                  use json = JsonDocument.Parse(printed (arguments @ [ "--json" ]))
                  for plan in (at [ "traces"; "plans" ] json.RootElement).EnumerateArray() do
                      let value = (at [ "earned"; "value" ] plan).GetDouble()
                      Expect.floatClose
                          Accuracy.high
                          value
                          ((at [ "earned"; "quality" ] plan).GetDouble() - 0.03 * (at [ "earned"; "cost" ] plan).GetDouble())
                          "q - lambda c"
                      Expect.isTrue (abs (value - (at [ "guaranteed"; "value" ] plan).GetDouble()) < 0.05) "earns about what it guaranteed"
              } ]
    )
