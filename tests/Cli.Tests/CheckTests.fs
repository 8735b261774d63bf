/// `toolkit check` as a user runs it.
module Cli.Tests.CheckTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open OptimalStopping.Cli.Commands
open Support.RandomCheckpoint

/// A line of a trace whose first stage is wrong although it is as sure as ever.
let private spoilt (line: string) =
    let root = nonNull (JsonNode.Parse line)
    let first = nonNull ((nonNull root["stages"]).AsArray()[0])
    first["quality"] <- JsonValue.Create 0.0
    root.ToJsonString()

[<Tests>]
let tests =
    testList
        "Check"
        [ test "fresh logs like the old ones pass; when a stage has become worse, exit code 1 and why" {
              use folder = new TemporaryFolder()
              let lines = File.ReadAllLines(Shared.repositoryFile (Path.Combine("models", "nano", "calibration.jsonl")))
              let half = lines.Length / 2
              let old, fresh, worse = folder.File "old.jsonl", folder.File "fresh.jsonl", folder.File "worse.jsonl"
              File.WriteAllLines(old, lines[.. half - 1])
              File.WriteAllLines(fresh, lines[half..])
              File.WriteAllLines(worse, lines[half..] |> Array.map spoilt)
              let policy = folder.File "p.json"
              let calibrated = Toolkit.run [ "calibrate"; "--traces"; old; "--max-loss"; "0.05"; "--policy"; "recall"; "--out"; policy ]
              Expect.equal (calibrated.Code, calibrated.Error) (0, "") "calibrate"
              let check log = Toolkit.run [ "check"; "--policy"; policy; "--traces"; log ]
              let good = check fresh
              Expect.equal (good.Code, good.Error) (0, "") "as before"
              Expect.isFalse (good.Out.Contains "broken") "verdict"
              let bad = check worse
              Expect.equal bad.Code 1 "broken"
              Expect.stringContains bad.Out "verdict     broken" "verdict"
              Expect.stringContains bad.Error "the guarantee no longer holds, seen at query " "where"
              Expect.stringContains bad.Error "nano-1 answered " "the stage that lost"
              Expect.stringContains bad.Error "its confidence is too high for what is asked now; calibrate again" "why"
              Expect.equal (bad.Error.TrimEnd().Split('\n').Length) 1 "one line"
              let same = check old
              Expect.equal same.Code 1 "not fresh"
              Expect.stringContains same.Error "expected fresh logs, got the traces that the policy was calibrated on" "not fresh"
          } ]
