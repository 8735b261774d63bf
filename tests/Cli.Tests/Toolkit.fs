/// Runs the built program in a process of its own, as a user does.
module Cli.Tests.Toolkit

open System
open System.Diagnostics
open System.IO
open System.Reflection
open System.Runtime.InteropServices

type Result = { Code: int; Out: string; Error: string }

let private dotnet =
    let name = if OperatingSystem.IsWindows() then "dotnet.exe" else "dotnet"
    Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", name))

/// The words that start a program that lies beside the tests, with the tests' own list of dependencies, which holds all
/// of its.
let private wordsOf (program: string) (arguments: string list) : string list =
    let file suffix = Path.Combine(AppContext.BaseDirectory, string ((nonNull (Assembly.GetEntryAssembly())).GetName().Name) + suffix)
    [ dotnet; "exec"; "--runtimeconfig"; file ".runtimeconfig.json"; "--depsfile"; file ".deps.json"; program ] @ arguments

/// The words that start the toolkit.
let words (arguments: string list) : string list = wordsOf (Path.Combine(AppContext.BaseDirectory, "toolkit.dll")) arguments

let private startWords (environment: (string * string) list) (all: string list) : Process =
    let info =
        ProcessStartInfo(List.head all, List.tail all, UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true)
    for name, value in environment do
        info.Environment[name] <- value
    nonNull (Process.Start info)

/// Starts it with some environment variables set.
let startWith (environment: (string * string) list) (arguments: string list) : Process = startWords environment (words arguments)

/// Starts it, with so many processors where the number is not 0.
let start (processors: int) (arguments: string list) : Process =
    startWith [ if processors > 0 then "DOTNET_PROCESSOR_COUNT", string processors ] arguments

/// Starts it inside a shell script, which runs it as "$@".
let startIn (script: string) (arguments: string list) : Process = startWords [] ([ "bash"; "-c"; script; "bash" ] @ words arguments)

let finish (started: Process) : Result =
    use started = started
    let output, error = started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()
    if not (started.WaitForExit 600_000) then
        started.Kill()
        failwith "the program did not end within ten minutes"
    { Code = started.ExitCode; Out = output.Result; Error = error.Result }

/// Ends it without any chance to put things in order.
let kill (started: Process) =
    use started = started
    started.Kill() // SIGKILL
    started.WaitForExit()

let run (arguments: string list) : Result = finish (start 0 arguments)

/// Runs another program beside the tests.
let runProgram (environment: (string * string) list) (program: string) (arguments: string list) : Result =
    finish (startWords environment (wordsOf program arguments))
