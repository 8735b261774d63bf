module Reports.Tests.HeadlinesTests

open Support
open Expecto
open OptimalStopping.Reports
open OptimalStopping.Experiments

let private load (files: (string * string list) list) =
    SampleRun.inFolder (fun dir ->
        for name, lines in files do
            SampleRun.write dir name lines
        RunData.Load dir)

[<Tests>]
let tests =
    testList
        "Headlines"
        [ test "the numbers follow from the tables, and each agrees with its detail" {
              let data =
                  load
                      [ "figure1b.csv", SampleRun.tradeoff
                        "headline.csv", SampleRun.headline
                        "table1.csv", SampleRun.comparisons
                        "figure1a_slopes.csv", SampleRun.slopes
                        "reliability.csv", SampleRun.reliability ]
              let headlines = Headlines.all data
              Expect.equal (headlines |> Array.map _.Value) [| "40.0 %"; "1 of 3"; "0.0158" |] "values"
              Expect.equal headlines[0].Meaning "of the cost of small keeps 95.6 % [94.0, 97.0] of its quality" "the largest model"
              // 4 is 40 % of 10, and 0.86 is 95.6 % of 0.9.
              Expect.stringContains headlines[0].Detail "quality 0.860 of 0.900 at cost 4.00 of 10.00" "the same point"
              Expect.stringContains headlines[1].Detail "1 lost significantly, 1 undecided" "losses are told"
              Expect.stringContains headlines[2].Detail "bound 63 (Theorem 8)" "bound and theorem"
          }
          test "no point is read off the test curve where the run chose none" {
              Expect.isEmpty (Headlines.all (load [ "figure1b.csv", SampleRun.tradeoff ])) "a curve alone"
          }
          test "the page says which rule gave which number, once under the cards" {
              let data = load [ "headline.csv", SampleRun.headline; "table1.csv", SampleRun.comparisons ]
              let shown = ReportSections.headlines data |> Giraffe.ViewEngine.RenderView.AsString.htmlNodes
              for part in
                  [ "Two rules"; "the headline (λ = 0.02: quality 0.860 at cost 4.00)"; "baselines (λ = 0.01: quality 0.900 at cost 6.00)" ] do
                  Expect.stringContains shown part "sentence"
          }
          test "no tables, no headlines; simulated regret is no headline" {
              Expect.isEmpty (Headlines.all (load [])) "nothing"
              let simulated = SampleRun.slopes |> List.map (fun l -> l.Replace("recorded", "simulated-x"))
              Expect.isEmpty (Headlines.all (load [ "figure1a_slopes.csv", simulated ])) "simulated"
          } ]
