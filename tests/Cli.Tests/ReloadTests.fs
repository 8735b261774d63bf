/// SIGHUP to `toolkit serve`: the policy file is read again, without a restart.
module Cli.Tests.ReloadTests

open System
open System.Diagnostics
open System.IO
open System.Net.Http
open Expecto
open OptimalStopping.Cli.Commands
open Support.RandomCheckpoint

let private line (reader: StreamReader) =
    let next = reader.ReadLineAsync()
    if not (next.Wait 60_000) then failtest "expected a line within a minute, got none"
    nonNull next.Result

let private hangUp (server: Process) =
    use kill = Process.Start("kill", [| "-HUP"; string server.Id |])
    kill.WaitForExit()

/// Runs the action with a server of the nano cascade and a client of it.
let private serving (folder: TemporaryFolder) (arguments: string list) (action: Process -> HttpClient -> unit) =
    let config = Shared.repositoryFile (Path.Combine("configs", "nano.yaml"))
    use server = Toolkit.start 0 ([ "serve"; "--port"; "0"; "--config"; config; "--state"; folder.File "state" ] @ arguments)
    try
        use client = new HttpClient(BaseAddress = Uri((line server.StandardOutput).Split(": the cascade")[0]))
        action server client
    finally
        server.Kill()

let private cascade (client: HttpClient) = client.GetStringAsync("v1/toolkit/cascade").Result

[<Tests>]
let tests =
    testSequenced (
        testList
            "Reload"
            [ test "SIGHUP takes the policy file as it is now; a faulty one is refused and the server goes on as it was" {
                  if OperatingSystem.IsWindows() then skiptest "Windows has no SIGHUP"
                  use folder = new TemporaryFolder()
                  let policy = folder.File "p.json"
                  let calibrate (loss: string) =
                      let traces = Shared.repositoryFile (Path.Combine("models", "nano", "calibration.jsonl"))
                      let done' = Toolkit.run [ "calibrate"; "--traces"; traces; "--max-loss"; loss; "--policy"; "recall"; "--out"; policy ]
                      Expect.equal (done'.Code, done'.Error) (0, "") "calibrate"
                  calibrate "0.05"
                  serving folder [ "--policy"; policy ] (fun server client ->
                      let before = cascade client
                      File.Delete policy
                      calibrate "0.2"
                      hangUp server
                      Expect.stringContains (line server.StandardOutput) "p.json: read again" "said"
                      let after = cascade client
                      Expect.notEqual after before "the other policy's front and expectation"
                      File.WriteAllText(policy, "{}")
                      hangUp server
                      let refused = line server.StandardError
                      Expect.stringContains refused "p.json" "which file"
                      Expect.stringEnds refused "; the server goes on as it was" "one line"
                      Expect.equal (cascade client) after "as it was")
              }
              test "SIGHUP to a server without a policy file is answered with one line, and does not end it" {
                  if OperatingSystem.IsWindows() then skiptest "Windows has no SIGHUP"
                  use folder = new TemporaryFolder()
                  serving folder [] (fun server client ->
                      hangUp server
                      Expect.stringContains (line server.StandardError) "expected --policy FILE to read again" "said"
                      Expect.isFalse server.HasExited "it runs"
                      Expect.stringContains (client.GetStringAsync("healthz").Result) "ok" "and answers")
              } ]
    )
