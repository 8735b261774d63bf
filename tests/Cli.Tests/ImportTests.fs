/// `toolkit import` on example files in the shape that each tool writes: the commands of docs/import.md, and what is refused.
module Cli.Tests.ImportTests

open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Cli
open OptimalStopping.Runtime.Traces

let private root = Support.Repository.root
let private inFolder = Support.SampleRun.inFolder

/// Exit code, standard output and standard error of a command line that is run in this process.
let private execute (arguments: string list) =
    let out, error = Console.Out, Console.Error
    use printed = new StringWriter()
    use failed = new StringWriter()
    try
        Console.SetOut printed
        Console.SetError failed
        let code = Program.execute (List.toArray arguments) CancellationToken.None
        code, printed.ToString(), failed.ToString()
    finally
        Console.SetOut out
        Console.SetError error

/// The import commands that the page shows, as words, with the examples' places made absolute and the trace file in a folder.
let private shown (out: string) =
    [ for line in File.ReadLines(Path.Combine(root, "docs", "import.md")) do
          if line.StartsWith "toolkit import docs" then
              [ for word in (line.Split ' ')[1..] ->
                    if word.StartsWith "docs/" then Path.Combine(root, word)
                    elif word = "traces.jsonl" then out
                    else word ] ]

let private expectedQuality = Map [ "small", [ 1.0; 0.0; 1.0; 1.0; 0.0; 1.0 ]; "large", [ 1.0; 1.0; 1.0; 1.0; 0.0; 1.0 ] ]
let private expectedConfidence = Map [ "small", [ 0.97; 0.41; 0.88; 0.93; 0.52; 0.9 ]; "large", [ 0.99; 0.9; 0.97; 0.98; 0.6; 0.95 ] ]

/// Which of the six queries of the examples a record is about.
let private number (record: TraceRecord) = int (string record.Id[record.Id.Length - 1]) - 1

let private checkRecords (format: string) (records: TraceRecord[]) =
    Expect.equal records.Length 6 $"{format}: queries"
    for record in records do
        let models = record.Stages |> Seq.map _.Model |> Seq.toList
        Expect.equal models (List.filter (fun m -> List.contains m models) [ "small"; "large" ]) $"{format}: cheapest first"
        for stage in record.Stages do
            Expect.equal stage.Quality expectedQuality[stage.Model].[number record] $"{format}: quality of {stage.Model} on {record.Id}"
            if stage.Confidence.HasValue then
                Expect.floatClose
                    { absolute = 1e-3; relative = 0.0 }
                    stage.Confidence.Value
                    expectedConfidence[stage.Model].[number record]
                    $"{format}: confidence of {stage.Model} on {record.Id}"

let private refused text arguments =
    let code, _, error = execute ("import" :: arguments)
    Expect.equal code 1 error
    Expect.equal (error.Trim().Split('\n').Length) 1 $"one line: {error}"
    Expect.stringContains error text "the message"

