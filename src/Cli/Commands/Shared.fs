/// What the commands share: where files lie, arguments that must be there, numbers as text.
module OptimalStopping.Cli.Commands.Shared

open System
open System.Globalization
open System.IO
open OptimalStopping.Runtime

/// A command line that Argu accepts but that lacks what the command needs: exit code 2.
exception UsageException of string

/// A file of this repository, found from the working folder or from where the program lies.
let repositoryFile (path: string) =
    let rec climb (folder: DirectoryInfo | null) =
        match folder with
        | null -> path
        | folder ->
            let here = Path.Combine(folder.FullName, path)
            if File.Exists here then here else climb folder.Parent
    if File.Exists path then path else climb (DirectoryInfo AppContext.BaseDirectory)

/// The cascade file that was named, or the embedded cascade's.
let cascadeFile =
    function
    | Some(path: string) -> path
    | None -> repositoryFile (Path.Combine("configs", "nano.yaml"))

/// The argument, which must be there. Argu 6.1.1 does not enforce Mandatory inside subcommands.
let required name =
    function
    | Some value -> value
    | None -> raise (UsageException $"expected {name}, got none")

/// The argument without a flag; Argu takes a misspelt flag for it.
let plain name =
    function
    | Some(value: string) when value.StartsWith "--" -> raise (UsageException $"unrecognized argument: '{value}'.")
    | value -> required name value

/// A number with so many digits after the point, the same in every culture.
let number (x: float) digits = x.ToString("F" + string digits, CultureInfo.InvariantCulture)
