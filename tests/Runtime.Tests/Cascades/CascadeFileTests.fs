module Runtime.Tests.Cascades.CascadeFileTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tokenization
open Support.TraceFiles

let private good =
    "name: test\nstages:\n  - { name: a, path: x/a, cost: 1 }\n  - { name: b, path: /abs/b, cost: 2.5 }\n"
    + "max_tokens: 8\ncalibration_queries: 100\ntest_queries: 200\n"

let private load (text: string) = withText text CascadeFile.Load

/// Name, what is replaced in the good file, by what, and the fault after the file's name.
let private faults =
    [ "an unknown key", "max_tokens", "colour: red\nmax_tokens", ":5: key 'colour': expected one of "
      "an unknown key of a stage", "cost: 2.5", "cost: 2.5, size: 3", ":4: key 'stages[1].size': expected one of "
      "a missing key", "max_tokens: 8\n", "", ":1: key 'max_tokens': expected a whole number from 1 to 100000, got nothing"
      "a missing key of a stage", "path: x/a, ", "", ":3: key 'stages[0].path': expected text, got nothing"
      "no stages",
      "stages:\n  - { name: a, path: x/a, cost: 1 }\n  - { name: b, path: /abs/b, cost: 2.5 }\n",
      "",
      ":1: key 'stages': expected a list"
      "equal costs", "cost: 2.5", "cost: 1", ":4: key 'stages[1].cost': expected more than the 1 of the stage before, got 1"
      "falling costs", "cost: 2.5", "cost: 0.5", ":4: key 'stages[1].cost': expected more than the 1 of the stage before, got 0.5"
      "no cost at all", "cost: 1 ", "cost: 0 ", ":3: key 'stages[0].cost': expected a number from 1E-09 to 1000000000, got '0'"
      "a name twice", "name: b", "name: a", ":4: key 'stages[1].name': expected a name that no other stage has, got 'a' again"
      "one stage", "  - { name: b, path: /abs/b, cost: 2.5 }\n", "", ":2: key 'stages': expected 2 to 10 stages, got 1"
      "another backend", "cost: 2.5", "cost: 2.5, backend: gpu", ":4: key 'stages[1].backend': expected cpu or openai or "
      "other tasks",
      "name: test",
      "name: test\ntasks: chess",
      ":2: key 'tasks': expected nano, miniature, gsm8k, mmlu or jsonl, got 'chess'"
      "another backend for all", "name: test", "name: test\nbackend: gpu", ":2: key 'backend': expected cpu or openai or "
      "a device that is none",
      "cost: 2.5",
      "cost: 2.5, backend: torch, devices: [cuda]",
      ":4: key 'stages[1].devices': expected cpu or cuda:0 to cuda:63, got 'cuda'"
      "a device number that is none",
      "cost: 2.5",
      "cost: 2.5, backend: torch, devices: ['cuda:-1']",
      ":4: key 'stages[1].devices': expected cpu or cuda:0 to cuda:63, got 'cuda:-1'"
      "a device twice",
      "cost: 2.5",
      "cost: 2.5, backend: torch, devices: [cpu, cpu]",
      ":4: key 'stages[1].devices': expected each device once, got cpu, cpu"
      "a GPU for the managed engine",
      "cost: 2.5",
      "cost: 2.5, devices: ['cuda:0']",
      ":4: key 'stages[1].devices': expected only cpu with backend cpu, got cuda:0"
      "another chat", "name: test", "name: test\nchat: loud", ":2: key 'chat': expected none, direct (thinking off) or thinking, got 'loud'"
      "tasks without their files",
      "name: test",
      "name: test\ntasks: gsm8k",
      ":1: key 'data': expected the files of tasks 'gsm8k', got nothing"
      "files for generated tasks", "name: test", "name: test\ndata: { path: x }", ":2: key 'data': expected no data with tasks: nano"
      "an unknown key of the data",
      "name: test",
      "name: test\ntasks: mmlu\ndata: { path: x, grading: exact }",
      ":3: key 'data.grading': expected one of calibration, instruction, path, got an unknown key"
      "another grading",
      "name: test",
      "name: test\ntasks: jsonl\ndata: { path: x, grading: kind }",
      ":3: key 'data.grading': expected exact, numeric, choice or regex, got 'kind'"
      "a grading by number",
      "name: test",
      "name: test\ntasks: jsonl\ndata: { path: x, grading: '1' }",
      ":3: key 'data.grading': expected exact, numeric, choice or regex, got '1'"
      "a regex without pattern",
      "name: test",
      "name: test\ntasks: jsonl\ndata: { path: x, grading: regex }",
      ":3: key 'data.pattern': expected text, got nothing"
      "a pattern that is none",
      "name: test",
      "name: test\ntasks: jsonl\ndata: { path: x, grading: regex, pattern: '(' }",
      ":3: key 'data.pattern': expected a regular expression"
      "a server without an address", "path: x/a, ", "backend: openai, model: q, ", ":3: key 'stages[0].url': expected text, got nothing"
      "a server without a model",
      "path: x/a, ",
      "backend: openai, url: 'http://h/v1', ",
      ":3: key 'stages[0].model': expected text, got nothing"
      "an address that is none",
      "path: x/a, ",
      "backend: openai, url: h/v1, ",
      ":3: key 'stages[0].url': expected an address that begins with http:// or https://, got 'h/v1'"
      "a server with a folder",
      "path: x/a, ",
      "backend: openai, url: 'http://h/v1', model: q, path: x, ",
      ":3: key 'stages[0].path': expected one of "
      "another protocol",
      "path: x/a, ",
      "backend: openai, url: 'http://h/v1', model: q, api: grpc, ",
      ":3: key 'stages[0].api': expected chat or completions, got 'grpc'"
      "half a price",
      "path: x/a, ",
      "backend: openai, url: 'http://h/v1', model: q, input_cost: 1, ",
      ":3: key 'stages[0].input_cost': expected input_cost and output_cost together, got one of them"
      "a key in the file",
      "path: x/a, ",
      "backend: openai, url: 'http://h/v1', model: q, key: sk-1, ",
      ":3: key 'stages[0].key': expected one of "
      "a cost in words", "cost: 2.5", "cost: much", ":4: key 'stages[1].cost': expected a number from 1E-09 to 1000000000, got 'much'"
      "half a token", "max_tokens: 8", "max_tokens: 8.5", ":5: key 'max_tokens': expected a whole number from 1 to 100000, got '8.5'"
      "too few queries",
      "calibration_queries: 100",
      "calibration_queries: 99",
      ":6: key 'calibration_queries': expected a whole number from 100 to 1000000, got '99'"
      "stages as text",
      "  - { name: a, path: x/a, cost: 1 }\n  - { name: b, path: /abs/b, cost: 2.5 }\n",
      "  all\n",
      ":2: key 'stages': expected a list"
      "a bracket that is not closed", "max_tokens: 8", "max_tokens: [8", ":5: expected YAML with each key once"
      "a bracket too many", "max_tokens: 8", "max_tokens: ]8", ":5: expected YAML with each key once"
      "a key twice", "max_tokens: 8", "max_tokens: 8\nmax_tokens: 9", ":6: expected YAML with each key once" ]

