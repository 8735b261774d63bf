/// The tutorials run as written: each block marked ```bash is run in a copy of what a clone has, one after the other.
module Cli.Tests.TutorialTests

open Support
open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Expecto
open Support.TestHub

/// The blocks of a page that are to be run, in order.
let blocks (text: string) : string list =
    Regex.Matches(text, @"(?ms)^```bash\r?\n(.*?)^```") |> Seq.map (fun m -> m.Groups[1].Value) |> Seq.toList

let private bash = [ "/bin/bash"; "/usr/bin/bash" ] |> List.tryFind File.Exists

/// A folder that looks like a clone to commands that read models, configurations and documentation.
let private inClone (action: string -> unit) =
    SampleRun.inFolder (fun dir ->
        for name in [ "configs"; "models" ] do
            Directory.CreateSymbolicLink(Path.Combine(dir, name), Path.Combine(Support.Repository.root, name)) |> ignore
        action dir)

let private freePort () =
    use listener = new Net.Sockets.TcpListener(Net.IPAddress.Loopback, 0)
    listener.Start()
    string (listener.LocalEndpoint :?> Net.IPEndPoint).Port

/// Runs a page's blocks with some environment variables set.
let private runWith (environment: (string * string) list) (page: string) =
    match bash with
    | None -> skiptest "bash is not installed"
    | Some bash ->
        let text = File.ReadAllText(Path.Combine(Support.Repository.root, "docs", page))
        let commands = blocks text
        Expect.isNonEmpty commands $"{page} has blocks to run"
        inClone (fun dir ->
            // `toolkit` is the program beside the tests instead of `dotnet run`, which would build it anew.
            let name = string ((nonNull (Reflection.Assembly.GetEntryAssembly())).GetName().Name)
            let beside suffix = Path.Combine(AppContext.BaseDirectory, name + suffix)
            let program = Path.Combine(AppContext.BaseDirectory, "toolkit.dll")
            let bin = Directory.CreateDirectory(Path.Combine(dir, "bin")).FullName
            let command = Path.Combine(bin, "toolkit")
            let call =
                $"""exec dotnet exec --runtimeconfig '{beside ".runtimeconfig.json"}' --depsfile '{beside ".deps.json"}' '{program}' "$@" """
            File.WriteAllText(command, $"#!{bash}\n{call}\n")
            if not (OperatingSystem.IsWindows()) then
                File.SetUnixFileMode(command, UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute)
            let script = [ "set -euo pipefail"; $"PATH={bin}:$PATH"; yield! commands ]
            let path = Path.Combine(dir, "tutorial.sh")
            // Another program may have the tutorial's port.
            File.WriteAllText(path, String.Join("\n", script).Replace("8080", freePort ()))
            let start =
                ProcessStartInfo(bash, [| path |], WorkingDirectory = dir, RedirectStandardOutput = true, RedirectStandardError = true)
            for name, value in environment do
                start.Environment[name] <- value
            use child = nonNull (Process.Start start)
            let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
            if not (child.WaitForExit 240_000) then
                child.Kill true
                failtest $"{page} did not end within four minutes: {error.Result}"
            Expect.equal child.ExitCode 0 $"{page}: {output.Result}\n{error.Result}")

let private run = runWith []

/// The embedded cascade's models under the names of published ones, in a hub of the tests.
let private runWithHub (page: string) =
    let content (folder: string) =
        [ for file in Directory.GetFiles(Path.Combine(Support.Repository.root, "models", "miniature", folder)) do
              let name = nonNull (Path.GetFileName file)
              { Name = name; Bytes = File.ReadAllBytes file; Large = name.EndsWith ".safetensors" } ]
    let repositories = [ "Qwen/Qwen3-0.6B", content "1"; "Qwen/Qwen3-1.7B", content "2"; "Qwen/Qwen3-4B", content "3" ]
    withHub repositories (fun hub ->
        SampleRun.inFolder (fun cache ->
            let plain = [ "HF_HUB_CACHE", ""; "HF_TOKEN", ""; "HF_HUB_OFFLINE", "" ]
            runWith ([ "HF_ENDPOINT", string hub.Endpoint; "HF_HOME", cache ] @ plain) page))

/// Links of a page to files of the repository.
let private links (text: string) =
    Regex.Matches(text, @"\]\(([^)#:\s]+)(#[^)]*)?\)") |> Seq.map (fun m -> m.Groups[1].Value) |> Seq.distinct |> Seq.toList

[<Tests>]
let tests =
    testSequenced
    <| testList
        "Documentation"
        [ testSequenced (
              testList
                  "tutorials"
                  [ for page in [ "tutorial-researcher.md"; "tutorial-logs.md"; "tutorial-service.md" ] do
                        testCase page (fun () ->
                            if page = "tutorial-service.md" && not (Support.Repository.hasProgram "curl") then
                                skiptest "curl is not installed"
                            run page)
                    testCase "tutorial-qwen3.md" (fun () -> runWithHub "tutorial-qwen3.md") ]
          )

          test "Links of the documentation lead somewhere" {
              let folder = Path.Combine(Support.Repository.root, "docs")
              for file in Directory.GetFiles(folder, "*.md") do
                  for link in links (File.ReadAllText file) do
                      let target = Path.Combine(folder, link)
                      Expect.isTrue (File.Exists target || Directory.Exists target) $"{Path.GetFileName file} links to {link}"
          }

          test "Only blocks marked bash are run" {
              let page = "a\n```bash\necho 1\n```\n```text\necho 2\n```\n```bash\necho 3\necho 4\n```\n"
              Expect.equal (blocks page) [ "echo 1\n"; "echo 3\necho 4\n" ] "two blocks"
          } ]
