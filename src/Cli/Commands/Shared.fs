/// What the commands share: where files lie, arguments that must be there, numbers as text.
module OptimalStopping.Cli.Commands.Shared

open System
open System.Globalization
open System.IO
open System.Text.Encodings.Web
open System.Text.Json
open System.Threading
open System.Threading.Tasks
open OptimalStopping.Runtime

/// A command line that Argu accepts but that lacks what the command needs: exit code 2.
exception UsageException of string

/// Ctrl-C, or the end of a service, in the middle of work that can be gone on with; the text says how.
exception InterruptedException of string

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
    | None -> repositoryFile (Path.Combine("configs", "miniature.yaml"))

/// A number with so many digits after the point, the same in every culture.
let number (x: float) digits = x.ToString("F" + string digits, CultureInfo.InvariantCulture)

/// A cost with three significant digits, so that small ones do not read as nothing: 0.000200, 2.50, 4700.
let amount (x: float) =
    if x = 0.0 || not (Double.IsFinite x) then
        number x 0
    else
        number x (Math.Clamp(2 - int (Math.Floor(Math.Log10(abs x))), 0, 15))

/// A number for JSON, which knows neither infinity nor NaN.
let finite (x: float) = if Double.IsFinite x then Nullable x else Nullable()

let private readable = JsonSerializerOptions(WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

/// Prints a value as one JSON object.
let printJson (value: 'a) = printfn "%s" (JsonSerializer.Serialize(value, readable))

/// Does work that knows nothing of cancellation, and leaves it behind when the token is cancelled: the program ends then. Work that
/// writes files does not belong in it, or it would be left behind between two of them.
let abandonable (cancel: CancellationToken) (work: unit -> 'a) : 'a = Task.Run<'a>(work).WaitAsync(cancel).GetAwaiter().GetResult()
