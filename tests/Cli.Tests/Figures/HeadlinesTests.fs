module Cli.Tests.HeadlinesTests

open Expecto
open OptimalStopping.Cli.Plots

let private load (files: (string * string list) list) =
    SampleRun.inFolder (fun dir ->
        for name, lines in files do SampleRun.write dir name lines
        RunData.load dir)

let tests =
    testList "Headlines" [
        test "the numbers follow from the tables" {
            let data =
                load [
                    "figure1b.csv", SampleRun.tradeoff; "table1.csv", SampleRun.comparisons
                    "figure1a_slopes.csv", SampleRun.slopes; "reliability.csv", SampleRun.reliability ]
            let headlines = Headlines.all data
            // The best model alone has quality 0.9 at cost 10; 98 % is 0.882, which only the point at cost 6 keeps.
            Expect.equal (headlines |> Array.map _.Value) [| "60 %"; "0.0 points"; "1 of 3"; "0.0158" |] "values"
            Expect.stringContains headlines[0].Meaning "small" "the model is named"
            Expect.stringContains headlines[2].Detail "1 lost significantly, 1 undecided" "losses are told"
            Expect.stringContains headlines[3].Detail "bound 63 (Theorem 8)" "bound and theorem"
        }
        test "a goal that is not reached is said so" {
            let data = load [ "figure1b.csv", SampleRun.tradeoff |> List.filter (fun l -> not (l.StartsWith "jump-recall,0.01")) ]
            let headlines = Headlines.all data
            Expect.equal headlines[0].Value "not reached" "headline"
        }
        test "of two models of the same quality the cheaper one is the yardstick" {
            let data = load [ "figure1b.csv", SampleRun.tradeoff @ [ "fixed-3,,9,9,9,0.9,0.88,0.92,0" ] ]
            Expect.equal (Headlines.bestSingle data).Value.Cost 9.0 "cost"
        }
        test "no tables, no headlines; simulated regret is no headline" {
            Expect.isEmpty (Headlines.all (load [])) "nothing"
            let simulated = SampleRun.slopes |> List.map (fun l -> l.Replace("recorded", "simulated-x"))
            Expect.isEmpty (Headlines.all (load [ "figure1a_slopes.csv", simulated ])) "simulated"
        }
    ]
