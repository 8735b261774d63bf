/// Commands killed with SIGKILL at random moments of their whole life, and gone on with until they end: nothing is lost,
/// nothing is doubled, no file is half, and the bytes are those of an undisturbed run.
/// The suite has a few kills; TOOLKIT_KILL_ROUNDS=200 is the long run (docs/faults.md).
module Cli.Tests.Faults.KillTests

open System
open System.Diagnostics
open System.IO
open Expecto
open Cli.Tests
open Cli.Tests.Faults.RandomRun

let private setting name (otherwise: int) =
    match Environment.GetEnvironmentVariable name with
    | null
    | "" -> otherwise
    | text -> int text

let private kills = setting "TOOLKIT_KILL_ROUNDS" 3
let private seed = setting "TOOLKIT_KILL_SEED" 1

/// Kills the command until enough kills have hit it; each time it is gone on with, and again may be killed.
let private killAgainAndAgain (command: Command) =
    let expected = undisturbed command
    let watch = Stopwatch.StartNew()
    inNewFolder (fun out -> Expect.equal (Toolkit.run (command.First out)).Code 0 "undisturbed, timed")
    let lifetime = watch.Elapsed.TotalMilliseconds
    let random = Random seed
    let mutable hits, ends = 0, 0
    while hits < kills do
        inNewFolder (fun out ->
            let mutable ended = false
            let mutable arguments = command.First out
            while not ended do
                let patience = if hits < kills then int (1.1 * lifetime * random.NextDouble()) else 600_000
                let place = $"seed {seed}, kill {hits + 1}, after {patience} ms"
                let running = Toolkit.start 0 arguments
                if running.WaitForExit patience then
                    let result = Toolkit.finish running
                    Expect.equal (result.Code, result.Error) (0, "") place
                    ended <- true
                else
                    Toolkit.kill running
                    hits <- hits + 1
                    expectNothingHalf expected out place
                // A first kill may come before the records are there; --resume begins then.
                arguments <- command.GoOn out
            Expect.equal (contents out) (contents expected) $"seed {seed}, {hits} kills, the end"
            ends <- ends + 1)
    printfn "%s: %d kills, %d runs brought to their end, each with the undisturbed bytes" command.Name hits ends

[<Tests>]
let tests =
    testList
        "Faults.Kill"
        [ test "collect, killed at random moments, ends with the bytes of an undisturbed run" { killAgainAndAgain collect }
          test "run, killed at random moments, ends with the bytes of an undisturbed run" {
              // The suite kills the shortest run that has models, calibration, tables and report; the long run, all of it.
              killAgainAndAgain (run (if kills > 10 then "all" else "statistical"))
          } ]
