/// The suite's part of the fuzzing: every input that was once a finding, and a few thousand new ones for each reader.
/// The long run is a command of its own (docs/security.md).
module Fuzz.FuzzTests

open System
open System.IO
open System.Threading.Tasks
open Expecto
open Fuzz.Oracle
open Fuzz.Targets

let private count =
    match Environment.GetEnvironmentVariable "TOOLKIT_FUZZ_INPUTS" with
    | null
    | "" -> 2000L
    | text -> int64 text
let private seed = 1

let private regressions (target: Target) : string[] =
    let folder = Path.Combine(AppContext.BaseDirectory, "fuzz", "regressions", target.Name)
    if Directory.Exists folder then Directory.GetFiles folder |> Array.sort else [||]

let private judgeFile (target: Target) (file: string) : Verdict =
    let folder = Search.workFolder ()
    try
        let path = Path.Combine(folder, target.File)
        File.Copy(file, path)
        judge target.Read target.Native path (int (FileInfo file).Length)
    finally
        Directory.Delete(folder, true)

[<Tests>]
let tests =
    TestList(
        [ for target in all do
              testList
                  target.Name
                  [ for file in regressions target do
                        testCase $"regression {Path.GetFileName file}" (fun () ->
                            match judgeFile target file with
                            | Finding what -> failtest what
                            | Accepted
                            | Refused -> ())
                    testCase $"{count} inputs: accepted, or refused with the documented error in one line" (fun () ->
                        let mutable at = 0L
                        let work = Task.Run(fun () -> Search.run target seed 0L count 1 (fun number -> at <- number))
                        if not (work.Wait(TimeSpan.FromMinutes 4.0)) then failtest $"input {at} of seed {seed} does not end"
                        let tally = work.Result
                        for struct (number, what) in tally.Findings do
                            failtest $"seed {seed}, input {number}: {what}"
                        // A generator that only makes garbage, or never any, tests nothing.
                        Expect.isGreaterThan tally.Accepted (count / 100L) "accepted inputs"
                        Expect.isGreaterThan tally.Refused (count / 10L) "refused inputs") ] ],
        Normal
    )
