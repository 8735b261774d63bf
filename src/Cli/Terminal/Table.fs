/// Tables and paragraphs on standard output: fitted to a terminal's width, plain and unbroken in a pipe or a file.
module OptimalStopping.Cli.Terminal.Table

open System
open System.IO
open Spectre.Console

/// Where a table goes: the columns that a line may take (None: as many as it needs) and whether heads may be bold.
type Screen = { Width: int option; Colour: bool }

/// The screen of standard output. NO_COLOR, whatever its value, turns colour off (no-color.org).
let screen () : Screen =
    if Console.IsOutputRedirected then
        { Width = None; Colour = false }
    else
        let colour = String.IsNullOrEmpty(Environment.GetEnvironmentVariable "NO_COLOR")
        // A terminal that tells no width gives 0.
        { Width = (if Console.WindowWidth > 0 then Some Console.WindowWidth else None); Colour = colour }

/// Wider than any line that is printed.
let private unbounded = 10_000

let private console (screen: Screen) (writer: TextWriter) =
    let settings =
        AnsiConsoleSettings(
            Ansi = (if screen.Colour then AnsiSupport.Yes else AnsiSupport.No),
            ColorSystem = (if screen.Colour then ColorSystemSupport.EightBit else ColorSystemSupport.NoColors),
            Interactive = InteractionSupport.No,
            Out = AnsiConsoleOutput writer
        )
    let console = AnsiConsole.Create settings
    console.Profile.Width <- defaultArg screen.Width unbounded
    console

/// Cells of numbers, and the words that stand for one, are aligned to the right.
let private isNumber (cell: string) =
    match cell with
    | ""
    | "always"
    | "never" -> true
    | _ -> Char.IsAsciiDigit cell[0] || "-<>[$".Contains cell[0] || cell.StartsWith "B T" || cell.StartsWith "never "

let private gap = 2

/// Widths of the columns that fit the screen: where a table is too wide, its widest column gives way, down to its longest
/// word. None where even that is too wide.
let private widths (screen: Screen) (head: string[]) (rows: string[][]) : int[] option =
    let widest measure = head |> Array.mapi (fun i title -> rows |> Array.fold (fun most row -> max most (measure row[i])) (measure title))
    let natural = widest String.length
    let least = widest (fun (cell: string) -> cell.Split ' ' |> Seq.map String.length |> Seq.max)
    let room = defaultArg screen.Width unbounded - gap * (head.Length - 1)
    let rec shrink (current: int[]) =
        if Array.sum current <= room then
            Some current
        else
            match [| 0 .. current.Length - 1 |] |> Array.filter (fun i -> current[i] > least[i]) with
            | [||] -> None
            | free ->
                let widest = free |> Array.maxBy (fun i -> current[i])
                shrink (current |> Array.mapi (fun i width -> if i = widest then width - 1 else width))
    shrink natural

let private columns (screen: Screen) (widths: int[]) (head: string[]) (rows: string[][]) : Table =
    let table = Table(Border = TableBorder.None, UseSafeBorder = false)
    head
    |> Array.iteri (fun i title ->
        let text = Markup.Escape title
        let column = TableColumn(if screen.Colour then $"[bold]{text}[/]" else text)
        column.Width <- widths[i]
        column.Padding <- Padding(0, 0, (if i = head.Length - 1 then 0 else gap), 0)
        if i > 0 && rows |> Array.forall (fun row -> isNumber row[i]) then column.Alignment <- Justify.Right
        table.AddColumn column |> ignore)
    for row in rows do
        table.AddRow(row |> Array.map Markup.Escape) |> ignore
    table

/// A head and rows of as many cells, as lines. The first column is aligned to the left, as are columns with words. A table
/// that no wrapping makes fit becomes one block for each row, a line for each cell.
let render (screen: Screen) (head: string[]) (rows: string[][]) : string =
    use writer = new StringWriter()
    match widths screen head rows with
    | Some widths -> (console screen writer).Write(columns screen widths head rows)
    | None ->
        let title = head |> Array.map String.length |> Array.max
        for row in rows do
            let bold (text: string) = if screen.Colour then $"\u001b[1m{text}\u001b[0m" else text
            Array.iter2 (fun (name: string) cell -> writer.WriteLine $"{bold (name.PadRight title)}  {cell}") head row
            writer.WriteLine()
    let lines = writer.ToString().ReplaceLineEndings("\n").TrimEnd('\n').Split '\n'
    String.Join("\n", lines |> Array.map _.TrimEnd())

/// Prints a head and rows of as many cells.
let print (head: string[]) (rows: string[][]) = Console.Out.WriteLine(render (screen ()) head rows)

/// A text broken at spaces into lines of at most the screen's width, each after so many spaces.
let wrap (screen: Screen) (indent: int) (text: string) : string =
    let margin = String(' ', indent)
    match screen.Width with
    | None -> margin + text
    | Some width ->
        let lines = ResizeArray [ margin ]
        for word in text.Split ' ' do
            let line = lines[lines.Count - 1]
            if line = margin then lines[lines.Count - 1] <- line + word
            elif line.Length + 1 + word.Length <= width then lines[lines.Count - 1] <- line + " " + word
            else lines.Add(margin + word)
        String.Join("\n", lines)
