/// The commands on a cascade of real shape: Qwen's tokenizer and chat template, questions from a file, and the public configs.
module Cli.Tests.RealModelsTests

open System.IO
open System.Text.Json
open Expecto
open OptimalStopping.Runtime.Traces
open Support.RandomCheckpoint

let private root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, "..", ".."))

/// Two models with random weights over the whole Qwen3 vocabulary, with Qwen3's tokenizer, and a cascade file for them.
let private withCascade (action: string -> string -> unit) =
    use folder = new TemporaryFolder()
    for name, hidden in [ "a", 16; "b", 32 ] do
        let path = folder.File name
        Directory.CreateDirectory path |> ignore
        let c = config hidden 1 2 1 8 32 151936 true
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
          test "the configs of real models name the first path that is to be filled in" {
              for name, path in [ "qwen3_public.yaml", "/models/Qwen3-0.6B"; "qwen3_models.yaml", "/models/Qwen3-7B" ] do
                  let run = Toolkit.run [ "info"; "--config"; Path.Combine(root, "configs", name) ]
                  Expect.equal run.Code 1 name
                  Expect.stringContains run.Error $"expected a model folder or a .gguf file at {path}, got none" name
                  Expect.equal (run.Error.TrimEnd().Split('\n').Length) 1 "one line"
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
