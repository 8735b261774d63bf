module Cli.Tests.ProgramTests

open Support
open System
open System.IO
open System.Security.Cryptography
open System.Text.Json
open System.Threading
open Argu
open Expecto
open OptimalStopping.Cli
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces

let private commands =
    [ "run"
      "evaluate"
      "calibrate"
      "figure"
      "decode"
      "collect"
      "train"
      "serve"
      "info"
      "doctor"
      "bench"
      "theory"
      "import"
      "completions"
      "help" ]

/// Exit code and standard error of a command line that is run in this process. Nothing may escape as an exception.
let private execute (arguments: string list) =
    let before = Console.Error
    use error = new StringWriter()
    try
        Console.SetError error
        let code = Program.execute (List.toArray arguments) CancellationToken.None
        code, error.ToString()
    finally
        Console.SetError before

/// Expects the exit code and exactly one line on standard error that holds the text.
let private fails (code: int) (text: string) (arguments: string list) =
    let name = String.Join(" ", arguments)
    let actual, error = execute arguments
    Expect.equal (actual, error.Trim().Split('\n').Length) (code, 1) $"'{name}' gave: {error}"
    Expect.stringStarts error "toolkit: " name
    Expect.stringContains error text name

let private usage text arguments = fails 2 text arguments
let private fault text arguments = fails 1 text arguments

let private inCascade models maxTokens queries action =
    SampleRun.inFolder (fun folder -> action folder (RandomCascade.write folder models maxTokens queries))

/// Names and digests of what the two runs must agree in: everything but the manifest, which names the processors, and
/// the report, which shows it.
let private results (folder: string) =
    [ for f in Directory.GetFiles folder do
          let name = nonNull (Path.GetFileName f)
          if name <> "manifest.json" && name <> "report.html" then name, Convert.ToHexString(SHA256.HashData(File.ReadAllBytes f)) ]
    |> List.sort

let private traceLines (count: int) =
    [ for q in 1..count ->
          let stage m cost = $"""{{"model":"{m}","cost":{cost},"confidence":0.{1 + (q * 7 + cost) % 9},"quality":{(q * cost) % 2}}}"""
          $"""{{"id":"{q}","stages":[{stage "a" 1},{stage "b" 3}]}}""" ]

