/// What the fault tests share: commands on a small cascade of random models that each leave a folder, and what may be
/// in that folder after a fault.
module Cli.Tests.Faults.RandomRun

open Support
open System
open System.IO
open System.Security.Cryptography
open Expecto
open Cli.Tests

/// A command that writes into a folder, and how it goes on after a fault.
type Command = { Name: string; First: string -> string list; GoOn: string -> string list }

let recordsOf (folder: string) = Path.Combine(folder, "records.jsonl")

/// One cascade for all: two models, 2 x 300 queries, three chunks. It goes with the process.
let private cascade =
    lazy
        (let folder = Directory.CreateTempSubdirectory("faults-").FullName
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(folder, true))
         folder, RandomCascade.write folder 2 8 300)

let config () : string = snd cascade.Value

let collect: Command =
    let arguments folder = [ "collect"; "--config"; config (); "--out"; recordsOf folder ]
    { Name = "collect"; First = arguments; GoOn = arguments }

/// `toolkit run` of one experiment, or of all.
let run (experiments: string) : Command =
    let arguments folder = [ "run"; "--experiments"; experiments; "--config"; config (); "--horizon"; "1000"; "--out"; folder ]
    { Name = $"run {experiments}"; First = arguments; GoOn = fun folder -> arguments folder @ [ "--resume" ] }

/// Names and digests of everything a command left, but the lock, which stays.
let contents (folder: string) : (string * string) list =
    [ for file in Directory.GetFiles folder do
          let name = nonNull (Path.GetFileName file)
          if name <> ".lock" then name, Convert.ToHexString(SHA256.HashData(File.ReadAllBytes file)) ]
    |> List.sort

let private known = Collections.Concurrent.ConcurrentDictionary<string, Lazy<string>>()

/// A folder with what the undisturbed command leaves; made once for each command.
let undisturbed (command: Command) : string =
    let make () =
        let out = Directory.CreateDirectory(Path.Combine(fst cascade.Value, command.Name)).FullName
        let result = Toolkit.run (command.First out)
        Expect.equal (result.Code, result.Error) (0, "") $"{command.Name}, undisturbed"
        out
    known.GetOrAdd(command.Name, fun _ -> lazy (make ())).Value

/// Runs the action with a new empty folder, and removes it afterwards.
let inNewFolder (action: string -> unit) = SampleRun.inFolder action

/// What holds of a folder at any moment of a command: the records are a beginning of the undisturbed ones, and every
/// other file is the undisturbed one, whole; only a temporary file may be anything.
let expectNothingHalf (expected: string) (out: string) (place: string) =
    for file in Directory.GetFiles out do
        let name = nonNull (Path.GetFileName file)
        if name <> ".lock" && not (name.EndsWith ".part") then
            let bytes, whole = File.ReadAllBytes file, File.ReadAllBytes(Path.Combine(expected, name))
            let length = if name = "records.jsonl" then min bytes.Length whole.Length else whole.Length
            Expect.isTrue (bytes.AsSpan().SequenceEqual(whole.AsSpan(0, length))) $"{place}: {name} is not the undisturbed one"

/// The result of a command that must have failed with one line, which is returned.
let failureWith (code: int) (result: Toolkit.Result) : string =
    Expect.equal result.Code code $"exit code; standard error: {result.Error}"
    Expect.stringStarts result.Error "toolkit: " "one line of the toolkit's"
    Expect.equal (result.Error.TrimEnd().Split('\n').Length) 1 $"one line, got: {result.Error}"
    result.Error.TrimEnd()

let failure (result: Toolkit.Result) : string = failureWith 1 result

/// Runs the command again and expects what an undisturbed one leaves.
let expectGoesOn (command: Command) (expected: string) (out: string) =
    let result = Toolkit.run (command.GoOn out)
    Expect.equal (result.Code, result.Error) (0, "") $"{command.Name}, gone on with"
    Expect.equal (contents out) (contents expected) $"{command.Name}, gone on with"

/// Waits until the condition holds or the process has ended.
let waitUntil (running: Diagnostics.Process) (condition: unit -> bool) =
    let started = Diagnostics.Stopwatch.StartNew()
    while not (running.HasExited || condition ()) && started.Elapsed.TotalSeconds < 60.0 do
        Threading.Thread.Sleep 2

/// True when the records file holds at least one record.
let hasRecords (out: string) () = File.Exists(recordsOf out) && FileInfo(recordsOf out).Length > 0L

/// Sends a signal by name (INT, TERM, STOP, CONT).
let signal (name: string) (running: Diagnostics.Process) =
    use kill = Diagnostics.Process.Start("bash", [ "-c"; $"kill -{name} {running.Id}" ])
    kill.WaitForExit()
