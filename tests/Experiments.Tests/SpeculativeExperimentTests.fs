module Experiments.Tests.SpeculativeExperimentTests

open Support
open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Decoding

/// Rows of a result file as maps from column to text.
let private rows folder name =
    let lines = File.ReadAllLines(Path.Combine(folder, name))
    let columns = lines[0].Split ','
    lines[1..] |> Array.map (fun line -> Map.ofArray (Array.zip columns (line.Split ',')))

let private quiet = Action<string, float>(fun _ _ -> ())

[<Tests>]
let tests =
    testList
        "SpeculativeExperiment"
        [ test "on the nano cascade: no token differs, counts add up, reuse costs less for the same answers" {
              use folder = new RandomCheckpoint.TemporaryFolder()
              let options = ExperimentOptions(SpeculativePrompts = 5, SpeculativeRounds = 2, SpeculativeQueries = 150)
              SpeculativeExperiment.Run(NanoModels.cascade (), options, folder.Path, quiet, CancellationToken.None) |> ignore
              DraftReuse.Run(NanoModels.cascade (), options, folder.Path, quiet, CancellationToken.None)
              let number column (row: Map<string, string>) = float row[column]
              let counts, times = rows folder.Path "speculative.csv", rows folder.Path "speculative_times.csv"
              Expect.equal (counts |> Array.map (fun r -> r["target"]) |> Array.distinct) [| "nano-2"; "nano-3"; "nano-4" |] "targets"
              for row in Array.append counts times do
                  Expect.equal row["different_tokens"] "0" $"{row}"
              for row in counts do
                  let chain = row["chain"]
                  Expect.equal (number "tokens" row / number "forwards" row) (number "tokens_per_forward" row) "ratio"
                  Expect.isTrue (number "accepted" row <= number "drafted" row) "accepted"
                  if not (chain.StartsWith "lookup") then
                      Expect.isLessThan
                          (abs (number "tokens_per_forward" row / number "formula_finite" row - 1.0))
                          0.25
                          $"near the formula: {row}"
              Expect.isTrue
                  (times |> Array.exists (fun r -> r["length"] = "adaptive") && times |> Array.exists (fun r -> r["length"] = "none"))
                  "ways"
              let adaptive = rows folder.Path "speculative_adaptive_times.csv"
              let timed = times |> Array.filter (fun r -> r["length"] = "adaptive") |> Array.map (fun r -> r["target"], r["chain"])
              Expect.equal (adaptive |> Array.map (fun r -> r["target"], r["chain"])) timed "every chain is compared"
              for row in adaptive do
                  let lengths = counts |> Array.filter (fun r -> r["chain"] = row["chain"]) |> Array.map (fun r -> r["length"])
                  for column in [ "best_even"; "best_odd"; "worst_even"; "worst_odd" ] do
                      Expect.contains lengths row[column] $"{column} is a length that was tried: {row}"
                  for column in [ "against_best"; "against_best_total"; "against_worst"; "twin" ] do
                      Expect.isGreaterThan (number column row) 0.0 $"{column}: {row}"
                      Expect.isLessThanOrEqual (number $"{column}_low" row) (number $"{column}_high" row) $"{column}: {row}"
              let plain, reused = rows folder.Path "speculative_reuse.csv" |> Array.partition (fun r -> r["reuse"] = "0")
              for a, b in Array.zip plain reused do
                  Expect.equal (a["lambda"], a["quality"]) (b["lambda"], b["quality"]) "the same answers"
                  Expect.isLessThanOrEqual (number "cost" b) (number "cost" a) "cost"
              Expect.isLessThan (reused |> Array.averageBy (number "cost")) (0.9 * (plain |> Array.averageBy (number "cost"))) "costs less"
              for row in rows folder.Path "speculative_features.csv" do
                  Expect.equal row["different_tokens"] "0" "verified answers"
          }
          test "forward costs rise with the tokens" {
              let models = NanoModels.models ()
              let costs = ForwardCosts.Measure(models[0], models[1], 6, rounds = 3)
              Expect.isGreaterThan costs.Draft 0.0 "above 0"
              Expect.equal costs.Verify.Length 7 "entries"
              Expect.isGreaterThan costs.Verify[0] 0.0 "above 0"
              Expect.equal (Array.sort costs.Verify) costs.Verify "rising"
              Expect.isTrue (0.0 < costs.Alone && costs.Alone <= costs.Verify[0]) "alone"
              let free = costs.WithoutDrafter
              Expect.equal (free.Begin, free.Draft, free.Verify[0]) (0.0, 0.0, costs.Alone) "without a drafter"
              Expect.floatClose
                  Accuracy.high
                  (free.Verify[6] - free.Verify[2])
                  (costs.Verify[6] - costs.Verify[2])
                  "more tokens cost the same"
          }
          test "traces have no models to run" {
              use folder = new RandomCheckpoint.TemporaryFolder()
              let request = RunRequest("speculative", "none.yaml", "none.jsonl", folder.File "run", false, ExperimentOptions())
              let e = Expect.throwsC (fun () -> ExperimentRun.Run(request, quiet, CancellationToken.None)) id
              Expect.equal e.Message "--experiments speculative: expected a cascade of models to run (--config), got --traces" "fault"
          } ]