/// A file of this repository's folder configs.
let private config name = Path.Combine(Support.Repository.root, "configs", name)

/// Shapes of the published models: hidden, layers, query heads, key heads, head width, feed-forward width.
let private published =
    [ 1024L, 28L, 16L, 8L, 128L, 3072L
      2048L, 28L, 16L, 8L, 128L, 6144L
      2560L, 36L, 32L, 8L, 128L, 9728L
      4096L, 36L, 32L, 8L, 128L, 12288L
      5120L, 40L, 40L, 8L, 128L, 17408L
      5120L, 64L, 64L, 8L, 128L, 25600L ]

/// Weights that a token reads: the matrices of every layer, and the head.
let private weightsRead (hidden, layers, heads, keyHeads, width, inner) =
    layers * (2L * hidden * heads * width + 2L * hidden * keyHeads * width + 3L * hidden * inner) + 151936L * hidden

[<Tests>]
let tests =
    testList
        "CascadeFile"
        [ test "reads a file; paths are relative to it" {
              withFolder (fun folder ->
                  let file = Path.Combine(folder, "l.yaml")
                  File.WriteAllText(file, good + "calibration_trace: ../t.jsonl\n")
                  let cascade = CascadeFile.Load file
                  Expect.equal (cascade.Name, cascade.File) ("test", file) "name and file"
                  Expect.sequenceEqual
                      cascade.Stages
                      [ CascadeStage("a", Path.Combine(folder, "x", "a"), 1.0); CascadeStage("b", Path.GetFullPath "/abs/b", 2.5) ]
                      "stages"
                  Expect.equal (cascade.MaxTokens, cascade.CalibrationQueries, cascade.TestQueries) (8, 100, 200) "numbers"
                  Expect.equal cascade.CalibrationTrace (Path.GetFullPath(Path.Combine(folder, "..", "t.jsonl"))) "trace")
              Expect.isNull (load good).CalibrationTrace "no trace"
              Expect.equal ((load good).Recall, (load (good + "recall: false\n")).Recall) (true, false) "recall"
          }
          test "a stage behind a server: defaults, and every key" {
              let stage (keys: string) = (load (good.Replace("path: x/a, ", $"backend: openai, {keys}, "))).Stages[0]
              let settings (keys: string) = nonNull (stage keys).Settings :?> OpenAiSettings
              let costOf keys prompt completion =
                  let backend = StageBackends.Find "openai" |> nonNull
                  backend.Open(StageContext("test", stage keys, 8, ChatMode.None)).CostOf(prompt, completion)
              let plain = settings "url: 'http://h:1/v1', model: q"
              Expect.equal (plain.Url.AbsoluteUri, plain.Model, plain.KeyVariable) ("http://h:1/v1/", "q", null) "address, model, key"
              Expect.equal (plain.Api, plain.Verification) (OpenAiApi.Chat, OpenAiVerification.None) "choices"
              Expect.equal (costOf "url: 'http://h:1/v1', model: q" 10 20) 1.0 "every answer costs the same"
              let full =
                  settings
                      "url: https://h/v1/, model: q, key_env: KEY, api: completions, verify: echo, top_logprobs: 5, timeout_seconds: 0.5, retries: 0, concurrency: 3, break_seconds: 2, input_cost: 2, output_cost: 8"
              Expect.equal
                  (full.Url.AbsoluteUri, full.KeyVariable, full.TopLogprobs, full.TimeoutSeconds)
                  ("https://h/v1/", "KEY", 5, 0.5)
                  "values"
              Expect.equal (full.Api, full.Verification) (OpenAiApi.Completions, OpenAiVerification.Echo) "choices"
              Expect.equal (full.Retries, full.Concurrency, full.BreakSeconds) (0, 3, 2.0) "limits"
              Expect.floatClose
                  Accuracy.high
                  (costOf "url: https://h/v1/, model: q, input_cost: 2, output_cost: 8" 1_000_000 500_000)
                  6.0
                  "cost from tokens"
          }
          test "the repository's own cascade loads, models and all" {
              let file = CascadeFile.Load(config "nano.yaml")
              Expect.equal [ for s in file.Stages -> s.Name ] [ "nano-1"; "nano-2"; "nano-3"; "nano-4" ] "stages"
              Expect.equal file.Stages[0].Cost 1.0 "costs are in units of the cheapest"
              use cascade = Cascade.Load file
              Expect.equal cascade.Models.Count 4 "models"
              for model in cascade.Models do
                  Expect.equal model.VocabularySize cascade.Tokenizer.VocabularySize model.Name
          }
          test "the user's four stages, as they are written down" {
              let file = CascadeFile.Load(config "qwen3_models.yaml")
              Expect.equal
                  [ for s in file.Stages -> s.Name, s.Cost ]
                  [ "qwen3-7b", 1.0; "qwen3-14b", 2.0; "qwen3-32b", 4.5; "qwen3-72b", 10.0 ]
                  "stages"
              Expect.all file.Stages (fun s -> s.Backend = "torch") "backend for all"
              Expect.sequenceEqual file.Stages[2].Devices [ "cuda:2"; "cuda:3" ] "devices"
              Expect.equal (file.Chat, file.Tasks.Kind, file.Tasks.Grading) (ChatMode.Direct, "gsm8k", Grading.Numeric) "tasks"
              Expect.equal file.Tasks.CalibrationPath (Path.GetFullPath "/data/gsm8k/train.jsonl") "calibration queries"
          }
          test "the costs of the published models are the weights that a token reads" {
              let file = CascadeFile.Load(config "qwen3_public.yaml")
              let weights = published |> List.map weightsRead
              for stage, weight in Seq.zip file.Stages weights do
                  Expect.floatClose { absolute = 0.0; relative = 0.002 } stage.Cost (float weight / float weights.Head) stage.Name
              Expect.equal file.Stages.Count weights.Length "every model"
          }
          test "a stage's backend and devices; tasks from a file" {
              let file =
                  load (
                      good.Replace("cost: 2.5", "cost: 2.5, backend: torch, devices: ['cuda:1', cpu]")
                      + "chat: thinking\ntasks: jsonl\ndata: { path: q.jsonl, prompt: q, reference: a, grading: regex, pattern: 'is (.)' }\n"
                  )
              Expect.equal
                  [ for s in file.Stages -> s.Backend, List.ofSeq s.Devices ]
                  [ "cpu", [ "cpu" ]; "torch", [ "cuda:1"; "cpu" ] ]
                  "stages"
              Expect.equal
                  (file.Tasks.PromptField, file.Tasks.ReferenceField, file.Tasks.Grading, file.Tasks.Pattern)
                  ("q", "a", Grading.Regex, "is (.)")
                  "tasks"
              Expect.equal (file.Chat, (load good).Chat, (load good).Tasks) (ChatMode.Thinking, ChatMode.None, TaskSource.Nano) "chat"
          }
          testList
              "faults name file, line, key, expected and got"
              [ for name, old, replacement, expected in faults ->
                    test name {
                        Expect.stringContains good old "the text that is replaced"
                        withText (good.Replace(old, replacement)) (fun path ->
                            try
                                CascadeFile.Load path |> ignore
                                failtest "no fault"
                            with :? ToolkitException as e ->
                                Expect.stringStarts e.Message (path + expected) "message"
                                Expect.isFalse (e.Message.Contains '\n') "one line")
                    } ]
          test "no such file" { Expect.throwsT<ToolkitException> (fun () -> CascadeFile.Load "/nowhere/l.yaml" |> ignore) "missing" } ]
