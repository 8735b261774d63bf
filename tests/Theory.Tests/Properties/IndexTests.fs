/// docs/theory.md lists every property with the test that checks it; here the list is held to the tests.
module Theory.Tests.IndexTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto

let private document () = File.ReadAllLines(Path.Combine(Support.Repository.root, "docs", "theory.md"))

/// The names of this project's tests, of those alone whose lists begin so.
let private names (list: string) =
    Support.Runner.discover (Reflection.Assembly.GetExecutingAssembly())
    |> Test.toTestCodeList
    |> Seq.filter (fun test -> (String.Join('.', test.name)).StartsWith list)
    |> Seq.map (fun test -> List.last test.name)
    |> Set.ofSeq

/// Names in backquotes in the last column of the rows that start with a property's number.
let private listed (lines: string[]) =
    [ for line in lines do
          let cells = line.Trim('|', ' ').Split '|' |> Array.map _.Trim()
          if cells.Length = 3 && Regex.IsMatch(cells[0], @"^\d+$") then
              for m in Regex.Matches(cells[2], "`([^`]+)`") -> int cells[0], m.Groups[1].Value ]

[<Tests>]
let tests =
    testCase "docs/theory.md lists exactly the tests there are, all 36 properties of the proofs and at least 60 in all"
    <| fun () ->
        let listed, here, properties = listed (document ()), names "Theory.", names "Theory.Properties."
        for number, name in listed do
            Expect.isTrue (here.Contains name) $"property {number}: no test is called '{name}'"
        let inDocument = listed |> List.map snd |> Set.ofList
        for name in properties do
            Expect.isTrue (inDocument.Contains name) $"docs/theory.md does not list '{name}'"
        let numbers = listed |> List.map fst |> List.distinct
        for number in 1..36 do
            Expect.contains numbers number "every property of theory-proofs.md"
        Expect.isGreaterThanOrEqual properties.Count 60 "FsCheck properties"
