/// `maintenance paper DIR`: everything in the paper that a run decides.
module OptimalStopping.Maintenance.PaperFiles

open System.IO
open System.Text
open OptimalStopping.Runtime
open OptimalStopping.Reports
open OptimalStopping.Maintenance.Paper
open OptimalStopping.Experiments

/// The name of a recorded run: its trace file's name, else its folder's.
let private runName (dir: string) (data: RunData) =
    data.Settings
    |> Array.tryPick (fun (struct (key, value)) ->
        if key = "settings.traces" && value <> "" then Option.ofObj (Path.GetFileNameWithoutExtension value) else None)
    |> Option.defaultWith (fun () -> DirectoryInfo(dir).Name)

/// Writes FOLDER/generated: numbers.tex, the tables, and the figures of the run as PDF (copies of those in its folder, which
/// must have been drawn). `recorded` are folders of runs on recorded cascades, compared in one table; the first also has figures and
/// numbers of its own. The inequalities of the
/// proofs are tried anew; one that fails is a ToolkitException and nothing is written. Returns the files written.
let write (dir: string, recorded: string[], folder: string) : string[] =
    if not (File.Exists(Path.Combine(folder, "main.tex"))) then
        raise (ToolkitException $"{folder}: expected the paper's folder with main.tex, got none")
    let data = RunData.Load dir
    let others =
        recorded
        |> Array.map (fun folder ->
            let run = RunData.Load folder
            runName folder run, run)
    let checks = Inequalities.all ()
    for check in checks do
        if not check.Holds then
            raise (
                ToolkitException $"{check.Theorem}: expected left side <= right side in '{check.Statement}', got a ratio of {check.Worst}"
            )
    let generated = Path.Combine(folder, "generated")
    Directory.CreateDirectory generated |> ignore
    let text name (content: string) = Export.write (Path.Combine(generated, name), Encoding.UTF8.GetBytes content)
    let table name = Option.map (text name) >> Option.toArray
    let numbers =
        [| yield! TexNumbers.theory ()
           yield! TexNumbers.ofRun data
           yield! others |> Array.truncate 1 |> Array.collect (snd >> TexNumbers.ofRecorded)
           "checks", string checks.Length
           "checks-trials", TexNumbers.grouped (checks |> Array.sumBy (fun check -> float check.Trials)) |]
    [| text "numbers.tex" (TexNumbers.file numbers)
       text "checks.tex" (TexTables.checks checks)
       yield! table "models.tex" (TexTables.models data)
       yield! table "areas.tex" (TexTables.areas (Array.append [| "embedded", data |] others))
       yield! table "regret.tex" (TexTables.regret data)
       yield! table "table1.tex" (Table1.latex data)
       yield! table "speculation.tex" (TexTables.speculation data)
       let figure (from: string) (prefix: string) (name: string) =
           let path = Path.Combine(from, name)
           if File.Exists path then [| Export.write (Path.Combine(generated, prefix + name), File.ReadAllBytes path) |] else [||]
       for name in [ "figure1a.pdf"; "figure1b.pdf"; "reliability.pdf"; "speculative.pdf" ] do
           yield! figure dir "" name
       for folder in Array.truncate 1 recorded do
           yield! figure folder "recorded_" "figure1b.pdf" |]
