/// The commands on a cascade of real shape: Qwen's tokenizer and chat template, questions from a file, and the public configs.
module Cli.Tests.RealModelsTests

open System.IO
open System.Text.Json
open Expecto
open OptimalStopping.Runtime.Traces
open Support.RandomCheckpoint
open Support.TestHub

let private root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, "..", ".."))

/// Two models with random weights over the whole Qwen3 vocabulary, with Qwen3's tokenizer, and a cascade file for them.
let private withCascade (action: string -> string -> unit) =
    use folder = new TemporaryFolder()
    for name, hidden in [ "a", 16; "b", 32 ] do
        let path = folder.File name
        Directory.CreateDirectory path |> ignore
        let c = configOf 512 hidden 1 2 1 8 32 151936 true
        save path c (tensors c (weights c hidden))
        for file in [ "tokenizer.json"; "tokenizer_config.json"; "generation_config.json" ] do
            File.Copy(Path.Combine(root, "tests", "Runtime.Tests", "Tokenization", "qwen3", "model", file), Path.Combine(path, file))
    File.WriteAllLines(folder.File "q.jsonl", [ for i in 1..210 -> $$"""{"question": "What is {{i}} + 1? 漢字 😀", "answer": "{{i + 1}}"}""" ])
    File.WriteAllText(
        folder.File "cascade.yaml",
        "name: real\nchat: direct\ntasks: jsonl\ndata: { path: q.jsonl, prompt: question, reference: answer, grading: numeric }\n"
        + "stages:\n  - { name: a, path: a, cost: 1 }\n  - { name: b, path: b, cost: 2 }\n"
        + "max_tokens: 6\ncalibration_queries: 100\ntest_queries: 100\n"
    )
    action folder.Path (folder.File "cascade.yaml")