[<Tests>]
let tests =
    testSequenced (
        testList
            "Import"
            [ test "every command of docs/import.md gives the examples' qualities and confidences, and reads back the same" {
                  inFolder (fun folder ->
                      let out, again = Path.Combine(folder, "traces.jsonl"), Path.Combine(folder, "again.jsonl")
                      let commands = shown out
                      Expect.equal commands.Length 9 "a command for each format"
                      let withConfidence =
                          [ for words in commands do
                                let code, printed, error = execute words
                                Expect.equal (code, error) (0, "") (String.Join(" ", words))
                                let format = (printed.Split("queries from ")[1]).Split(',')[0]
                                let records = TraceReader.ReadRecords out |> Seq.toArray
                                checkRecords format records
                                Expect.equal (execute [ "import"; out; "--out"; again ] |> fun (code, _, _) -> code) 0 "again"
                                Expect.equal (File.ReadAllText again) (File.ReadAllText out) $"{format}: a round trip"
                                if records |> Array.exists (fun r -> r.Stages |> Seq.exists _.Confidence.HasValue) then format ]
                      Expect.equal withConfidence [ "lm-eval"; "inspect"; "batch"; "csv"; "traces" ] "the formats that tell confidences")
              }
              test "what is left out is counted: an unscored sample, which is a bare NaN" {
                  inFolder (fun folder ->
                      let out = Path.Combine(folder, "traces.jsonl")
                      let log name = Path.Combine(root, "docs", "examples", "import", "inspect", name)
                      let code, printed, _ = execute [ "import"; log "small.eval"; log "large.json"; "--out"; out ]
                      Expect.equal code 0 printed
                      Expect.stringContains printed "answers of small (6), large (5)" "who answered what"
                      Expect.stringContains printed "note: 1 NaN or Infinity read as unknown" "the NaN"
                      Expect.stringContains printed "note: 1 answers without a quality are left out" "the answer without a score")
              }
              test "costs: given, by tokens, or missing, which names the model" {
                  inFolder (fun folder ->
                      let out = Path.Combine(folder, "traces.jsonl")
                      let bench = Path.Combine(root, "docs", "examples", "import", "llmrouterbench")
                      let cost arguments =
                          let code, _, error = execute ([ "import"; bench; "--out"; out ] @ arguments)
                          Expect.equal code 0 error
                          (Seq.head (TraceReader.ReadRecords out)).Stages |> Seq.map (fun s -> s.Model, s.Cost) |> Seq.toList
                      Expect.equal (cost [ "--cost"; "large=7"; "small=2" ]) [ "small", 2.0; "large", 7.0 ] "given"
                      Expect.equal
                          (cost [ "--price"; "large=2/8"; "small=10/20" ])
                          [ "large", 2.8e-4; "small", 1.2e-3 ]
                          "100 tokens of a prompt and 10 of an answer, dearest last"
                      Expect.equal (cost [ "--models"; "large" ]) [ "large", 0.004 ] "one model"
                      refused
                          ".jsonl:1: expected a cost of large, got none; give --cost large=NUMBER"
                          [ Path.Combine(root, "docs", "examples", "import", "lm-eval"); "--out"; out; "--cost"; "small=1" ])
              }
              test "faults name the place, and leave no file" {
                  inFolder (fun folder ->
                      let at name = Path.Combine(folder, name)
                      let out = at "traces.jsonl"
                      File.WriteAllText(at "cut.jsonl", """{"custom_id":"a","response":{"status_code":200,"body":{"choi""" + "\n")
                      refused
                          "cut.jsonl:1: expected JSON, got something else at byte "
                          [ at "cut.jsonl"; "--format"; "batch"; "--out"; out ]
                      refused "missing.jsonl: expected a file or folder of logs, got none" [ at "missing.jsonl"; "--out"; out ]
                      File.WriteAllText(at "unknown.txt", "hello\n")
                      refused "unknown.txt: expected logs of a known format (batch, csv, inspect, " [ at "unknown.txt"; "--out"; out ]
                      File.WriteAllText(at "high.csv", "id,model,cost,quality\nq1,m,1,0.5\nq2,m,1,3\n")
                      refused
                          "high.csv:3: quality: expected a number in [0,1], got 3; --metric chooses another"
                          [ at "high.csv"; "--out"; out ]
                      File.WriteAllText(at "words.csv", "id,model,cost,quality\nq1,m,cheap,0.5\n")
                      refused "words.csv:2: cost: expected a number, got cheap" [ at "words.csv"; "--out"; out ]
                      refused
                          "expected a column 'engine', got id, model, cost, quality"
                          [ at "words.csv"; "--out"; out; "--columns"; "model=engine" ]
                      refused
                          "expected answers with a quality, got none; 6 answers without a quality are left out"
                          [ Path.Combine(root, "docs", "examples", "import", "litellm", "spend.jsonl"); "--out"; out ]
                      Expect.isFalse (File.Exists out) "nothing is written"
                      for arguments, text in
                          [ [ "--cost"; "small" ], "--cost: expected NAME=VALUE, got 'small'"
                            [ "--cost"; "small=-1" ], "--cost: expected a number of at least 0, got '-1'"
                            [ "--price"; "small=1" ], "--price: expected MODEL=IN/OUT, got 'small=1'"
                            [ "--columns"; "size=x" ], "--columns: expected id, model, cost"
                            [ "--format"; "excel" ], "--format: expected batch, csv" ] do
                          let code, _, error = execute ([ "import"; at "high.csv"; "--out"; out ] @ arguments)
                          Expect.equal code 2 error
                          Expect.stringContains error text "bad usage")
              }
              test "evaluate imports a log that tells costs and qualities by itself" {
                  inFolder (fun folder ->
                      let rows =
                          [ for q in 1..60 do
                                $"q{q},small,0.0002,{q % 3 % 2},{if q % 3 = 1 then 0.9 else 0.3}"
                                $"q{q},large,0.004,{(if q % 7 = 0 then 0 else 1)},0.9" ]
                      let log = Path.Combine(folder, "log.csv")
                      File.WriteAllLines(log, "id,model,cost,quality,confidence" :: rows)
                      let out = Path.Combine(folder, "out")
                      let code, printed, error = execute [ "evaluate"; "--traces"; log; "--out"; out; "--resamples"; "20" ]
                      Expect.equal code 0 error
                      Expect.stringContains error "60 queries from csv, answers of small (60), large (60)" "what was read"
                      Expect.stringContains printed "30 queries to fit on, 30 to test on" "evaluated"
                      Expect.isTrue (File.Exists(Path.Combine(out, "imported.jsonl"))) "the traces are kept")
              } ]
    )
