namespace OptimalStopping.Reports

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text
open OptimalStopping.Runtime

/// One data line of a CSV file. Every reader names the file, the line and the column when the cell is not what the
/// contract of the file says, so that a damaged result file is found at once and never drawn as something else.
type CsvRow(file: string, line: int, columns: IReadOnlyDictionary<string, int>, cells: string[]) =

    let cell column = cells[columns[column]].Trim()

    let fault column expected (got: string) =
        let shown = if got = "" then "an empty cell" else $"'{got}'"
        raise (ToolkitException $"{file}:{line}: column '{column}': expected {expected}, got {shown}")

    let number column expected (accept: float -> bool) =
        let text = cell column
        match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value when Double.IsFinite value && accept value -> value
        | _ -> fault column expected text

    /// The cell's text; an empty cell is a fault.
    member _.Text(column: string) : string =
        match cell column with
        | "" -> fault column "a name" ""
        | text -> text

    /// The cell's text, which may be empty.
    member _.TextOrEmpty(column: string) : string = cell column

    /// A finite number.
    member _.Number(column: string) : float = number column "a number" (fun _ -> true)

    /// A finite number, or NaN where the cell is empty (not available).
    member this.NumberOrNaN(column: string) : float = if cell column = "" then nan else this.Number column

    /// A number above 0 (what a logarithmic axis can show).
    member _.Positive(column: string) : float = number column "a number above 0" (fun x -> x > 0.0)

    /// A number in [0, 1]: a share, a probability, a confidence or an accuracy. A mean or sum that rounding put up to
    /// 1e-9 outside is moved to the end of the interval.
    member _.Unit(column: string) : float =
        let value = number column "a number in [0, 1]" (fun x -> x >= -1e-9 && x <= 1.0 + 1e-9)
        min 1.0 (max 0.0 value)

    /// A number in [0, 1], or NaN where the cell is empty (say the accuracy of an empty bin).
    member this.UnitOrNaN(column: string) : float = if cell column = "" then nan else this.Unit column

    /// A whole number from 0 on.
    member _.Count(column: string) : int = int (number column "a whole number" (fun x -> x >= 0.0 && x <= 2147483647.0 && x = floor x))

    /// 1 is true and 0 is false.
    member _.Flag(column: string) : bool = number column "0 or 1" (fun x -> x = 0.0 || x = 1.0) = 1.0

/// Reads comma-separated files as RFC 4180 describes them: the first line is the header, cells may be quoted, and a
/// doubled quote inside a quoted cell is one quote.
module Csv =

    let private fault (file: string) (line: int) text = raise (ToolkitException $"{file}:{line}: {text}")

    /// Splits a text into records, each with the number of the line on which it starts. Blank lines are skipped.
    let split (file: string, text: string) : struct (int * string[])[] =
        let records = ResizeArray<struct (int * string[])>()
        let cells, cell = ResizeArray<string>(), StringBuilder()
        let mutable line, start, i, quoted = 1, 1, 0, false
        let endCell () =
            cells.Add(cell.ToString())
            cell.Clear() |> ignore
        let endRecord () =
            endCell ()
            if cells.Count > 1 || cells[0].Trim() <> "" then records.Add(struct (start, cells.ToArray()))
            cells.Clear()
        while i < text.Length do
            let c = text[i]
            if c = '\n' then line <- line + 1
            match c with
            | '"' when quoted && i + 1 < text.Length && text[i + 1] = '"' ->
                cell.Append '"' |> ignore
                i <- i + 1
            | '"' when quoted || cell.Length = 0 -> quoted <- not quoted
            | ',' when not quoted -> endCell ()
            | '\r' when not quoted -> ()
            | '\n' when not quoted ->
                endRecord ()
                start <- line
            | _ -> cell.Append c |> ignore
            i <- i + 1
        if quoted then fault file start "expected a closing quote, got the end of the file"
        if cells.Count > 0 || cell.Length > 0 then endRecord ()
        records.ToArray()

    /// The data rows of a file whose header must hold the named columns (in any order; others are ignored).
    /// A faulty file is a ToolkitException with file:line, column, what was expected and what was got.
    let read (path: string, required: string[]) : CsvRow[] =
        let records = split (path, File.ReadAllText path)
        if records.Length = 0 then fault path 1 "expected a header line, got an empty file"
        let struct (headerLine, header) = records[0]
        let columns = Dictionary<string, int>()
        for index in 0 .. header.Length - 1 do
            let name = header[index].Trim('\uFEFF', ' ')
            if not (columns.TryAdd(name, index)) then
                fault path headerLine $"column '{name}': expected once in the header, got twice"
        for column in required do
            if not (columns.ContainsKey column) then
                let got = String.Join(",", header)
                fault path headerLine $"column '{column}': expected in the header, got '{got}'"
        [| for struct (line, cells) in records[1..] do
               if cells.Length <> header.Length then
                   let column =
                       if cells.Length < header.Length then $"column '{header[cells.Length].Trim()}': " else $"column {header.Length + 1}: "
                   fault path line $"{column}expected {header.Length} cells in the line, got {cells.Length}"
               CsvRow(path, line, columns, cells) |]
