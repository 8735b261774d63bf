/// Two replicas in processes of their own over one real PostgreSQL, each part killed again and again.
module Cli.Tests.ReplicaTests

open System
open Expecto

[<Tests>]
let tests =
    testList
        "Replicas"
        [ test "two over one PostgreSQL, replicas and database killed under load: no acknowledged grade is lost" {
              // TOOLKIT_LONG_TESTS: ten minutes and 64 clients.
              let seconds, clients = if isNull (Environment.GetEnvironmentVariable "TOOLKIT_LONG_TESTS") then "15", "8" else "600", "64"
              let toolkit = Toolkit.words [] |> String.concat "\n"
              let limit = TimeSpan.FromSeconds(float seconds + 120.0)
              printfn "%s" (Support.Node.run "replicas.mjs" [ toolkit; seconds; clients ] limit)
          } ]
