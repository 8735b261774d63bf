/// Tables in the documents name the test that shows each row: every one of them must exist.
module All.DocumentTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto


/// Names in a document: between backticks, beginning with the list that they are in.
let private named (document: string) =
    Regex.Matches(
        File.ReadAllText(Path.Combine(Support.Repository.root, "docs", document)),
        "`((?:Theory|Runtime|Experiments|Server|Reports|Cli|Maintenance|Architecture|Fuzz)\\.[^`]+)`"
    )
    |> Seq.map (fun found -> found.Groups[1].Value)
    |> Seq.distinct
    |> Seq.toList

let private known =
    lazy (Projects.all () |> Seq.collect Test.toTestCodeList |> Seq.map (fun t -> String.Join(".", t.name)) |> Seq.toArray)

[<Tests>]
let tests =
    testList
        "Documents"
        [ for document, least in [ "faults.md", 20; "self-checks.md", 20; "security.md", 5 ] do
              testCase $"every test that {document} names exists" (fun () ->
                  let names = named document
                  Expect.isGreaterThan names.Length least "names found"
                  for name in names do
                      // A name may stand for the list that it begins.
                      Expect.exists
                          known.Value
                          (fun k -> k = name || k.StartsWith(name + ".", StringComparison.Ordinal))
                          $"{document}: a test named '{name}'") ]
