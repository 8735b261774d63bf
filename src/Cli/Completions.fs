/// `toolkit completions bash|zsh`: the script that makes the shell's Tab key know the commands, their flags and values.
module OptimalStopping.Cli.Completions

open System
open OptimalStopping.Cli.Syntax

/// Words that an argument may be completed with; None where only the user knows.
let private words (program: Program) (value: Value) : string list option =
    match value with
    | Choice words -> Some words
    | CommandName -> Some(program.Commands |> List.map _.Name)
    | _ -> None

let private flagNames (flags: Argument list) = flags |> List.collect _.Names

// ---- bash ----

/// The statement that completes a value.
let private bashValue program (value: Value) =
    match value, words program value with
    | _, Some words -> $"""_toolkit_words "{String.Join(' ', words)}" """
    | File, _ -> "_toolkit_files -f"
    | Folder, _ -> "_toolkit_files -d"
    | _ -> ":"

let private bash (program: Program) =
    let commands = String.Join(' ', (program.Commands |> List.map _.Name) @ flagNames program.Flags)
    [ "# Completions of toolkit for bash. Load them now and in every new shell with:"
      "#   toolkit completions bash > ~/.local/share/bash-completion/completions/toolkit"
      "# or, without the package bash-completion:  source <(toolkit completions bash)"
      ""
      "_toolkit_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$word\"); }"
      "_toolkit_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$word\"); }"
      ""
      "_toolkit() {"
      "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}"
      "    COMPREPLY=()"
      "    if [ \"$COMP_CWORD\" -eq 1 ]; then"
      $"        _toolkit_words \"{commands}\""
      "        return"
      "    fi"
      "    case \"$command $previous\" in"
      for command in program.Commands do
          for flag in command.Flags do
              match flag.Value with
              | Some value ->
                  let patterns = String.Join('|', flag.Names |> List.map (fun name -> $"\"{command.Name} {name}\""))
                  $"        {patterns}) {(bashValue program value).Trim()}; return ;;"
              | None -> ()
      "    esac"
      "    case \"$command\" in"
      for command in program.Commands do
          let flags = $"""_toolkit_words "{String.Join(' ', flagNames command.Flags)}" """.Trim()
          match command.Alone |> Option.bind _.Value with
          | Some value -> $"        {command.Name}) if [[ $word == -* ]]; then {flags}; else {(bashValue program value).Trim()}; fi ;;"
          | None -> $"        {command.Name}) {flags} ;;"
      "    esac"
      "}"
      "complete -F _toolkit toolkit" ]

// ---- zsh ----

/// Text inside single quotes and inside the square brackets or after the colon of an argument's specification.
let private zshText (text: string) =
    (text.Replace("\\", "\\\\").Replace("[", "\\[").Replace("]", "\\]").Replace(":", "\\:")).Replace("'", "'\\''")

let private zshValue program (value: Value) =
    let action =
        match value, words program value with
        | _, Some words -> $"""({String.Join(' ', words)})"""
        | File, _ -> "_files"
        | Folder, _ -> "_files -/"
        | _ -> " "
    let name =
        match value with
        | Choice _ -> "word"
        | value -> label value
    $":{name}:{action}"

let private zsh (program: Program) =
    let argument (flag: Argument) =
        let value = flag.Value |> Option.map (zshValue program) |> Option.defaultValue ""
        [ for name in flag.Names -> $"            '{name}[{zshText flag.Meaning}]{value}' \\" ]
    [ "#compdef toolkit"
      "# Completions of toolkit for zsh. Put them into a folder of $fpath under the name _toolkit:"
      "#   toolkit completions zsh > ~/.zsh/completions/_toolkit"
      ""
      "_toolkit() {"
      "    local -a commands"
      "    commands=("
      for command in program.Commands do
          $"        '{command.Name}:{zshText command.Meaning}'"
      "    )"
      "    if (( CURRENT == 2 )); then"
      "        _describe command commands"
      $"        compadd -- {String.Join(' ', flagNames program.Flags)}"
      "        return"
      "    fi"
      "    local command=$words[2]"
      "    shift words; (( CURRENT-- ))"
      "    case $command in"
      for command in program.Commands do
          $"        {command.Name}) _arguments \\"
          for flag in command.Flags do
              yield! argument flag
          match command.Alone |> Option.bind _.Value with
          | Some value -> $"            '1{zshValue program value}' ;;"
          | None -> "            && return ;;"
      "    esac"
      "}"
      "compdef _toolkit toolkit" ]

/// The script of a shell: bash or zsh.
let script (shell: string) (program: Program) : string = String.Join("\n", (if shell = "bash" then bash program else zsh program))
