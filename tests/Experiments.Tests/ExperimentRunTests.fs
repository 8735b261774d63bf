module Experiments.Tests.ExperimentRunTests

open Support
open System
open System.IO
open System.Linq
open System.Security.Cryptography
open System.Text.Json
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open Support.SyntheticOutcomes
open Support.TraceFiles

let private small = ExperimentOptions(Seed = 3, Resamples = 100, Horizon = 1000, Runs = 2, ConfidenceBins = 4)

let private start (request: RunRequest) = ExperimentRun.Run(request, silent, CancellationToken.None)

let private fault (request: RunRequest) =
    try
        start request
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

/// Names and digests of the files in a folder.
let private contents (folder: string) =
    [ for f in Directory.GetFiles folder do
          let name = nonNull (Path.GetFileName f)
          if name <> ".lock" then name, Convert.ToHexString(SHA256.HashData(File.ReadAllBytes f)) ]
    |> List.sort

[<Tests>]
let tests =
    testList
        "ExperimentRun"
        [ test "queries: calibration before test, every prompt once, the same for the same seed" {
              withFolder (fun folder ->
                  let file = CascadeFile.Load(RandomCascade.write folder 2 4 150)
                  let queries = CascadeQueries.Draw(file, 1)
                  Expect.equal
                      [ for struct (_, split) in queries -> split ]
                      (List.replicate 150 "calibration" @ List.replicate 150 "test")
                      "splits"
                  Expect.equal (queries.Select(fun struct (q, _) -> q.Prompt).Distinct().Count()) 300 "prompts"
                  Expect.sequenceEqual (CascadeQueries.Draw(file, 1)) queries "again"
                  Expect.isFalse (queries.SequenceEqual(CascadeQueries.Draw(file, 2))) "another seed")
          }
          test "a folder holds one run: another one is refused, and the first stays as it is" {
              withFolder (fun folder ->
                  let traces, out = Path.Combine(folder, "traces.jsonl"), Path.Combine(folder, "run")
                  File.WriteAllLines(traces, cascade 120 5)
                  start (RunRequest("tradeoff", "", traces, out, false, small))
                  let first = contents out
                  Expect.stringContains
                      (fault (RunRequest("tradeoff", "", traces, out, false, small)))
                      "expected a new folder, got the results of an earlier run (manifest.json)"
                      "again"
                  Expect.stringContains
                      (fault (RunRequest("regret", "", traces, out, true, small)))
                      "expected --experiments regret on traces, got a run of --experiments tradeoff on traces"
                      "other experiments"
                  Expect.equal (contents out) first "untouched"
                  File.Delete(Path.Combine(out, "manifest.json"))
                  Expect.stringContains
                      (fault (RunRequest("tradeoff", "", traces, out, false, small)))
                      "got the results of an earlier run ("
                      "tables without a manifest"
                  start (RunRequest("tradeoff", "", traces, out, true, small))
                  Expect.equal (contents out) first "written anew")
          }
          test "a run on models: records, results and manifest; gone on with, the same bytes" {
              withFolder (fun folder ->
                  let config = RandomCascade.write folder 2 4 100
                  let out = Path.Combine(folder, "run")
                  let request = RunRequest("all", config, null, out, false, small)
                  start request
                  let first = contents out
                  let expected =
                      [ "calibration.csv"
                        "figure1a.csv"
                        "figure1a_slopes.csv"
                        "figure1b.csv"
                        "headline.csv"
                        "manifest.json"
                        "records.jsonl"
                        "regret_checks.csv"
                        "regret_claims.csv"
                        "regret_sizes.csv"
                        "reliability.csv"
                        "stages.csv"
                        "stops.csv"
                        "table1.csv"
                        "thresholds.csv" ]
                  Expect.equal (List.map fst first) expected "files"
                  Expect.stringContains
                      (fault request)
                      "records.jsonl: expected a new folder, got the records of an earlier run"
                      "no --resume"
                  Expect.equal (contents out) first "untouched"
                  let records = Path.Combine(out, "records.jsonl")
                  File.WriteAllBytes(records, (File.ReadAllBytes records)[..5000])
                  for (name, _) in first do
                      if name <> "records.jsonl" then File.Delete(Path.Combine(out, name))
                  let resume = RunRequest("all", config, null, out, true, small)
                  start resume
                  Expect.equal (contents out) first "the same bytes"
                  let otherSeed = ExperimentOptions(Seed = 4, Resamples = 100, Horizon = 1000, Runs = 2)
                  Expect.stringContains
                      (fault (RunRequest("all", config, null, out, true, otherSeed)))
                      "it is of another run"
                      "another seed"
                  Expect.equal (contents out) first "untouched by another seed"
                  use manifest = JsonDocument.Parse(File.ReadAllText(Path.Combine(out, "manifest.json")))
                  let settings = manifest.RootElement.GetProperty "settings"
                  Expect.equal
                      (settings.GetProperty("seed").GetInt32(), settings.GetProperty("cascade").GetString())
                      (3, "random")
                      "settings"
                  let hashes =
                      manifest.RootElement.GetProperty("inputs_sha256").EnumerateObject()
                      |> Seq.map (fun p -> p.Value.GetString())
                      |> Seq.toList
                  let digest path = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes path))
                  let inputs =
                      config
                      :: [ for k in 1..2 do
                               for name in [ "config.json"; "model.safetensors"; "tokenizer.json" ] -> Path.Combine(folder, string k, name) ]
                  Expect.equal hashes [ for path in inputs -> digest path ] "hashes of the inputs"
                  let results =
                      manifest.RootElement.GetProperty("results_sha256").EnumerateObject()
                      |> Seq.map (fun p -> p.Name, (nonNull (p.Value.GetString())).ToUpperInvariant())
                      |> Seq.toList
                  Expect.equal results (first |> List.filter (fun (name, _) -> name <> "manifest.json")) "hashes of the results"
                  use _ = new FileStream(Path.Combine(out, ".lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None)
                  Expect.stringContains (fault resume) "that no other run uses" "a second run in the folder")
          }
          test "a run on traces" {
              withLines (cascade 60 4) (fun traces ->
                  withFolder (fun folder ->
                      start (RunRequest("statistical", "none.yaml", traces, folder, false, small))
                      Expect.equal (contents folder |> List.map fst) [ "manifest.json"; "table1.csv" ] "files"
                      use manifest = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "manifest.json")))
                      Expect.equal (manifest.RootElement.GetProperty("settings").GetProperty("source").GetString()) "traces" "source"))
          }
          test "faults of the request" {
              withFolder (fun folder ->
                  let file = Path.Combine(folder, "file")
                  File.WriteAllText(file, "")
                  Expect.stringStarts
                      (fault (RunRequest("none", "x", null, folder, false, small)))
                      "--experiments: expected all, regret"
                      "experiment"
                  Expect.stringStarts (fault (RunRequest("all", "/nowhere.yaml", null, folder, false, small))) "/nowhere.yaml: " "config"
                  Expect.stringStarts (fault (RunRequest("all", "x", "/nowhere.jsonl", folder, false, small))) "/nowhere.jsonl: " "traces"
                  withLines (cascade 8 4) (fun traces ->
                      Expect.stringStarts
                          (fault (RunRequest("all", "x", traces, file, false, small)))
                          $"{file}: expected a folder"
                          "a file as folder")
                  withLines (cascade 3 4) (fun traces ->
                      Expect.stringContains
                          (fault (RunRequest("all", "x", traces, folder, false, small)))
                          "expected at least 4 queries"
                          "too few"))
          } ]
