/// Scripts of tests/Clients, run with node: clients that others wrote, unchanged.
module Support.Node

open System
open System.Diagnostics
open System.IO
open Expecto

let private clients = Path.Combine(Support.Repository.root, "tests", "Clients")

/// Runs a script of tests/Clients, where node is installed. Gives what it printed; the test fails where the script does, or
/// takes longer, and is skipped where the script says so.
let run (name: string) (arguments: string list) (limit: TimeSpan) : string =
    let info = ProcessStartInfo("node", RedirectStandardOutput = true, RedirectStandardError = true)
    for argument in Path.Combine(clients, name) :: arguments do
        info.ArgumentList.Add argument
    let node =
        try
            nonNull (Process.Start info)
        with :? ComponentModel.Win32Exception ->
            skiptest "node is not installed"
    use node = node
    let output, error = node.StandardOutput.ReadToEndAsync(), node.StandardError.ReadToEndAsync()
    if not (node.WaitForExit limit) then
        node.Kill true
        failtest $"{name} did not end within {limit}"
    if output.Result.StartsWith "SKIP" then skiptest (output.Result.Trim())
    Expect.equal node.ExitCode 0 $"{output.Result}{error.Result}"
    output.Result

/// The same for a script that needs the packages of that folder.
let script (name: string) (arguments: string list) : string =
    if not (Directory.Exists(Path.Combine(clients, "node_modules"))) then
        skiptest "run 'npm install --legacy-peer-deps' in tests/Clients to have this test"
    run name arguments (TimeSpan.FromMinutes 3.0)
