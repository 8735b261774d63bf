module Experiments.Tests.ResultTableTests

open System
open System.Globalization
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open Support.TraceFiles

/// A table of each kind of column.
[<RunTable("t.csv")>]
type Row
    (
        name: string,
        count: int,
        x: float,
        [<Column(Unit = true, Optional = true)>] share: float,
        [<Column(Positive = true)>] size: float,
        flag: bool,
        [<Column(Optional = true)>] perhaps: Nullable<bool>,
        [<Column("cost_at_98pct", Unbounded = true)>] costAt98: float
    ) =
    member _.name = name
    member _.count = count
    member _.x = x
    member _.share = share
    member _.size = size
    member _.flag = flag
    member _.perhaps = perhaps
    member _.costAt98 = costAt98
    /// No column of the file, since no parameter is called so.
    member _.Sum = x + size

let private header = "name,count,x,share,size,flag,perhaps,cost_at_98pct"

let private cells (r: Row) = [ box r.name; r.count; r.x; r.share; r.size; r.flag; r.perhaps; r.costAt98 ]

let private read (text: string) =
    withFolder (fun folder ->
        File.WriteAllText(Path.Combine(folder, "t.csv"), text)
        ResultTable.Read<Row> folder)

/// The message of the fault, without the folder in front of the file's name.
let private fault (text: string) =
    try
        read text |> ignore
        failtest $"expected a fault, got none: {text}"
    with :? ToolkitException as e ->
        e.Message.Substring(e.Message.IndexOf "t.csv")

let private good = "a,1,2,0.5,3,1,0,4"

/// The good line with one cell replaced.
let private withCell index cell =
    let cells = good.Split ','
    cells[index] <- cell
    $"{header}\n{String.Join(',', cells)}\n"

