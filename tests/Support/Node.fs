/// Scripts of tests/Clients, run with node: clients that others wrote, unchanged.
module Support.Node

open System
open System.Diagnostics
open System.IO
open Expecto

/// Runs a script of tests/Clients with node, where node and the packages of that folder are installed. Gives what it printed.
let script (name: string) (arguments: string list) : string =
    let clients = Path.Combine(Support.Repository.root, "tests", "Clients")
    if not (Directory.Exists(Path.Combine(clients, "node_modules"))) then
        skiptest "run 'npm install' in tests/Clients to have this test"
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
    if not (node.WaitForExit 180_000) then
        node.Kill true
        failtest $"{name} did not end within three minutes"
    if output.Result.StartsWith "SKIP" then skiptest (output.Result.Trim())
    Expect.equal node.ExitCode 0 $"{output.Result}{error.Result}"
    output.Result
