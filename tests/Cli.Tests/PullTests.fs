/// `toolkit pull` as a user runs it, killed at random moments; TOOLKIT_LONG=1 kills it fifty times.
module Cli.Tests.PullTests

open System
open System.IO
open System.Text.Json
open Expecto
open Support.RandomCheckpoint
open Support.TestHub

let private kills = if isNull (Environment.GetEnvironmentVariable "TOOLKIT_LONG") then 10 else 50

let private large (name: string) (seed: int) (count: int) =
    let bytes = Array.zeroCreate count
    (Random seed).NextBytes bytes
    { Name = name; Bytes = bytes; Large = true }

let private model =
    [ { Name = "config.json"; Bytes = "{}"B; Large = false }
      large "model-00001-of-00002.safetensors" 1 6_000_000
      large "model-00002-of-00002.safetensors" 2 4_000_000
      large "tokenizer.json" 3 1_000_000 ]

let private environment (hub: TestHub) (folder: TemporaryFolder) =
    [ "HF_ENDPOINT", string hub.Endpoint; "HF_HOME", folder.Path; "HF_HUB_CACHE", ""; "HF_TOKEN", ""; "HF_HUB_OFFLINE", "" ]

let private run (hub: TestHub) folder arguments = Toolkit.finish (Toolkit.startWith (environment hub folder) arguments)

/// Every finished content has the hash that it is named after.
let private nothingWrong (folder: TemporaryFolder) =
    let blobs = folder.File "hub/models--Qwen--Tiny/blobs"
    if Directory.Exists blobs then
        for file in Directory.GetFiles blobs |> Array.filter (fun f -> not (f.EndsWith ".incomplete")) do
            let found = model |> List.find (fun f -> file.EndsWith(tag f))
            Expect.equal (File.ReadAllBytes file) found.Bytes found.Name

[<Tests>]
let tests =
    testList
        "Pull"
        [ test "killed at random moments it goes on, and ends with right files" {
              withHub [ "Qwen/Tiny", model ] (fun hub ->
                  let seed = Random.Shared.Next()
                  let random = Random seed
                  let mutable hits = 0
                  hub.Wait <- TimeSpan.FromMilliseconds 4.0 // for each 64 KiB: the largest file takes nearly half a second
                  while hits < kills do
                      use folder = new TemporaryFolder()
                      let mutable ended = false
                      while not ended do
                          let before = hub.Requests.Length
                          let running = Toolkit.startWith (environment hub folder) [ "pull"; "Qwen/Tiny"; "--json" ]
                          // Most of its life is the start of the runtime: the clock starts with its second request.
                          while hub.Requests.Length < before + 2 && not (running.WaitForExit 1) do
                              ()
                          let patience = if hits < kills then random.Next 400 else 600_000
                          if running.WaitForExit patience then
                              let result = Toolkit.finish running
                              Expect.equal (result.Code, result.Error) (0, "") $"after {hits} kills"
                              use document = JsonDocument.Parse result.Out
                              let path = document.RootElement.GetProperty("models").[0].GetProperty("path").GetString() |> nonNull
                              for f in model do
                                  Expect.equal (File.ReadAllBytes(Path.Combine(path, f.Name))) f.Bytes f.Name
                              ended <- true
                          else
                              Toolkit.kill running
                              hits <- hits + 1
                              nothingWrong folder
                  printfn $"pull: seed {seed} of the moments"
                  let resumed = hub.Requests |> Array.filter (fun r -> r.Range <> "") |> Array.length
                  Expect.isGreaterThan resumed 0 "some went on inside a file"
                  printfn "pull: %d kills, %d requests went on inside a file" hits resumed)
          }
          test "a repository, a dry run, and the lines of misuse" {
              withHub [ "Qwen/Tiny", model ] (fun hub ->
                  use folder = new TemporaryFolder()
                  let dry = run hub folder [ "pull"; "Qwen/Tiny"; "--dry-run" ]
                  Expect.stringContains dry.Out "10.5 MiB, to fetch 10.5 MiB" "dry run"
                  Expect.isFalse (Directory.Exists(folder.File "hub")) "nothing was fetched"
                  let done' = run hub folder [ "pull"; "Qwen/Tiny"; "--revision"; commitOf model; "--parallel"; "2" ]
                  Expect.equal (done'.Code, done'.Error) (0, "") "pull"
                  Expect.stringContains done'.Out $"Qwen/Tiny at {commitOf model}: 10.5 MiB, fetched 10.5 MiB: " "what was done"
                  for arguments, code, part in
                      [ [ "pull" ], 2, "expected a repository, as in Qwen/Qwen3-0.6B, or --config FILE"
                        [ "pull"; "a/b/c" ], 2, "got 'a/b/c'"
                        [ "pull"; "Qwen/Tiny"; "--parallel"; "0" ], 2, "--parallel: expected 1 to 64, got 0"
                        [ "pull"; "--config"; "configs/miniature.yaml" ], 1, "expected a stage with the key repository, got none"
                        [ "pull"; "Qwen/Other" ], 1, "got 404 (Repository not found)" ] do
                      let refused = run hub folder arguments
                      Expect.equal refused.Code code part
                      Expect.stringContains refused.Error part part
                      Expect.equal (refused.Error.TrimEnd().Split('\n').Length) 1 "one line")
          } ]