[<Tests>]
let tests =
    testList
        "ResultTable"
        [ test "what is written is read back exactly, whatever the name" {
              let rows =
                  [| Row("x, \"y\"\nz", 0, 0.1, nan, 1e-7, true, Nullable(), infinity)
                     Row("plain", Int32.MaxValue, -1.0 / 3.0, 1.0, Double.Epsilon, false, Nullable true, -infinity)
                     Row("ä–✓", 12, Double.MaxValue, 0.0, 1e300, true, Nullable false, nan) |]
              withFolder (fun folder ->
                  ResultTable.Write(folder, rows)
                  Expect.equal
                      (ResultTable.Read<Row> folder |> Array.map cells |> Array.map (List.map string))
                      (rows |> Array.map cells |> Array.map (List.map string))
                      "cells"
                  Expect.equal (Directory.GetFiles folder).Length 1 "nothing beside it"
                  ResultTable.Write<Row>(folder, [||])
                  Expect.equal (File.ReadAllText(Path.Combine(folder, "t.csv"))) (header + "\n") "replaced"
                  Expect.isEmpty (ResultTable.Read<Row> folder) "no rows")
          }
          testProperty "any finite number and any name survive"
          <| fun (name: char[]) (x: float) ->
              let name = "n" + String(name |> Array.filter (fun c -> not (Char.IsSurrogate c))) + "n"
              let x = if Double.IsFinite x then x else 0.0
              let row = read (ResultTable.Text [| Row(name, 1, x, 0.5, 1.0, true, Nullable(), x) |]) |> Array.exactlyOne
              row.name = name && row.x = x && row.costAt98 = x
          test "not available is an empty cell, without bound a word, and flags are 0 and 1" {
              let text =
                  ResultTable.Text
                      [| Row("a", 1, nan, nan, 0.5, true, Nullable(), infinity)
                         Row("b", 2, infinity, 0.0, 0.5, false, Nullable false, nan) |]
              Expect.equal text (header + "\na,1,,,0.5,1,,inf\nb,2,,0,0.5,0,0,NaN\n") "text"
          }
          test "whatever the culture, points are decimal" {
              let culture = CultureInfo.CurrentCulture
              try
                  // Made by hand: a build without culture data knows no "de-DE".
                  let commas = CultureInfo.InvariantCulture.Clone() :?> CultureInfo
                  commas.NumberFormat.NumberDecimalSeparator <- ","
                  CultureInfo.CurrentCulture <- commas
                  let text = ResultTable.Text [| Row("a", 1, 0.5, 0.5, 0.5, true, Nullable(), 0.5) |]
                  Expect.equal text (header + "\na,1,0.5,0.5,0.5,1,,0.5\n") "written"
                  Expect.equal (read text |> Array.map _.x) [| 0.5 |] "read"
              finally
                  CultureInfo.CurrentCulture <- culture
          }
          test "columns are found by name, in any order, and others are left alone" {
              let row = read "x,extra,name,cost_at_98pct,count,size,share,perhaps,flag\n2,y,a,inf,1,3,,,1\n" |> Array.exactlyOne
              Expect.equal (row.name, row.count, row.x, row.size, row.flag) ("a", 1, 2.0, 3.0, true) "cells"
              Expect.isTrue (Double.IsNaN row.share && not row.perhaps.HasValue && Double.IsPositiveInfinity row.costAt98) "empty ones"
          }
          test "a byte order mark, CRLF, blank lines and a missing last newline do no harm" {
              let rows = read ("\uFEFF" + header + "\r\n" + good + "\r\n\r\n" + good)
              Expect.equal (rows |> Array.map _.x) [| 2.0; 2.0 |] "cells"
          }
          test "a file that is not there has no rows" { Expect.isEmpty (withFolder ResultTable.Read<Row>) "none" }
          test "faults name file, line, column, what was expected and what was got" {
              let renamed = header.Replace("count", "number")
              let cases =
                  [ withCell 2 "y", "t.csv:2: column 'x': expected a number, got 'y'"
                    withCell 2 "", "t.csv:2: column 'x': expected a number, got an empty cell"
                    withCell 2 "NaN", "t.csv:2: column 'x': expected a number, got 'NaN'"
                    withCell 2 "inf", "t.csv:2: column 'x': expected a number, got 'inf'"
                    withCell 2 "\"1,5\"", "t.csv:2: column 'x': expected a number, got '1,5'"
                    withCell 3 "1.2", "t.csv:2: column 'share': expected a number in [0, 1], got '1.2'"
                    withCell 4 "0", "t.csv:2: column 'size': expected a number above 0, got '0'"
                    withCell 1 "1.5", "t.csv:2: column 'count': expected a whole number, got '1.5'"
                    withCell 1 "-1", "t.csv:2: column 'count': expected a whole number, got '-1'"
                    withCell 1 "3000000000", "t.csv:2: column 'count': expected a whole number, got '3000000000'"
                    withCell 5 "2", "t.csv:2: column 'flag': expected 0 or 1, got '2'"
                    withCell 5 "", "t.csv:2: column 'flag': expected 0 or 1, got an empty cell"
                    withCell 6 "yes", "t.csv:2: column 'perhaps': expected 0 or 1, got 'yes'"
                    withCell 0 " ", "t.csv:2: column 'name': expected a name, got an empty cell"
                    withCell 7 "never", "t.csv:2: column 'cost_at_98pct': expected a number, got 'never'"
                    $"{header}\n\"a\nb\",1,2,0.5,3,1,0,4\n\na,1,z,0.5,3,1,0,4\n", "t.csv:5: column 'x': expected a number, got 'z'"
                    $"{header}\n{good}\n\"a\nb\",1,z,0.5,3,1,0,4\n", "t.csv:3: column 'x': expected a number, got 'z'"
                    $"{header}\na,1,2\n", "t.csv:2: column 'share': expected 8 cells in the line, got 3"
                    $"{header}\n{good},9\n", "t.csv:2: column 9: expected 8 cells in the line, got 9"
                    $"{renamed}\n{good}\n", $"t.csv:1: column 'count': expected in the header, got '{renamed}'"
                    $"{header},x\n{good},9\n", "t.csv:1: column 'x': expected once in the header, got twice"
                    $"{header}\n\"a,1,2,0.5,3,1,0,4\n", "t.csv:2: expected a closing quote, got the end of the file"
                    "", "t.csv:1: expected a header line, got an empty file" ]
              for text, message in cases do
                  Expect.equal (fault text) message text
          }
          test "rounding just outside [0, 1] is forgiven, an old column is named" {
              Expect.equal (read (withCell 3 "1.0000000001") |> Array.map _.share) [| 1.0 |] "clamped"
              withFolder (fun folder ->
                  File.WriteAllText(Path.Combine(folder, "stops.csv"), "price,stage,share\n1,1,1\n")
                  Expect.throwsT<ToolkitException> (fun () -> RunData.Load folder |> ignore) "lambda is missing")
          }
          test "every table of a run has a file of its own" {
              let files (attribute: Type) =
                  [ for row in typeof<RunData>.Assembly.GetTypes() do
                        for found in row.GetCustomAttributes(attribute, false) -> (found :?> ResultTableAttribute).File ]
              for attribute, least in [ typeof<RunTableAttribute>, 18; typeof<EvaluationTableAttribute>, 5 ] do
                  let files = files attribute
                  Expect.isGreaterThanOrEqual files.Length least attribute.Name
                  Expect.equal (List.distinct files) files attribute.Name
          } ]