let private inProcess =
    testSequenced (
        testList
            "in process"
            [ test "bad usage: exit code 2 and one line" {
                  usage "unrecognized argument: 'bogus'" [ "bogus" ]
                  for command in commands do
                      usage "unrecognized argument: '--bogus'" [ command; "--bogus" ]
                  usage "evaluate: expected --traces FILE (or --suite DIR), got none" [ "evaluate"; "--out"; "x" ]
                  usage "evaluate: expected --out DIR, got none" [ "evaluate"; "--traces"; "x" ]
                  usage "calibrate: expected --traces FILE, got none" [ "calibrate"; "--out"; "x" ]
                  usage "calibrate: expected --out FILE, got none" [ "calibrate"; "--traces"; "x" ]
                  usage
                      "--max-loss: expected a number strictly between 0 and 1, got 1"
                      [ "calibrate"; "--traces"; "x"; "--out"; "y"; "--max-loss"; "1" ]
                  usage
                      "--delta: expected a number strictly between 0 and 1, got NaN"
                      [ "calibrate"; "--traces"; "x"; "--out"; "y"; "--delta"; "nan" ]
                  usage "--policy: expected no --lambda beside it" [ "decode"; "add 1+1="; "--lambda"; "0.1"; "--policy"; "p.json" ]
                  usage "figure: expected DIR, got none" [ "figure" ]
                  usage "completions: expected bash or zsh, got none" [ "completions" ]
                  usage "completions: expected bash or zsh, got 'fish'" [ "completions"; "fish" ]
                  for without in [ [ "decode" ]; [ "decode"; "" ] ] do
                      let code, error = execute without
                      Expect.equal code 2 "exit code"
                      Expect.stringStarts error "toolkit: expected a prompt, got none; for example:\n" "says what is missing"
                      Expect.stringContains error "\n  toolkit decode \"Explain quantum computing\"\n" "and shows how"
                  usage "collect: expected --out FILE, got none" [ "collect" ]
                  usage "train: expected --out DIR, got none" [ "train" ]
                  usage "--horizon: expected at least 1000, got 999" [ "run"; "--horizon"; "999" ]
                  usage "--seed: expected a whole number, got 'one'" [ "run"; "--seed"; "one" ]
                  usage "--seed" [ "run"; "--seed"; "99999999999" ]
                  usage "--seed: expected a whole number, got none" [ "run"; "--seed" ]
                  usage
                      "--experiments: expected all, regret, tradeoff, statistical, speculative, savings or looks, got 'some'"
                      [ "run"; "--experiments"; "some" ]
                  usage
                      "--train-fraction: expected a number between 0 and 1, got 1"
                      [ "evaluate"; "--traces"; "x"; "--out"; "y"; "--train-fraction"; "1" ]
                  usage
                      "--train-fraction: expected a number between 0 and 1, got NaN"
                      [ "evaluate"; "--traces"; "x"; "--out"; "y"; "--train-fraction"; "nan" ]
                  usage "--lambda: expected a number of at least 0, got -1" [ "decode"; "add 1+1="; "--lambda"; "-1" ]
                  usage "--lambda: expected a number of at least 0, got " [ "decode"; "add 1+1="; "--lambda"; "1e999" ]
                  usage "--port: expected a number from 0 to 65535, got 70000" [ "serve"; "--port"; "70000" ]
                  usage "--host: expected --key-env NAME beside 0.0.0.0, or --anonymous" [ "serve"; "--host"; "0.0.0.0" ]
                  usage "--policy: expected no --lambda beside it" [ "serve"; "--policy"; "x"; "--lambda"; "1" ]
                  usage "--queue: expected at least 0, got -1" [ "serve"; "--queue"; "-1" ]
                  usage "--guarantee: expected a number strictly between 0 and 1, got 1" [ "serve"; "--guarantee"; "1" ]
                  usage "--split: expected calibration, test or both, got 'train'" [ "collect"; "--out"; "x"; "--split"; "train" ]
                  usage "--count: expected at least 1, got 0" [ "collect"; "--out"; "x"; "--count"; "0" ]
                  usage "--lambda: expected a number from 0 to 1000000000, got -1" [ "theory"; "--lambda"; "-1" ]
                  usage "--cost-unit: expected file, largest or all, got 'x'" [ "theory"; "--cost-unit"; "x" ]
                  usage "--delta: expected a number strictly between 0 and 1, got 1" [ "theory"; "--delta"; "1" ]
                  usage "--threads: expected at least 1, got 0" [ "train"; "--out"; "x"; "--threads"; "0" ]
                  // A prompt without quotes must not be answered in part.
                  usage "unrecognized argument: '1+1='; text with spaces goes in quotes" [ "decode"; "add"; "1+1=" ]
              }
              test "a decimal comma or a separator of thousands is refused by every option that takes a number" {
                  let parser = ArgumentParser.Create<Arguments.ToolkitArguments>(programName = "toolkit", checkStructure = false)
                  let mutable floats, wholes = 0, 0
                  for sub in parser.GetSubCommandParsers() do
                      let command = List.head sub.ParentInfo.Value.CommandLineNames.Value
                      for case in sub.GetArgumentCases() do
                          match [ for field in case.UnionCaseInfo.GetFields() -> field.PropertyType ] with
                          | [ kind ] when kind = typeof<float> ->
                              floats <- floats + 1
                              let name = List.head case.CommandLineNames.Value
                              for value in [ "0,01"; "1,000.5"; "2%"; "" ] do
                                  usage $"{name}: expected a number with a decimal point, got '{value}'\n" [ command; name; value ]
                          | [ kind ] when kind = typeof<int> || kind = typeof<int64> || kind = typeof<int list> ->
                              wholes <- wholes + 1
                              let name = List.head case.CommandLineNames.Value
                              for value in [ "1,000"; "1.5" ] do
                                  usage $"{name}: expected a whole number, got '{value}'\n" [ command; name; value ]
                          | _ -> ()
                  Expect.isTrue (floats >= 10 && wholes >= 20) $"{floats} and {wholes} options"
                  usage "--prefill: expected a whole number, got '2,0'\n" [ "bench"; "--prefill"; "16"; "2,0" ]
              }
              test "a misspelt word: the nearest option or command" {
                  usage "unrecognized argument: '--lamda'; did you mean --lambda?" [ "decode"; "add 1+1="; "--lamda"; "0.1" ]
                  usage "unrecognized argument: '--max_loss'; did you mean --max-loss?" [ "calibrate"; "--max_loss"; "0.1" ]
                  usage "unrecognized argument: '--lambda=0.1'; did you mean --lambda 0.1?" [ "theory"; "--lambda=0.1" ]
                  usage "unrecognized argument: 'lambda'; did you mean --lambda?" [ "theory"; "lambda"; "0.1" ]
                  usage "unrecognized argument: 'evalaute'; did you mean evaluate?" [ "evalaute" ]
                  usage "unrecognized argument: '--vesion'; did you mean --version?" [ "--vesion" ]
                  usage "unrecognized argument: 'x'\n" [ "theory"; "x" ]
                  usage "unrecognized argument: '-x'\n" [ "decode"; "-x" ]
                  usage "unrecognized argument: 'evaluat'; did you mean evaluate?" [ "help"; "evaluat" ]
              }
              test "a word of an earlier version: the one that it has become" {
                  usage "unrecognized argument: '--promise'; it is now --guarantee\n" [ "serve"; "--promise"; "0.9" ]
                  usage "unrecognized argument: 'docs'; it is now dotnet run --project tools/Maintenance -- docs\n" [ "docs" ]
              }
              test "decode: cost and time in words, a draft's tokens and forwards add up" {
                  Expect.equal (Commands.Decode.compared "cheaper" "more expensive" 5.0 10.0) "2.0x cheaper" "cheaper"
                  Expect.equal (Commands.Decode.compared "cheaper" "more expensive" 15.0 10.0) "1.5x more expensive" "more expensive"
                  Expect.equal (Commands.Decode.compared "faster" "slower" 1.01 1.0) "the same" "the same"
                  let text drafted accepted tokens forwards =
                      String.Join(
                          "\n",
                          Commands.Decode.draftLines "m2" "m1" (DraftVerdict(Array.zeroCreate drafted, accepted)) tokens forwards
                      )
                  Expect.equal
                      (text 18 0 10 3)
                      "verified    m2 read the answer of m1 as a draft; none of 18 tokens accepted: m2 begins with another token\n\
                 forwards    m2 took 3 for 10 tokens, one each without a draft: 7 saved where it took the draft up again further on"
                      "none accepted"
                  Expect.equal
                      (text 5 3 7 3)
                      "verified    m2 read the answer of m1 as a draft; the first 3 of 5 tokens accepted: m2 would have written them too\n\
                 forwards    m2 took 3 for 7 tokens, one each without a draft: 3 saved by the accepted tokens, 1 saved where it took the draft up again further on"
                      "some"
                  Expect.stringEnds (text 4 0 7 7) ": none saved" "none saved"
                  Expect.stringEnds (text 4 4 5 0) "; all 4 tokens accepted: m2 would have written them too" "forwards that are not told"
              }
              test "evaluate: a quality that is never reached" {
                  Expect.equal (Commands.Evaluate.costAt [| infinity |]) "never" "one split"
                  Expect.equal (Commands.Evaluate.costAt [| 2.0; infinity; infinity |]) "never in 2" "some splits"
                  Expect.equal (Commands.Evaluate.costAt [| 2.0; 3.0 |]) "2.50" "mean"
                  Expect.equal (Commands.Evaluate.costAt [| 0.0002 |]) "0.000200" "small costs are not nothing"
                  Expect.equal (Commands.Shared.amount 4712.3, Commands.Shared.amount 0.0) ("4712", "0") "large and none"
              }
              test "evaluate: what a log cannot tell is said, and ten lines are refused" {
                  SampleRun.inFolder (fun folder ->
                      let at name = Path.Combine(folder, name)
                      File.WriteAllLines(at "few.jsonl", traceLines 10)
                      fault "few.jsonl: expected at least 20 queries" [ "evaluate"; "--traces"; at "few.jsonl"; "--out"; at "out" ]
                      let table lines =
                          File.WriteAllLines(at "log.jsonl", (lines: string list))
                          List.ofSeq (LogNotes.Of(TraceReader.ReadTable(at "log.jsonl")))
                      Expect.isEmpty (table (traceLines 100)) "a full log needs no notes"
                      // The large model was asked only where the small one was unsure, and those queries are harder.
                      let stage model confidence quality =
                          $"""{{"model":"{model}","cost":1,"confidence":{confidence},"quality":{quality}}}"""
                      let line q =
                          let unsure = q % 4 = 0
                          let small = stage "small" (if unsure then "0.3" else "0.9") (if unsure then 0 else 1)
                          let large = if unsure then "," + stage "large" "0.8" (q / 4 % 2) else ""
                          $"""{{"id":"{q}","stages":[{small}{large}]}}"""
                      match table [ for q in 1..400 -> line q ] with
                      | [ note ] ->
                          Expect.stringContains
                              note
                              "large is recorded on 25.0 % of the 400 queries; its quality there is 0.500"
                              "the share"
                          Expect.stringContains note "between 0.125 and 0.875" "the bounds: 0.25 x 0.5, and 0.75 more"
                          Expect.stringContains note "Where it is, small is" "missing not at random"
                      | notes -> failtest $"expected one note, got {notes}"
                      match
                          table
                              [ for line in traceLines 30 ->
                                    Text.RegularExpressions.Regex.Replace(line, "\"confidence\":0.\\d", "\"confidence\":null") ]
                      with
                      | [ note ] -> Expect.stringStarts note "no answer has a confidence" "mixtures only"
                      | notes -> failtest $"expected one note, got {notes}")
              }
              test "no subcommand: exit code 2 and the usage on standard error" {
                  let code, error = execute []
                  Expect.equal code 2 "code"
                  for command in commands do
                      Expect.stringContains error command "usage"
              }
              test "faults of files: exit code 1 and one line" {
                  SampleRun.inFolder (fun folder ->
                      let at name = Path.Combine(folder, name)
                      let missing = at "missing"
                      for command in [ [ "run" ]; [ "collect"; "--out"; at "x" ]; [ "decode"; "add 1+1=" ]; [ "info" ]; [ "theory" ] ] do
                          fault $"{missing}: expected a readable file" (command @ [ "--config"; missing ])
                      fault $"{missing}: expected a trace file" [ "run"; "--traces"; missing; "--out"; at "out" ]
                      fault $"{missing}: expected a trace file" [ "evaluate"; "--traces"; missing; "--out"; at "out" ]
                      fault $"{missing}: expected a trace file" [ "calibrate"; "--traces"; missing; "--out"; at "p.json" ]
                      fault $"{missing}: expected a readable file" [ "decode"; "add 1+1="; "--policy"; missing ]
                      fault "expected the folder of a run, got no such folder" [ "figure"; missing ]
                      File.WriteAllText(at "bad.jsonl", "{}\n")
                      fault "bad.jsonl:1: id: expected a string" [ "evaluate"; "--traces"; at "bad.jsonl"; "--out"; at "out" ]
                      fault "bad.jsonl:1: id: expected a string" [ "run"; "--traces"; at "bad.jsonl"; "--out"; at "out" ]
                      fault "bad.jsonl:1: id: expected a string" [ "theory"; "--traces"; at "bad.jsonl" ]
                      fault "bad.jsonl:1: id: expected a string" [ "calibrate"; "--traces"; at "bad.jsonl"; "--out"; at "out.json" ]
                      File.WriteAllLines(at "few.jsonl", traceLines 3)
                      fault
                          "few.jsonl: expected at least 4 queries on which every one of the 2 models is recorded, got 3"
                          [ "theory"; "--traces"; at "few.jsonl" ]
                      fault
                          "few.jsonl: expected at least 4 queries to split, got 3"
                          [ "run"; "--traces"; at "few.jsonl"; "--out"; at "out" ]
                      File.WriteAllLines(at "some.jsonl", traceLines 20)
                      usage
                          "--train-queries: expected at least 2, got 0"
                          [ "evaluate"; "--traces"; at "some.jsonl"; "--out"; at "out"; "--train-queries"; "0" ]
                      usage
                          "--train-queries: expected one number without --seeds, got 2"
                          [ "evaluate"; "--traces"; at "some.jsonl"; "--out"; at "out"; "--train-queries"; "5"; "6" ]
                      usage
                          "--seeds: expected at least 1, got 0"
                          [ "evaluate"; "--traces"; at "some.jsonl"; "--out"; at "out"; "--seeds"; "0" ]
                      fault (at "bad.jsonl") [ "run"; "--traces"; at "some.jsonl"; "--out"; at "bad.jsonl" ]
                      Expect.isFalse (Directory.Exists(at "out") || File.Exists(at "out.json")) "nothing is written")
              }
#if !TORCH
              test "train needs a build with Torch, and says how to get one" {
                  fault "train: expected a build with TorchSharp, got one without; run: dotnet run" [ "train"; "--out"; "x" ]
              }
#endif
              test "faults of a cascade: no calibration, a foreign character, a missing model, a missing folder" {
                  inCascade 2 4 100 (fun folder config ->
                      let calibration = Path.Combine(folder, "calibration.jsonl")
                      let decode prompt = [ "decode"; prompt; "--config"; config ]
                      fault "key 'calibration_trace': expected a file at " (decode "add 1+1=")
                      File.WriteAllLines(calibration, traceLines 20)
                      fault "calibration.jsonl:1: key 'family': expected a string as 'toolkit collect' writes it" (decode "add 1+1=")
                      let cascade = CascadeFile.Load config
                      using (Cascade.Load cascade) (fun models ->
                          File.Delete calibration
                          Collector.Run(models, CascadeQueries.Draw(cascade, 1), calibration))
                      fault "prompt:5: expected a character of the cascade's alphabet" (decode "add ä")
                      Expect.equal (Toolkit.run (decode "add ä")).Out "" "nothing is printed before the prompt is known to be in order"
                      let long = Toolkit.run (decode (String('1', 128)))
                      Expect.equal
                          (long.Code, long.Error)
                          (1, "toolkit: prompt: expected fewer than 128 tokens (the limit of 1), got 128\n")
                          "too long"
                      fault
                          "Could not find a part of the path"
                          [ "collect"; "--config"; config; "--count"; "3"; "--out"; Path.Combine(folder, "none", "x") ]
                      File.WriteAllText(config, (File.ReadAllText config).Replace("calibration_trace: calibration.jsonl\n", ""))
                      fault "key 'calibration_trace': expected the trace file to fit the policy on, got none" (decode "add 1+1=")
                      Directory.Delete(Path.Combine(folder, "2"), true)
                      fault
                          "stage 'm2': expected a model folder or a .gguf file at "
                          [ "run"; "--config"; config; "--out"; Path.Combine(folder, "out") ])
              }
              test "a folder with records needs --resume, and a folder in use is refused" {
                  inCascade 2 4 100 (fun folder config ->
                      let out = Path.Combine(folder, "out")
                      Directory.CreateDirectory out |> ignore
                      let records = Path.Combine(out, "records.jsonl")
                      File.WriteAllText(records, "mine\n")
                      fault "give --resume to go on with them, or another --out" [ "run"; "--config"; config; "--out"; out ]
                      fault
                          "records.jsonl:1: line: expected one JSON object, got mine"
                          [ "run"; "--config"; config; "--out"; out; "--resume" ]
                      Expect.equal (File.ReadAllText records) "mine\n" "untouched"
                      use _ = new FileStream(Path.Combine(out, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None)
                      fault
                          "expected a folder that can be written to and that no other run uses"
                          [ "run"; "--config"; config; "--out"; out; "--resume" ])
              }
              test "synthetic experiments can be drawn" {
                  SampleRun.inFolder (fun folder ->
                      Support.SyntheticOutcomes.run "all" folder
                      let drawn =
                          OptimalStopping.Reports.Figures.drawAll folder |> Array.map (fun f -> nonNull (Path.GetFileName f)) |> Set
                      for file in [ "figure1a.svg"; "figure1b.pdf"; "table1.tex"; "report.html" ] do
                          Expect.contains drawn file "drawn")
              } ]
    )

let private asProcess =
    testList
        "as a process"
        [ test "--help of every command: exit code 0, on standard output" {
              let started =
                  [ for c in commands -> $"usage: toolkit {c} ", Toolkit.start 0 [ c; "--help" ] ]
                  @ [ "usage: toolkit evaluate [flags]", Toolkit.start 0 [ "help"; "evaluate" ]
                      "usage: toolkit serve ", Toolkit.start 0 [ "serve"; "-h" ]
                      "usage: toolkit COMMAND", Toolkit.start 0 [ "-h" ]
                      "usage: toolkit COMMAND", Toolkit.start 0 [ "help" ]
                      "usage: toolkit COMMAND", Toolkit.start 0 [ "--help" ] ]
              for name, command in started do
                  let result = Toolkit.finish command
                  Expect.equal (result.Code, result.Error) (0, "") name
                  Expect.stringContains result.Out name "usage"
          }
          test "--version: name, version and commit" {
              let result = Toolkit.run [ "--version" ]
              Expect.equal (result.Code, result.Error) (0, "") "exit code"
              Expect.equal (Toolkit.run [ "-v" ]) result "-v"
              Expect.stringStarts result.Out "toolkit 0." "name and version"
              Expect.stringContains result.Out "(commit " "commit"
          }
          test "a fault in a process of its own: one line, nothing on standard output" {
              let result = Toolkit.run [ "figure"; "nowhere" ]
              Expect.equal
                  result
                  { Code = 1; Out = ""; Error = "toolkit: nowhere: expected the folder of a run, got no such folder\n" }
                  "figure"
          }
          test "a run gives the same bytes with one thread and with two, and draws them" {
              inCascade 2 4 100 (fun folder config ->
                  let outs = [ for threads in 1..2 -> Path.Combine(folder, $"run{threads}") ]
                  outs
                  |> List.iteri (fun i out ->
                      let result = Toolkit.finish (Toolkit.start (i + 1) [ "run"; "--config"; config; "--out"; out; "--horizon"; "1000" ])
                      Expect.equal (result.Code, result.Error) (0, "") "done, silently"
                      let files, answer =
                          match result.Out.Trim().Split "\n\n" with
                          | [| files; answer |] -> files.Split '\n', answer.Split '\n'
                          | _ -> failtest $"expected files, an empty line and the answer, got: {result.Out}"
                      for line in files do
                          Expect.isTrue (File.Exists line) $"{line} is a file"
                      Expect.exists answer (fun line -> line.Contains " comparisons with baselines won ") "a headline"
                      let report = Path.Combine(out, "report.html")
                      Expect.equal (Array.last answer) $"report: {report}" "where the report is")
                  Expect.equal (results outs[0]) (results outs[1]) "files"
                  Expect.isTrue (File.Exists(Path.Combine(outs[0], "report.html"))) "report")
          }
          test "decode: JSON that is valid, text that names stage, cost and time; info likewise" {
              inCascade 2 4 100 (fun folder config ->
                  Expect.equal
                      (Toolkit.run
                          [ "collect"; "--config"; config; "--split"; "calibration"; "--out"; Path.Combine(folder, "calibration.jsonl") ])
                          .Code
                      0
                      "collect"
                  let json = Toolkit.run [ "decode"; "add 12+34="; "--config"; config; "--json" ]
                  Expect.equal (json.Code, json.Error) (0, "") "decode --json"
                  use document = JsonDocument.Parse json.Out
                  let get (name: string) = document.RootElement.GetProperty name
                  Expect.equal ((get "prompt").GetString()) "add 12+34=" "prompt"
                  let confidence = (get "confidence").GetDouble()
                  Expect.isTrue (confidence >= 0.0 && confidence <= 1.0) "confidence"
                  Expect.equal ((get "cost_of_largest").GetDouble()) 2.0 "cost of the largest"
                  Expect.isTrue ((get "seconds").GetDouble() > 0.0 && (get "turns").GetArrayLength() >= 1) "turns"
                  let policy = Path.Combine(folder, "policy.json")
                  let made =
                      Toolkit.run
                          [ "calibrate"
                            "--traces"
                            Path.Combine(folder, "calibration.jsonl")
                            "--out"
                            policy
                            "--max-loss"
                            "0.5"
                            "--json" ]
                  Expect.equal (made.Code, made.Error) (0, "") "calibrate"
                  let guarantee = JsonDocument.Parse(made.Out).RootElement
                  Expect.equal
                      (guarantee.GetProperty("max_loss").GetDouble(), guarantee.GetProperty("reference").GetString())
                      (0.5, PolicyFile.Load(policy).Guarantee.Reference)
                      "guarantee"
                  let check =
                      Toolkit.run
                          [ "calibrate"
                            "--traces"
                            Path.Combine(folder, "calibration.jsonl")
                            "--check"
                            "5"
                            "--sample"
                            "40"
                            "--max-loss"
                            "0.5"
                            "--json" ]
                  Expect.equal
                      (check.Code, JsonDocument.Parse(check.Out).RootElement.GetProperty("resamples").GetInt32())
                      (0, 5)
                      check.Error
                  let run =
                      Toolkit.run
                          [ "run"
                            "--experiments"
                            "tradeoff"
                            "--traces"
                            Path.Combine(folder, "calibration.jsonl")
                            "--policy"
                            policy
                            "--out"
                            Path.Combine(folder, "given") ]
                  Expect.equal (run.Code, run.Error) (0, "") "run with a policy"
                  Expect.stringContains (File.ReadAllText(Path.Combine(folder, "given", "figure1b.csv"))) "\npolicy-file," "its point"
                  let evaluated =
                      Toolkit.run
                          [ "evaluate"
                            "--traces"
                            Path.Combine(folder, "calibration.jsonl")
                            "--out"
                            Path.Combine(folder, "evaluated")
                            "--resamples"
                            "20"
                            "--json" ]
                  Expect.equal (evaluated.Code, evaluated.Error) (0, "") "evaluate"
                  Expect.isGreaterThan
                      (JsonDocument.Parse(evaluated.Out).RootElement.GetProperty("policies").GetArrayLength())
                      8
                      "policies"
                  Expect.isTrue (File.Exists(Path.Combine(folder, "evaluated", "report.html"))) "report"
                  let kept = Toolkit.run [ "decode"; "add 12+34="; "--config"; config; "--policy"; policy; "--json" ]
                  Expect.equal kept.Code 0 kept.Error
                  let text = Toolkit.run [ "decode"; "add 12+34="; "--config"; config; "--lambda"; "0"; "--compare" ]
                  Expect.equal text.Code 0 "decode"
                  for word in [ "used "; "confidence "; "charged "; "speedup "; "medians of 15, in turn" ] do
                      Expect.stringContains text.Out word "text"
                  let info = Toolkit.run [ "info"; "--config"; config; "--json" ]
                  Expect.equal (info.Code, info.Error) (0, "") "info --json"
                  use document = JsonDocument.Parse info.Out
                  Expect.equal (document.RootElement.GetProperty("stages").GetArrayLength()) 2 "stages")
          } ]

[<Tests>]
let tests = testList "Program" [ asProcess; inProcess ]
