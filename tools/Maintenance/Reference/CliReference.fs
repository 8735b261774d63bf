/// docs/cli.md: the command line, described from the program's own arguments, so that the page cannot say otherwise.
module OptimalStopping.Maintenance.Reference.CliReference

open OptimalStopping.Cli.Syntax

let private cell (text: string) = text.Replace("|", "\\|").Replace("<", "&lt;").ReplaceLineEndings(" ").Trim()

let private row (argument: Argument) =
    let meaning = argument.Meaning + if argument.Required then " Required." else ""
    $"| `{cell (show argument)}` | {cell meaning} |"

let private section (command: Command) : string list =
    [ yield $"## `toolkit {command.Name}`"
      yield ""
      yield cell command.Meaning
      yield ""
      yield "| argument | meaning |"
      yield "|---|---|"
      for argument in Option.toList command.Alone @ command.Flags do
          if argument.Names <> [ "--help"; "-h" ] then yield row argument
      yield "" ]

/// The whole page.
let text (program: Program) : string =
    [ yield "# Command line"
      yield ""
      yield "Written by `dotnet run --project tools/Maintenance -- docs`; do not edit. `toolkit` stands for"
      yield "`dotnet run --project src/Cli -c Release --` in a clone, or for the installed tool."
      yield ""
      yield "`toolkit help` lists the commands; `toolkit help COMMAND`, `toolkit COMMAND --help` and `-h` show what one takes."
      yield "`toolkit completions bash` and `zsh` write a script that makes the Tab key know all of it. A misspelt command or flag"
      yield "gets the nearest one named. Exit codes: 0 done, 1 failed (one line on standard error says what and where), 2 bad usage,"
      yield "130 interrupted by Ctrl-C, 143 by SIGTERM."
      yield "Long work shows its progress on standard error when that is a terminal, and Ctrl-C ends it. Tables fit the terminal's"
      yield "width and are whole in a pipe; `NO_COLOR` turns bold heads off. Commands with `--json` print what"
      yield "[json.md](json.md) describes."
      yield ""
      yield "| argument | meaning |"
      yield "|---|---|"
      for flag in program.Flags do
          yield row flag
      yield ""
      for command in program.Commands do
          yield! section command ]
    |> String.concat "\n"
