module Reports.Tests.FiguresTests

open Support
open System
open System.IO
open System.Security.Cryptography
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Reports

let private names (paths: string[]) = paths |> Array.map (Path.GetFileName >> string) |> Array.sort

let private everything =
    [| for figure in [ "figure1a"; "figure1b"; "reliability"; "stopping"; "price" ] do
           for extension in [ "svg"; "pdf"; "png" ] do
               $"{figure}.{extension}"
       "report.html"
       "table1.tex" |]
    |> Array.sort

/// Names and digests: a difference is then told in one line.
let private read (paths: string[]) =
    paths |> Array.map (fun path -> Path.GetFileName path, Convert.ToHexString(SHA256.HashData(File.ReadAllBytes path)))

[<Tests>]
let tests =
    testList
        "Figures"
        [ test "a full run gives every file, twice the same bytes, and nothing else" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.writeAll dir
                  let inputs = Directory.GetFiles dir |> names
                  let first = Figures.drawAll dir
                  Expect.equal (names first) everything "files"
                  let before = read first
                  Expect.equal (read (Figures.drawAll dir)) before "bytes"
                  Expect.equal (Directory.GetFiles dir |> names) (Array.sort (Array.append inputs everything)) "nothing else")
          }
          test "what the speculative experiment measures is read, drawn and put into the report" {
              SampleRun.inFolder (fun dir ->
                  let models = Path.Combine(Support.Repository.root, "models", "nano")
                  let stage n = $"  - {{ name: nano-{n}, path: {models}/{n}, cost: {n} }}"
                  let sizes = [ "max_tokens: 96"; "calibration_queries: 100"; "test_queries: 100" ]
                  SampleRun.write dir "cascade.yaml" ([ "name: two"; "tasks: nano"; "stages:"; stage 1; stage 2 ] @ sizes)
                  use cascade = Cascade.Load(CascadeFile.Load(Path.Combine(dir, "cascade.yaml")))
                  let options = ExperimentOptions(SpeculativePrompts = 3, SpeculativeRounds = 2, Resamples = 200)
                  SpeculativeExperiment.Run(cascade, options, dir, (fun _ _ -> ()), CancellationToken.None) |> ignore
                  let data = RunData.Load dir
                  Expect.equal (data.Table<SpeculationAdaptive>() |> Array.map _.Chain) [| "nano-1>nano-2"; "lookup>nano-2" |] "chains"
                  let drawn = Figures.drawAll dir |> names
                  Expect.containsAll drawn [| "speculative.svg"; "report.html" |] "files"
                  let page = File.ReadAllText(Path.Combine(dir, "report.html"))
                  for a in (data.Table<SpeculationAdaptive>()) do
                      let shown = Numbers.decimals (3, a.AgainstBest)
                      Expect.stringContains
                          page
                          $"{shown} <small>[{Numbers.decimals (3, a.AgainstBestLow)}, {Numbers.decimals (3, a.AgainstBestHigh)}]"
                          a.Chain)
          }
          test "the folder's name is not in the files" {
              let draw () =
                  SampleRun.inFolder (fun dir ->
                      SampleRun.writeAll dir
                      read (Figures.drawAll dir))
              Expect.equal (draw ()) (draw ()) "bytes"
          }
          test "the trade-off experiment alone gives its own figure and the report" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write dir "figure1b.csv" SampleRun.tradeoff
                  Expect.equal (names (Figures.drawAll dir)) [| "figure1b.pdf"; "figure1b.png"; "figure1b.svg"; "report.html" |] "files")
          }
          test "a malformed file stops everything before anything is written" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.writeAll dir
                  SampleRun.write dir "figure1a.csv" [ SampleRun.regret[0]; "recorded,NEST,semi-bandit,0,20,1,1,1,," ]
                  let inputs = Directory.GetFiles dir |> names
                  Expect.throwsT<ToolkitException> (fun () -> Figures.drawAll dir |> ignore) "t = 0"
                  Expect.equal (Directory.GetFiles dir |> names) inputs "files")
          }
          test "a folder without results is a fault" {
              SampleRun.inFolder (fun dir ->
                  Expect.throwsT<ToolkitException> (fun () -> Figures.drawAll dir |> ignore) "empty"
                  SampleRun.write dir "figure1b.csv" [ SampleRun.tradeoffHeader ]
                  Expect.throwsT<ToolkitException> (fun () -> Figures.drawAll dir |> ignore) "header only")
          }
          test "what a logarithmic axis cannot show does not break the figure" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write
                      dir
                      "figure1a.csv"
                      [ SampleRun.regret[0]
                        "recorded,NEST,semi-bandit,1,20,-0.5,-1,0,,"
                        "recorded,NEST,semi-bandit,10,20,0,-1,1,3,"
                        "recorded,ucb,bandit,10,20,2,,,,"
                        "simulated-x,ucb,bandit,10,20,-1,-2,0,," ]
                  Expect.contains (names (Figures.drawAll dir)) "figure1a.svg" "files")
          }
          test "the binned calibration error is the weighted mean gap" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write dir "reliability.csv" SampleRun.reliability
                  let errors =
                      ReliabilityFigure.stages (RunData.Load dir)
                      |> Array.map (fun (struct (_, bins)) -> ReliabilityFigure.calibrationError bins)
                  // Stage 1: |0.8 - 0.7|; stage 2: 50/200 * |0.4 - 0.5|.
                  Expect.floatClose Accuracy.high errors[0] 0.1 "one bin"
                  Expect.floatClose Accuracy.high errors[1] 0.025 "two bins")
          } ]
