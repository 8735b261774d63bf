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

/// The toolkit that lies beside the tests, with the tests' own list of dependencies, which holds all of its.
let start (processors: int) (arguments: string list) : Process =
    let file suffix = Path.Combine(AppContext.BaseDirectory, string ((nonNull (Assembly.GetEntryAssembly())).GetName().Name) + suffix)
    let info =
        ProcessStartInfo(dotnet, UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true)
    for argument in [ "exec"; "--runtimeconfig"; file ".runtimeconfig.json"; "--depsfile"; file ".deps.json"
                      Path.Combine(AppContext.BaseDirectory, "toolkit.dll") ] @ arguments do
        info.ArgumentList.Add argument
    if processors > 0 then info.Environment["DOTNET_PROCESSOR_COUNT"] <- string processors
    nonNull (Process.Start info)

let finish (started: Process) : Result =
    use started = started
    let output, error = started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()
    if not (started.WaitForExit 120_000) then
        started.Kill()
        failwith "the program did not end within two minutes"
    { Code = started.ExitCode; Out = output.Result; Error = error.Result }

let run (arguments: string list) : Result = finish (start 0 arguments)
