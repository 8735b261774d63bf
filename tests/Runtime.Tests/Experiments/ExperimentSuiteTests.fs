module Runtime.Tests.Experiments.ExperimentSuiteTests

open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Experiments
open Runtime.Tests.TraceFiles
open Runtime.Tests.Experiments.SyntheticOutcomes

let private small = outcomes 3 120

let private files which seed =
    inFolder which (ExperimentOptions(Seed = seed, Resamples = 200, Horizon = 1000, Runs = 2)) small (fun folder ->
        Directory.GetFiles folder |> Array.sort |> Array.map (fun f -> nonNull (Path.GetFileName f), File.ReadAllText f))

let tests =
    testList "ExperimentSuite" [
        test "the same seed gives the same bytes, however the threads are scheduled" {
            let alone = files "all" 1
            let crowded = Array.Parallel.init 2 (fun _ -> files "all" 1)
            Expect.equal crowded[0] alone "again"
            Expect.equal crowded[1] alone "and beside another"
            let other = files "all" 2 |> Map.ofArray
            for name in [ "figure1a.csv"; "figure1b.csv"; "table1.csv" ] do
                Expect.notEqual other[name] (Map.ofArray alone).[name] $"{name}: another seed"
        }

        test "an experiment alone writes what it writes among all" {
            let all = files "all" 1 |> Map.ofArray
            let parts = [| "regret"; "tradeoff"; "statistical" |] |> Array.collect (fun which -> files which 1)
            Expect.equal (parts |> Array.map fst |> Array.sort) (all.Keys |> Seq.toArray) "each file by one experiment"
            for name, text in parts do
                Expect.equal text all[name] name
        }

        test "ladders of one and of seven stages run" {
            for stages in [ 1; 7 ] do
                inFolder "all" options (outcomes stages 120) (fun folder ->
                    Expect.equal (Directory.GetFiles(folder, "*.csv").Length) 8 $"{stages} stages")
        }

        test "unknown experiments are refused, and a cancelled run stops without half a file" {
            withFolder (fun folder ->
                Expect.throwsT<ToolkitException> (fun () ->
                    ExperimentSuite.Run("speed", small, options, folder, quiet, CancellationToken.None)) "name"
                use cancel = new CancellationTokenSource()
                let atRegret = Action<string, float>(fun step _ -> if step = "regret" then cancel.Cancel())
                Expect.throwsT<OperationCanceledException> (fun () ->
                    ExperimentSuite.Run("all", small, options, folder, atRegret, cancel.Token)) "cancelled"
                let left = Directory.GetFiles folder |> Array.map (fun f -> nonNull (Path.GetFileName f)) |> Array.sort
                Expect.equal left [| "figure1b.csv"; "headline.csv"; "stops.csv"; "table1.csv"; "thresholds.csv" |] "only what was done")
        }
    ]
