module Reports.Tests.CsvTests

open Support
open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Reports

let private read (text: string) (columns: string) =
    SampleRun.inFolder (fun dir ->
        let path = Path.Combine(dir, "t.csv")
        File.WriteAllText(path, text)
        Csv.read (path, columns.Split ','))

/// The message of the fault, without the folder in front of the file's name.
let private fault (text: string) (columns: string) (convert: CsvRow -> unit) =
    try
        read text columns |> Array.iter convert
        failtest "expected a fault, got none"
    with :? ToolkitException as e ->
        e.Message.Substring(e.Message.IndexOf "t.csv")

let private quote (cell: string) = "\"" + cell.Replace("\"", "\"\"") + "\""

[<Tests>]
let tests =
    testList
        "Csv"
        [ test "columns are found by name, in any order, and others are ignored" {
              let rows = read "b,extra,a\n2,x,1\n4,y,3\n" "a,b"
              Expect.equal (rows |> Array.map (fun r -> r.Number "a", r.Number "b")) [| 1.0, 2.0; 3.0, 4.0 |] "cells"
          }
          test "a byte order mark, CRLF, blank lines and a missing last newline do no harm" {
              let rows = read "\uFEFFa,b\r\n1,2\r\n\r\n3,4" "a,b"
              Expect.equal (rows |> Array.map (fun r -> r.Number "a" + r.Number "b")) [| 3.0; 7.0 |] "cells"
          }
          test "a quoted cell keeps commas, quotes and line breaks, and lines are still counted" {
              let rows = read "a,b\n\"x, \"\"y\"\"\nz\",1\nplain,no\n" "a,b"
              Expect.equal (rows[0].Text "a") "x, \"y\"\nz" "quoted"
              let message = fault "a,b\n\"x\ny\",1\nplain,no\n" "a,b" (fun r -> r.Number "b" |> ignore)
              Expect.stringStarts message "t.csv:4: column 'b'" "line of the fault"
          }
          testProperty "what was quoted is read back"
          <| fun (rest: char[][]) ->
              // A lone blank cell would be a blank line, which is skipped.
              let cells =
                  [| "x"
                     for characters in rest do
                         String characters |]
              let text = String.Join(",", Array.map quote cells)
              let records = Csv.split ("t", text)
              let struct (line, got) = records[0]
              records.Length = 1 && line = 1 && got = cells
          test "faults name file, line, column, what was expected and what was got" {
              let number (r: CsvRow) = r.Number "a" |> ignore
              let cases =
                  [ "a,b\n1,2\nx,2\n", number, "t.csv:3: column 'a': expected a number, got 'x'"
                    "a,b\n,2\n", number, "t.csv:2: column 'a': expected a number, got an empty cell"
                    "a,b\nNaN,2\n", number, "t.csv:2: column 'a': expected a number, got 'NaN'"
                    "a,b\n\"1,5\",2\n", number, "t.csv:2: column 'a': expected a number, got '1,5'"
                    "a,b\n1.2,2\n", (fun r -> r.Unit "a" |> ignore), "t.csv:2: column 'a': expected a number in [0, 1], got '1.2'"
                    "a,b\n0,2\n", (fun r -> r.Positive "a" |> ignore), "t.csv:2: column 'a': expected a number above 0, got '0'"
                    "a,b\n1.5,2\n", (fun r -> r.Count "a" |> ignore), "t.csv:2: column 'a': expected a whole number, got '1.5'"
                    "a,b\n2,2\n", (fun r -> r.Flag "a" |> ignore), "t.csv:2: column 'a': expected 0 or 1, got '2'"
                    "a,b\n ,2\n", (fun r -> r.Text "a" |> ignore), "t.csv:2: column 'a': expected a name, got an empty cell"
                    "a,b\n1\n", number, "t.csv:2: column 'b': expected 2 cells in the line, got 1"
                    "a,b\n1,2,3\n", number, "t.csv:2: column 3: expected 2 cells in the line, got 3"
                    "a,c\n1,2\n", number, "t.csv:1: column 'b': expected in the header, got 'a,c'"
                    "a,b,a\n1,2,3\n", number, "t.csv:1: column 'a': expected once in the header, got twice"
                    "a,b\n\"1,2\n", number, "t.csv:2: expected a closing quote, got the end of the file"
                    "", number, "t.csv:1: expected a header line, got an empty file" ]
              for text, convert, message in cases do
                  Expect.equal (fault text "a,b" convert) message text
          }
          test "an empty cell is not available, and rounding just outside [0, 1] is forgiven" {
              let row = (read "a,b\n,1.0000000001\n" "a,b")[0]
              Expect.isTrue (Double.IsNaN(row.NumberOrNaN "a") && Double.IsNaN(row.UnitOrNaN "a")) "NaN"
              Expect.equal (row.Unit "b") 1.0 "clamped"
          } ]
