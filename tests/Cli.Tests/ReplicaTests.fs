/// Two replicas in processes of their own over one real PostgreSQL, each part killed again and again.
module Cli.Tests.ReplicaTests

open System
open System.Diagnostics
open System.IO
open Expecto

[<Tests>]
let tests =
    testList
        "Replicas"
        [ test "two over one PostgreSQL, replicas and database killed under load: no acknowledged grade is lost" {
              // TOOLKIT_LONG_TESTS: ten minutes and 64 clients.
              let seconds, clients = if isNull (Environment.GetEnvironmentVariable "TOOLKIT_LONG_TESTS") then "15", "8" else "600", "64"
              let script = Path.Combine(Support.Repository.root, "tests", "Clients", "replicas.mjs")
              let toolkit = Toolkit.words [] |> String.concat "\n"
              let info =
                  ProcessStartInfo(
                      "node",
                      [ script; toolkit; seconds; clients ],
                      RedirectStandardOutput = true,
                      RedirectStandardError = true
                  )
              let node =
                  try
                      nonNull (Process.Start info)
                  with :? ComponentModel.Win32Exception ->
                      skiptest "node is not installed"
              use node = node
              let output, error = node.StandardOutput.ReadToEndAsync(), node.StandardError.ReadToEndAsync()
              if not (node.WaitForExit(1000 * int seconds + 120_000)) then
                  node.Kill true
                  failtest "the script did not end"
              if output.Result.StartsWith "SKIP" then skiptest (output.Result.Trim())
              printfn "%s" output.Result
              Expect.equal node.ExitCode 0 $"{output.Result}{error.Result}"
          } ]
