/// Turns the result files of a run folder into figures, a LaTeX table and a report.
module OptimalStopping.Reports.Figures

open System.IO
open System.Text
open OptimalStopping.Runtime
open OptimalStopping.Reports

/// Reads the CSV files and the manifest of a run folder and writes what they allow beside them: figure1a, figure1b,
/// reliability, speculative, stopping and price (each as svg, pdf and png), table1.tex and report.html. Parts whose CSV is
/// missing are left out.
/// Returns the paths of the files written. The same inputs give the same bytes.
/// A missing folder, a folder without any result file or a malformed file is a ToolkitException.
let drawAll (dir: string) : string[] =
    let data = RunData.load dir
    if RunData.isEmpty data then
        let expected = "result files (figure1b.csv, figure1a.csv, table1.csv, ...)"
        raise (ToolkitException $"{dir}: expected {expected}, got none with a data line")
    let figure name (drawing: Drawing option) = drawing |> Option.map (fun d -> Export.writeAll (dir, name, d)) |> Option.defaultValue [||]
    let text name (content: string) = Export.write (Path.Combine(dir, name), Encoding.UTF8.GetBytes content)
    [| yield! figure "figure1a" (Figure1a.drawing data)
       yield! figure "figure1b" (Figure1b.drawing data)
       yield! figure "reliability" (ReliabilityFigure.drawing data)
       yield! figure "speculative" (SpeculativeFigure.drawing data)
       yield! figure "stopping" (ConceptFigures.stopping data)
       yield! figure "price" (ConceptFigures.price data)
       yield! Table1.latex data |> Option.map (text "table1.tex") |> Option.toArray
       text "report.html" (Report.html data) |]
