/// The texts of `toolkit --help`, `toolkit help COMMAND` and `toolkit COMMAND --help`.
module OptimalStopping.Cli.Help

open System
open OptimalStopping.Cli.Syntax
open OptimalStopping.Cli.Terminal.Table

let private flagLines (screen: Screen) (arguments: Argument list) =
    [ for argument in arguments do
          wrap screen 2 (show argument)
          wrap screen 6 (argument.Meaning + if argument.Required then " Required." else "") ]

/// All commands, one a line.
let ofProgram (screen: Screen) (program: Program) : string =
    let width = program.Commands |> List.map _.Name.Length |> List.max
    String.Join(
        "\n",
        [ "usage: toolkit COMMAND [arguments]"
          ""
          "commands:"
          for command in program.Commands do
              // The meaning is broken as one paragraph beside the names.
              let lines = (wrap screen (width + 4) command.Meaning).Split '\n'
              "  " + command.Name.PadRight width + lines[0].Substring(width + 2)
              yield! Array.tail lines
          ""
          "flags:"
          yield! flagLines screen program.Flags
          ""
          wrap screen 0 "'toolkit help COMMAND' shows what a command takes; 'toolkit completions bash' makes the Tab key know it." ]
    )

/// One command and its arguments.
let ofCommand (screen: Screen) (command: Command) : string =
    let required = command.Flags |> List.filter _.Required |> List.map show
    let alone = command.Alone |> Option.map (fun a -> if a.Required then show a else $"[{show a}]") |> Option.toList
    let usage = String.Join(" ", [ "usage: toolkit"; command.Name ] @ alone @ required @ [ "[flags]" ])
    String.Join(
        "\n",
        [ wrap screen 0 usage
          ""
          wrap screen 0 command.Meaning
          ""
          match command.Alone with
          | Some argument ->
              yield! flagLines screen [ argument ]
              ""
          | None -> ()
          yield! flagLines screen command.Flags ]
    )
