/// The paper: its inequalities hold, its numbers all come from the generated file, its sources compile.
module Maintenance.Tests.PaperTests

open Support
open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Expecto
open OptimalStopping.Maintenance
open OptimalStopping.Maintenance.Paper
open OptimalStopping.Runtime


let private paper = Path.Combine(Support.Repository.root, "paper")

let private sources () =
    Directory.GetFiles(paper, "*.tex", SearchOption.AllDirectories)
    |> Array.filter (fun path -> not (path.Contains "generated"))
    |> Array.map (fun path -> Path.GetFileName path, File.ReadAllText path)

let private copyPaper (target: string) =
    for path in Directory.GetFiles(paper, "*", SearchOption.AllDirectories) do
        let copy = Path.Combine(target, Path.GetRelativePath(paper, path))
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName copy)) |> ignore
        File.Copy(path, copy)

let private inequalities =
    Inequalities.all ()
    |> Array.mapi (fun i check ->
        testCase $"{i + 1} {check.Theorem}: {check.Statement}" (fun () ->
            Expect.isTrue check.Holds $"largest left side over right side in {check.Trials} trials: {check.Worst}"))
    |> Array.toList

[<Tests>]
let tests =
    testList
        "Paper"
        [ testList "inequalities" inequalities

          test "An inequality that fails is seen" {
              let check = Trial.run "none" "x <= x^2" 100 1UL (fun random _ -> let x = 0.5 * random.NextDouble() in struct (x, x * x))
              Expect.isFalse check.Holds "x <= x^2 below 1"
              let check = Trial.run "none" "nan" 1 1UL (fun _ _ -> struct (nan, 1.0))
              Expect.isFalse check.Holds "not a number"
              let check = Trial.run "none" "1 <= 0" 1 1UL (fun _ _ -> struct (1.0, 0.0))
              Expect.isFalse check.Holds "a right side of 0"
          }

          test "Every number in the text is one that maintenance paper writes" {
              let defined =
                  Regex.Matches(File.ReadAllText(Path.Combine(paper, "generated", "numbers.tex")), @"\\defresult\{([^}]*)\}")
                  |> Seq.map (fun m -> m.Groups[1].Value)
                  |> Set.ofSeq
              for name, text in sources () do
                  for m in Regex.Matches(text, @"\\result\{([^}#]*)\}") do
                      Expect.isTrue
                          (defined.Contains m.Groups[1].Value)
                          $"{name} uses \\result{{{m.Groups[1].Value}}}, which generated/numbers.tex does not define"
          }

          test "The experiments' text has no typed decimals" {
              // Numbers of the setting (costs, levels) stand in the text; results, which have a point, may not.
              let text = File.ReadAllText(Path.Combine(paper, "sections", "experiments.tex"))
              let decimals =
                  Regex.Matches(Regex.Replace(text, @"\\(result|label|ref|cite|includegraphics)[^{]*\{[^}]*\}", ""), @"\d\.\d+")
                  |> Seq.map _.Value
                  |> Seq.toList
              Expect.isEmpty decimals "no result is typed"
          }

          test "Sections and theorems carry the numbers of the code" {
              let numbers =
                  [ for name, text in sources () do
                        if text.Contains @"\begin{theorem}" then name ]
              Expect.equal
                  (List.sort numbers)
                  [ for i in [ 1; 2; 4; 5; 7; 8; 9; 10; 11; 12; 13; 14; 15; 16; 17; 18 ] -> $"theorem-%02d{i}.tex" ]
                  "a section for each theorem"
              let main = File.ReadAllText(Path.Combine(paper, "main.tex"))
              let order = Regex.Matches(main, @"theorem-(\d\d)") |> Seq.map (fun m -> int m.Groups[1].Value) |> Seq.toList
              Expect.equal order [ 1..18 ] "in order, lemmas 3 and 6 among them"
          }

          test "maintenance paper writes what a run allows" {
              SampleRun.inFolder (fun dir ->
                  let target = Path.Combine(dir, "paper")
                  copyPaper target
                  let run = Path.Combine(dir, "run")
                  Directory.CreateDirectory run |> ignore
                  SampleRun.writeAll run
                  OptimalStopping.Reports.Figures.drawAll run |> ignore
                  let files = PaperFiles.write (run, [| run |], target) |> Array.map Path.GetFileName |> Set.ofArray
                  for name in
                      [ "numbers.tex"; "checks.tex"; "regret.tex"; "table1.tex"; "figure1a.pdf"; "figure1b.pdf"; "reliability.pdf" ] do
                      Expect.isTrue (files.Contains name) name
                  let numbers = File.ReadAllText(Path.Combine(target, "generated", "numbers.tex"))
                  Expect.stringContains numbers @"\defresult{tests-won}{1}" "one comparison of the sample run is won"
                  Expect.stringContains numbers @"\defresult{tests-lost}{1}" "one is lost")
          }

          test "A folder without a paper is a fault" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.writeAll dir
                  Expect.throwsT<ToolkitException> (fun () -> PaperFiles.write (dir, [||], dir) |> ignore) "no main.tex")
          }

          test "paper/build makes the PDF" {
              if not (Support.Repository.hasProgram "pdflatex" && Support.Repository.hasProgram "bibtex") then
                  skiptest "pdflatex or bibtex is not installed"
              SampleRun.inFolder (fun dir ->
                  copyPaper dir
                  let start =
                      ProcessStartInfo(
                          "bash",
                          [| Path.Combine(dir, "build") |],
                          RedirectStandardOutput = true,
                          RedirectStandardError = true
                      )
                  use child = nonNull (Process.Start start)
                  let output = child.StandardOutput.ReadToEndAsync()
                  let error = child.StandardError.ReadToEndAsync()
                  child.WaitForExit()
                  Expect.equal child.ExitCode 0 $"{output.Result}{error.Result}"
                  let pdf = File.ReadAllBytes(Path.Combine(dir, "main.pdf"))
                  Expect.equal (Text.Encoding.ASCII.GetString(pdf, 0, 4)) "%PDF" "a PDF")
          } ]
