module Runtime.Tests.Ladder.LadderFileTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Ladder
open Runtime.Tests.TraceFiles

let private good =
    "name: test\nstages:\n  - { name: a, path: x/a, cost: 1 }\n  - { name: b, path: /abs/b, cost: 2.5 }\n"
    + "max_tokens: 8\ncalibration_queries: 100\ntest_queries: 200\n"

let private load (text: string) = withText text LadderFile.Load

/// Name, what is replaced in the good file, by what, and the fault after the file's name.
let private faults =
    [ "an unknown key", "max_tokens", "colour: red\nmax_tokens", ":5: key 'colour': expected one of "
      "an unknown key of a stage", "cost: 2.5", "cost: 2.5, size: 3", ":4: key 'stages[1].size': expected one of "
      "a missing key", "max_tokens: 8\n", "", ":1: key 'max_tokens': expected a whole number from 1 to 100000, got nothing"
      "a missing key of a stage", "path: x/a, ", "", ":3: key 'stages[0].path': expected text, got nothing"
      "no stages", "stages:\n  - { name: a, path: x/a, cost: 1 }\n  - { name: b, path: /abs/b, cost: 2.5 }\n", "", ":1: key 'stages': expected a list"
      "equal costs", "cost: 2.5", "cost: 1", ":4: key 'stages[1].cost': expected more than the 1 of the stage before, got 1"
      "falling costs", "cost: 2.5", "cost: 0.5", ":4: key 'stages[1].cost': expected more than the 1 of the stage before, got 0.5"
      "no cost at all", "cost: 1 ", "cost: 0 ", ":3: key 'stages[0].cost': expected a number from 1E-09 to 1000000000, got '0'"
      "a name twice", "name: b", "name: a", ":4: key 'stages[1].name': expected a name that no other stage has, got 'a' again"
      "one stage", "  - { name: b, path: /abs/b, cost: 2.5 }\n", "", ":2: key 'stages': expected 2 to 10 stages, got 1"
      "another backend", "cost: 2.5", "cost: 2.5, backend: gpu", ":4: key 'stages[1].backend': expected cpu (the only backend of this version), got 'gpu'"
      "other tasks", "name: test", "name: test\ntasks: chess", ":2: key 'tasks': expected nano (the only task set of this version), got 'chess'"
      "a cost in words", "cost: 2.5", "cost: much", ":4: key 'stages[1].cost': expected a number from 1E-09 to 1000000000, got 'much'"
      "half a token", "max_tokens: 8", "max_tokens: 8.5", ":5: key 'max_tokens': expected a whole number from 1 to 100000, got '8.5'"
      "too few queries", "calibration_queries: 100", "calibration_queries: 99", ":6: key 'calibration_queries': expected a whole number from 100 to 1000000, got '99'"
      "stages as text", "  - { name: a, path: x/a, cost: 1 }\n  - { name: b, path: /abs/b, cost: 2.5 }\n", "  all\n", ":2: key 'stages': expected a list"
      "a bracket that is not closed", "max_tokens: 8", "max_tokens: [8", ":5: expected YAML with each key once"
      "a bracket too many", "max_tokens: 8", "max_tokens: ]8", ":5: expected YAML with each key once"
      "a key twice", "max_tokens: 8", "max_tokens: 8\nmax_tokens: 9", ":6: expected YAML with each key once" ]

/// configs/nano.yaml of this repository.
let rec private nano (folder: DirectoryInfo | null) =
    match folder with
    | null -> failtest "configs/nano.yaml was not found above the tests"
    | folder ->
        let file = Path.Combine(folder.FullName, "configs", "nano.yaml")
        if File.Exists file then file else nano folder.Parent

let tests =
    testList "LadderFile" [
        test "reads a file; paths are relative to it" {
            withFolder (fun folder ->
                let file = Path.Combine(folder, "l.yaml")
                File.WriteAllText(file, good + "calibration_trace: ../t.jsonl\n")
                let ladder = LadderFile.Load file
                Expect.equal (ladder.Name, ladder.File) ("test", file) "name and file"
                Expect.sequenceEqual ladder.Stages
                    [ LadderStage("a", Path.Combine(folder, "x", "a"), 1.0); LadderStage("b", Path.GetFullPath "/abs/b", 2.5) ] "stages"
                Expect.equal (ladder.MaxTokens, ladder.CalibrationQueries, ladder.TestQueries) (8, 100, 200) "numbers"
                Expect.equal ladder.CalibrationTrace (Path.GetFullPath(Path.Combine(folder, "..", "t.jsonl"))) "trace")
            Expect.isNull (load good).CalibrationTrace "no trace"
            Expect.equal ((load good).Recall, (load (good + "recall: false\n")).Recall) (true, false) "recall"
        }
        test "the repository's own ladder loads, models and all" {
            let file = LadderFile.Load(nano (DirectoryInfo AppContext.BaseDirectory))
            Expect.equal [ for s in file.Stages -> s.Name ] [ "nano-1"; "nano-2"; "nano-3"; "nano-4" ] "stages"
            Expect.equal file.Stages[0].Cost 1.0 "costs are in units of the cheapest"
            use ladder = ModelLadder.Load file
            Expect.equal ladder.Models.Count 4 "models"
            for model in ladder.Models do
                Expect.equal model.VocabularySize ladder.Tokenizer.VocabularySize model.Name
        }
        testList "faults name file, line, key, expected and got" [
            for name, old, replacement, expected in faults ->
                test name {
                    Expect.stringContains good old "the text that is replaced"
                    withText (good.Replace(old, replacement)) (fun path ->
                        try
                            LadderFile.Load path |> ignore
                            failtest "no fault"
                        with :? ToolkitException as e ->
                            Expect.stringStarts e.Message (path + expected) "message"
                            Expect.isFalse (e.Message.Contains '\n') "one line")
                }
        ]
        test "no such file" {
            Expect.throwsT<ToolkitException> (fun () -> LadderFile.Load "/nowhere/l.yaml" |> ignore) "missing"
        }
    ]