[<Tests>]
let tests =
    testList
        "RealModels"
        [ test "collect: a question from a file goes through the chat template, and its answer is graded" {
              withCascade (fun folder cascade ->
                  let out = Path.Combine(folder, "t.jsonl")
                  let run = Toolkit.run [ "collect"; "--config"; cascade; "--out"; out; "--split"; "test"; "--count"; "5" ]
                  Expect.equal (run.Code, run.Error) (0, "") "collect"
                  let records = TraceReader.ReadRecords out |> Seq.toArray
                  Expect.equal records.Length 5 "records"
                  for record in records do
                      let field name = (record.Extra |> Seq.find (fun f -> f.Key = name)).Value
                      Expect.stringContains (nonNull ((field "prompt").GetString())) "漢字 😀" "the question as it stands in the file"
                      Expect.isGreaterThan (int (nonNull ((field "reference").GetString()))) 1 "reference"
                      for stage in record.Stages do
                          Expect.isTrue (stage.Quality = 0.0 || stage.Quality = 1.0) "graded")
          }
          test "info shows what would be loaded where without loading it" {
              withCascade (fun _ cascade ->
                  let run = Toolkit.run [ "info"; "--config"; cascade; "--json"; "--tokens"; "100" ]
                  Expect.equal (run.Code, run.Error) (0, "") "info"
                  use document = JsonDocument.Parse run.Out
                  let stage = document.RootElement.GetProperty("stages").[0]
                  let device = stage.GetProperty("devices").[0]
                  Expect.equal
                      (stage.GetProperty("format").GetString(), stage.GetProperty("vocabulary").GetInt32())
                      ("F32", 151936)
                      "stage"
                  Expect.equal (device.GetProperty("device").GetString(), device.GetProperty("layers").GetInt32()) ("cpu", 1) "device"
                  // The embedding in float32 and the head in INT8 with float scales are nearly all of it.
                  Expect.isGreaterThan (device.GetProperty("weight_bytes").GetInt64()) (151936L * 16L * 5L) "weights")
          }
          test "info before anything is downloaded: every stage's shape, memory and disk, and all that is missing" {
              use cache = new TemporaryFolder()
              let info name more =
                  let config = Path.Combine(root, "configs", name)
                  let run = Toolkit.startWith [ "HF_HUB_CACHE", cache.Path ] ([ "info"; "--config"; config ] @ more) |> Toolkit.finish
                  Expect.equal (run.Code, run.Error) (0, "") name
                  config, run.Out
              let config, out = info "qwen3_public.yaml" [ "--json" ]
              use document = JsonDocument.Parse out
              let list (name: string) = [ for item in document.RootElement.GetProperty(name).EnumerateArray() -> item ]
              let text (name: string) (item: JsonElement) = nonNull (item.GetProperty(name).GetString())
              let sizes = [ for stage in list "stages" -> text "name" stage, stage.GetProperty("disk_bytes").GetInt64() / 100_000_000L ]
              // Hundreds of megabytes of the published files.
              Expect.equal
                  sizes
                  [ "qwen3-0.6b", 15L; "qwen3-1.7b", 40L; "qwen3-4b", 80L; "qwen3-8b", 163L; "qwen3-14b", 295L; "qwen3-32b", 655L ]
                  "disk"
              for stage in list "stages" do
                  Expect.isFalse (stage.GetProperty("present").GetBoolean()) "not there"
                  Expect.isGreaterThan (stage.GetProperty("cpu_tokens_per_second").GetDouble()) 0.0 "speed"
              Expect.sequenceEqual
                  (list "missing" |> List.map (text "what"))
                  [ for size in [ "0.6b"; "1.7b"; "4b"; "8b"; "14b"; "32b" ] do
                        $"stage qwen3-{size}"
                    "questions"
                    "calibration questions"
                    "calibration records" ]
                  "all at once"
              Expect.equal (text "remedy" (list "missing").Head) $"toolkit pull --config {config}" "how to get it"
              // Sizes that were not published: only the paths can be named.
              let _, out = info "qwen3_models.yaml" []
              for part in [ "stage qwen3-7b: /models/Qwen3-7B"; "stage qwen3-72b: its shape is not known"; "key path: a model's folder" ] do
                  Expect.stringContains out part "missing"
          }
          test "a cascade of the hub's models: info names what is missing, pull fetches it, and the cascade runs" {
              withCascade (fun folder cascade ->
                  let repositories = [ for name in [ "a"; "b" ] -> $"Test/{name}", contentsOf (Path.Combine(folder, name)) ]
                  File.WriteAllText(
                      cascade,
                      (File.ReadAllText cascade)
                          .Replace("path: a,", "repository: Test/a,")
                          .Replace("path: b,", "repository: Test/b, path: fetched,")
                  )
                  withHub repositories (fun hub ->
                      let cache = Path.Combine(folder, "hub")
                      let run arguments =
                          Toolkit.startWith [ "HF_ENDPOINT", string hub.Endpoint; "HF_HUB_CACHE", cache ] arguments |> Toolkit.finish
                      let collect = [ "collect"; "--config"; cascade; "--out"; Path.Combine(folder, "t.jsonl"); "--count"; "2" ]
                      let early = run collect
                      Expect.equal early.Code 1 "nothing is there yet"
                      Expect.stringContains early.Error $"got none; fetch it with: toolkit pull --config {cascade}" "says how"
                      let pulled = run [ "pull"; "--config"; cascade ]
                      Expect.equal (pulled.Code, pulled.Error) (0, "") "pull"
                      Expect.isTrue (File.Exists(Path.Combine(folder, "fetched", "model.safetensors"))) "the stage's own path"
                      let run' = run collect
                      Expect.equal (run'.Code, run'.Error) (0, "") "collect"
                      let info = run [ "info"; "--config"; cascade; "--json" ]
                      use document = JsonDocument.Parse info.Out
                      let missing = document.RootElement.GetProperty("missing")
                      Expect.equal (missing.GetArrayLength()) 0 "nothing is missing"))
          }
          test "quickstart: from nothing to a calibrated cascade, and again from what is there" {
              withCascade (fun folder _ ->
                  let repositories = [ for name in [ "a"; "b" ] -> $"Test/{name}", contentsOf (Path.Combine(folder, name)) ]
                  let config = Path.Combine(folder, "public.yaml")
                  File.WriteAllText(
                      config,
                      "name: public\nbackend: torch\nstages:\n"
                      + "  - { name: a, repository: Test/a, cost: 1, devices: ['cuda:0'] }\n  - { name: b, repository: Test/b, cost: 2 }\n"
                      + "  - { name: c, repository: Test/c, cost: 4 }\n"
                      + "max_tokens: 6\ncalibration_queries: 100\ntest_queries: 100\n"
                  )
                  withHub repositories (fun hub ->
                      let out = Path.Combine(folder, "start")
                      let quickstart () =
                          Toolkit.startWith
                              [ "HF_ENDPOINT", string hub.Endpoint; "HF_HUB_CACHE", Path.Combine(folder, "hub") ]
                              [ "quickstart"
                                "What is 2 + 2?"
                                "--config"
                                config
                                "--stages"
                                "2"
                                "--count"
                                "100"
                                "--max-tokens"
                                "3"
                                "--out"
                                out ]
                          |> Toolkit.finish
                      let first = quickstart ()
                      Expect.equal (first.Code, first.Error) (0, "") "from nothing"
                      for part in
                          [ "[1/4]"; "Test/b: "; "calibration.jsonl: 100 records"; "written "; "used "; "next        toolkit serve" ] do
                          Expect.stringContains first.Out part "its steps"
                      let records = File.ReadAllBytes(Path.Combine(out, "calibration.jsonl"))
                      let again = quickstart ()
                      Expect.equal (again.Code, again.Error) (0, "") "again"
                      Expect.equal (File.ReadAllBytes(Path.Combine(out, "calibration.jsonl"))) records "nothing is asked twice"))
          }
          test "doctor: a device that is none is bad usage; without TorchSharp it says how to get it" {
              let wrong = Toolkit.run [ "doctor"; "--device"; "gpu" ]
              Expect.equal wrong.Code 2 "usage"
              Expect.stringContains wrong.Error "--device: expected cpu or cuda:0 to cuda:99, got 'gpu'" "usage"
#if !TORCH
              let run = Toolkit.run [ "doctor"; "--device"; "cuda:1" ]
              Expect.equal run.Code 1 "fault"
              Expect.stringContains run.Error "-p:TorchBackend=cuda -- doctor --device cuda:1" "fault"
#endif
          } ]
