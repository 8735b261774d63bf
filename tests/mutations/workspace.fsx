/// A private copy of the theory library and its tests, in which faults stand behind a switch: the copy is built once, and the
/// environment variable TOOLKIT_FAULT says which fault a run of the tests has. Loaded by run.fsx and sample.fsx.
module Workspace

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions

let root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, "..", ".."))
let mutable work = Path.Combine(Path.GetTempPath(), "toolkit-mutations")

let theory () =
    Path.Combine(work, "src", "Theory.FSharp")

let copy (folder: string) =
    for file in Directory.EnumerateFiles(Path.Combine(root, folder), "*", SearchOption.AllDirectories) do
        let relative = Path.GetRelativePath(root, file)

        if not (Regex.IsMatch(relative, @"[\\/](bin|obj)[\\/]")) then
            let target = Path.Combine(work, relative)
            Directory.CreateDirectory(Path.GetDirectoryName target) |> ignore
            File.Copy(file, target, true)

/// Runs a program; None when it does not end in time.
let run (seconds: int) (fault: int) (arguments: string list) =
    let info =
        ProcessStartInfo(
            "dotnet",
            arguments,
            WorkingDirectory = work,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    info.Environment["TOOLKIT_FAULT"] <- string fault
    use started = Process.Start info

    let output, error =
        started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()

    if started.WaitForExit(1000 * seconds) then
        Some(started.ExitCode, output.Result + error.Result)
    else
        started.Kill true
        None

/// Makes the copy anew, with `Mutations.active` and what else the faults need in a file that is compiled first.
let prepare (support: string) =
    if Directory.Exists work then
        Directory.Delete(work, true)

    for folder in
        [
            "src/Theory.FSharp"
            "tests/Theory.Tests"
            "tests/Support"
            "docs"
            "packaging"
        ] do
        copy folder
    // The solution file is how the tests find the repository.
    for file in
        [
            "Toolkit.sln"
            "Directory.Build.props"
            "Directory.Packages.props"
            "global.json"
        ] do
        File.Copy(Path.Combine(root, file), Path.Combine(work, file), true)

    File.WriteAllText(
        Path.Combine(theory (), "Mutations.fs"),
        "namespace OptimalStopping.Theory\n[<AutoOpen>]\nmodule Mutations =\n"
        + "    let mutable active = match System.Environment.GetEnvironmentVariable \"TOOLKIT_FAULT\" with null -> 0 | text -> int text\n"
        + support
    )

    // Of the shared test code the theory's tests use the first two files, and nothing that those would need another project for.
    File.WriteAllText(
        Path.Combine(work, "tests", "Support", "Support.fsproj"),
        """<Project Sdk="Microsoft.NET.Sdk">
  <ItemGroup><Compile Include="Repository.fs" /><Compile Include="Runner.fs" /></ItemGroup>
  <ItemGroup>
    <PackageReference Include="FSharp.Core" /><PackageReference Include="Expecto" />
    <PackageReference Include="Expecto.FsCheck" /><PackageReference Include="FsCheck" />
  </ItemGroup>
</Project>
"""
    )

    let project = Path.Combine(theory (), "Theory.FSharp.fsproj")

    File.WriteAllText(
        project,
        Regex("<ItemGroup>").Replace(File.ReadAllText project, "<ItemGroup><Compile Include=\"Mutations.fs\" />", 1)
    )

/// Builds the copy: None when it builds, else what the compiler said.
let build () =
    match run 1800 0 [ "build"; "tests/Theory.Tests"; "-c"; "Release"; "--nologo"; "-v"; "q" ] with
    | Some(0, _) -> None
    | Some(_, output) -> Some output
    | None -> Some "the build did not end"

let failing (output: string) =
    let plain = Regex.Replace(output, @"\x1b\[[0-9;?]*[A-Za-z]", "")

    [
        for m in Regex.Matches(plain, @"ERR\] (.+?) (failed|errored) in") do
            // A test of time says nothing of a fault: a busy machine fails it too.
            if not (m.Groups[1].Value.EndsWith "stay interactive") then
                m.Groups[1].Value
    ]

let tests fault (list: string option) =
    let filter =
        match list with
        | Some name -> [ "--filter-test-list"; name ]
        | None -> []

    match run 900 fault ([ "tests/Theory.Tests/bin/Release/net10.0/Theory.Tests.dll" ] @ filter) with
    | None -> [ "(the tests did not end)" ]
    | Some(0, _) -> []
    // 1: some failed, 2: some threw (or no test is in that list, and none is named), 3: both.
    | Some((1 | 2 | 3), output) -> failing output
    | Some _ -> [ "(the tests crashed)" ]

/// Fails unless every test passes without a fault.
let requirePassing () =
    match tests 0 None with
    | [] -> printfn "without a fault every test passes"
    | names ->
        eprintfn "without a fault these fail: %s" (String.Join("; ", names))
        exit 1
