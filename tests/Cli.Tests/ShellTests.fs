/// What a user meets in a shell: the Tab key, a narrow terminal, a pipe, NO_COLOR.
module Cli.Tests.ShellTests

open System
open System.Diagnostics
open System.IO
open Argu
open Expecto
open OptimalStopping.Cli
open OptimalStopping.Cli.Terminal

let private program = Syntax.read (ArgumentParser.Create<Arguments.ToolkitArguments>(programName = "toolkit", checkStructure = false))

/// Runs a program of the system and returns what it printed.
let private systemRun (name: string) (arguments: string list) : string =
    let info = ProcessStartInfo(name, arguments, RedirectStandardOutput = true, RedirectStandardError = true)
    use started = nonNull (Process.Start info)
    let output, error = started.StandardOutput.ReadToEndAsync(), started.StandardError.ReadToEndAsync()
    started.WaitForExit()
    Expect.equal (started.ExitCode, error.Result) (0, "") name
    output.Result

let private inFolder = Support.SampleRun.inFolder

/// What a real bash offers after each line of words, the last of which is being written.
let private completed (script: string) (lines: string list list) : string list list =
    let ask =
        String.Join(
            "\n",
            [ for words in lines do
                  let quoted = words |> List.map (fun word -> "'" + word + "'")
                  $"""COMP_WORDS=({String.Join(" ", quoted)}); COMP_CWORD={words.Length - 1}; _toolkit; echo "${{COMPREPLY[*]}}" """ ]
        )
    let output = systemRun "bash" [ "--norc"; "-c"; $"source '{script}'\n{ask}" ]
    [ for line in output.TrimEnd('\n').Split '\n' -> List.ofArray (line.Split(' ', StringSplitOptions.RemoveEmptyEntries)) ]

let private head = [| "model"; "what it does with a query"; "cost" |]
let private rows = [| [| "small"; "answers what it is sure of and hands on the rest"; "1.00" |]; [| "large"; "answers"; "10.00" |] |]
let private plain width : Table.Screen = { Width = width; Colour = false }

[<Tests>]
let tests =
    testList
        "Shell"
        [ testCase "bash completes every command and every flag that Argu knows, and values by their kind" (fun () ->
              inFolder (fun folder ->
                  let script = Path.Combine(folder, "toolkit.bash")
                  File.WriteAllText(script, Completions.script "bash" program + "\n")
                  Directory.CreateDirectory(Path.Combine(folder, "runs")) |> ignore
                  File.WriteAllText(Path.Combine(folder, "runs.jsonl"), "")
                  let start = Path.Combine(folder, "runs")
                  let lines =
                      [ [ "toolkit"; "" ]
                        [ "toolkit"; "ev" ]
                        [ "toolkit"; "help"; "dec" ]
                        [ "toolkit"; "run"; "--experiments"; "s" ]
                        [ "toolkit"; "evaluate"; "--traces"; start ]
                        [ "toolkit"; "evaluate"; "--out"; start ]
                        [ "toolkit"; "figure"; start ]
                        [ "toolkit"; "evaluate"; "--seed"; "" ]
                        [ "toolkit"; "completions"; "" ] ]
                      @ [ for command in program.Commands -> [ "toolkit"; command.Name; "--" ] ]
                  match completed script lines with
                  | all :: ev :: dec :: s :: files :: folders :: alone :: number :: shells :: flags ->
                      for command in program.Commands do
                          Expect.contains all command.Name "commands"
                      Expect.equal ev [ "evaluate" ] "a command by its beginning"
                      Expect.equal dec [ "decode" ] "a command as a value"
                      Expect.equal (List.sort s) [ "savings"; "speculative"; "statistical" ] "a choice"
                      Expect.equal (List.sort files) [ start; start + ".jsonl" ] "files and folders"
                      Expect.equal (folders, alone) ([ start ], [ start ]) "folders"
                      Expect.equal (number, shells) ([], [ "bash"; "zsh" ]) "a number; shells"
                      for command, offered in List.zip program.Commands flags do
                          for flag in command.Flags do
                              Expect.contains offered (List.head flag.Names) command.Name
                          Expect.equal
                              (List.length offered)
                              (command.Flags |> List.sumBy (fun f -> f.Names |> List.filter (fun n -> n.StartsWith "--") |> List.length))
                              command.Name
                  | other -> failtest $"expected a line for each question, got {other.Length}"))

          testCase "zsh's script names every command and flag, and zsh reads it where there is one" (fun () ->
              let text = Completions.script "zsh" program
              for command in program.Commands do
                  Expect.stringContains text $"\n        {command.Name}) _arguments" "command"
                  for flag in command.Flags do
                      for name in flag.Names do
                          Expect.stringContains text $"'{name}[" command.Name
              inFolder (fun folder ->
                  let zsh = [ "/bin/zsh"; "/usr/bin/zsh" ] |> List.tryFind File.Exists
                  match zsh with
                  | None -> skiptest "no zsh here"
                  | Some zsh ->
                      let script = Path.Combine(folder, "_toolkit")
                      File.WriteAllText(script, text + "\n")
                      Expect.equal
                          (systemRun zsh [ "-f"; "-c"; $"autoload -U compinit; compinit -D; source {script}; echo $_comps[toolkit]" ])
                          "_toolkit\n"
                          "bound"))

          testCase "a table wraps between words, down to one block for each row, and is whole in a pipe" (fun () ->
              let wide = Table.render (plain None) head rows
              Expect.equal (wide.Split('\n').Length) 3 "a line for each row"
              Expect.equal (wide.Split('\n')[2]) ("large  answers" + String(' ', 43) + "10.00") "aligned"
              for width in [ 60; 40; 30 ] do
                  let lines = (Table.render (plain (Some width)) head rows).Split '\n'
                  Expect.isGreaterThan lines.Length 3 $"wrapped at {width}"
                  for line in lines do
                      Expect.isLessThanOrEqual line.Length width line
              let words (text: string) = text.Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries) |> Array.sort
              Expect.equal (words (Table.render (plain (Some 40)) head rows)) (words wide) "nothing is cut"
              let blocks = Table.render (plain (Some 20)) head rows
              Expect.stringContains blocks "model                      small\n" "a block for each row"
              Expect.stringContains blocks "\n\nmodel                      large\n" "blocks are apart")

          testCase "a terminal of 60 columns, and NO_COLOR" (fun () ->
              if not (File.Exists "/usr/bin/script") then skiptest "no program 'script' here"
              let inTerminal environment =
                  let command = String.Join(" ", Toolkit.words [ "info" ] |> List.map (fun word -> $"'{word}'"))
                  systemRun "/usr/bin/script" [ "-qec"; $"stty cols 60; {environment} {command}"; "/dev/null" ]
              let colour, without = inTerminal "env -u NO_COLOR", inTerminal "NO_COLOR=1"
              Expect.stringContains colour "\u001b[1mmodel" "bold heads"
              Expect.isFalse (without.Contains "\u001b[1m") "no colour"
              let table = without.Split '\n' |> Array.map _.TrimEnd() |> Array.filter (fun line -> line.Contains "miniature-1")
              Expect.isNonEmpty table "rows"
              for line in table do
                  Expect.isLessThanOrEqual line.Length 60 line) ]
