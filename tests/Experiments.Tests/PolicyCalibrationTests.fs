module Experiments.Tests.PolicyCalibrationTests

open Support
open System
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Theory.Policies

let private fault action =
    try
        action () |> ignore
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

let private population = lazy (TraceFiles.withLines (TraceFiles.cascade 4000 9) TraceReader.ReadTable)

/// A sample with replacement, as a table of its own: its distribution is the population, so the guarantee can be checked exactly.
let private sample (table: TraceTable) (count: int) (seed: int) =
    let random, data = Random seed, table.Cascade
    let rows = Array.init count (fun _ -> random.Next data.Queries)
    let pick (values: float[]) = rows |> Array.collect (fun q -> Array.sub values (q * data.Stages) data.Stages)
    TraceTable(table.Models, RecordedCascade.Create(count, data.Stages, pick data.Cost, pick data.Confidence, pick data.Quality))

let private means (policy: IStoppingPolicy) (data: RecordedCascade) =
    let outcome = Replay.run (policy, data, [| 0 .. data.Queries - 1 |])
    Array.average outcome.Cost, Array.average outcome.Quality

[<Tests>]
let tests =
    testList
        "PolicyCalibration"
        [ test "the guarantee is broken no more often than it says" {
              let data = population.Value.Cascade
              let loss, delta, runs = 0.05, 0.2, 60
              let results =
                  Array.Parallel.init runs (fun seed ->
                      let policy =
                          PolicyCalibration.Run(
                              sample population.Value 600 seed,
                              CalibrationOptions(loss, delta, Seed = seed, Family = PolicyRegistry.Recall)
                          )
                      let reference = Seq.findIndex ((=) policy.Guarantee.Reference) policy.Models
                      let cost, quality = means policy.Policy data
                      let fullCost, fullQuality = means (ThresholdCascade.Fixed(data.Stages, reference)) data
                      fullQuality - quality > loss, 1.0 - cost / fullCost)
              let broken = results |> Array.filter fst |> Array.length
              let limit = delta + 3.0 * sqrt (delta * (1.0 - delta) / float runs)
              Expect.isLessThanOrEqual (float broken / float runs) limit "broken"
              Expect.isGreaterThan (results |> Array.averageBy snd) 0.05 "and it saves"
          }
          test "what is measured is what the policy does on the queries of the test" {
              let table = population.Value
              let policy = PolicyCalibration.Run(table, CalibrationOptions(0.05, 0.05, Seed = 4, Family = PolicyRegistry.Recall))
              let split = EvaluationSplit.Make(table.Cascade.Queries, 0.5, 4)
              let own = Replay.run (policy.Policy, table.Cascade, split.Test)
              Expect.equal policy.Measured.Quality (Array.average own.Quality) "quality"
              Expect.equal policy.Measured.Cost (Array.average own.Cost) "cost"
              Expect.equal policy.Origin.FitQueries split.Train.Length "fitted on"
              Expect.equal policy.Guarantee.Queries split.Test.Length "tested on"
              Expect.isLessThan (policy.Measured.ReferenceQuality - policy.Measured.Quality) 0.05 "loss"
          }
          test "where nothing can be shown, the reference model answers" {
              let policy = PolicyCalibration.Run(sample population.Value 40 1, CalibrationOptions(0.001, 0.01))
              Expect.equal policy.Guarantee.Passed 0 "passed"
              Expect.isTrue (policy.Policy :? ThresholdCascade) "one model"
              Expect.equal policy.Measured.Saved 0.0 "saves nothing"
              Expect.isTrue (Double.IsNaN policy.Lambda) "no price"
          }
          test "the reference is the best model, also where it is not the last" {
              let random = Random 2
              let lines =
                  [| for q in 1..400 ->
                         TraceFiles.line
                             (string q)
                             [ for k, share in [ 0, 0.5; 1, 0.9; 2, 0.7 ] do
                                   let right = random.NextDouble() < share
                                   TraceFiles.stage $"m{k}" (float (k + 1)) (Some(if right then 0.9 else 0.2)) (if right then 1.0 else 0.0) ] |]
              let policy = PolicyCalibration.Run(TraceFiles.withLines lines TraceReader.ReadTable, CalibrationOptions(0.05, 0.1))
              Expect.equal policy.Guarantee.Reference "m1" "reference"
          }
          test "a budget: what is written keeps it on the population, and its file says so; what cannot is a fault" {
              let data = population.Value.Cascade
              let budget, risk = 8.0, 0.3
              let options seed =
                  CalibrationOptions(0.2, 0.1, Seed = seed, Family = PolicyRegistry.Recall, MaxCost = budget, CostRisk = risk)
              let runs = 40
              let over =
                  Array.Parallel.init runs (fun seed ->
                      try
                          let policy = PolicyCalibration.Run(sample population.Value 800 seed, options seed)
                          Expect.stringContains
                              policy.Guarantee.Statement
                              "a query costs more than 8 with a probability of at most 0.3"
                              "said"
                          let outcome = Replay.run (policy.Policy, data, [| 0 .. data.Queries - 1 |])
                          Some(outcome.Cost |> Array.averageBy (fun c -> if c > budget then 1.0 else 0.0))
                      with :? ToolkitException as e ->
                          Expect.stringContains e.Message "keeps max loss 0.2 and max cost 8 together" "said"
                          None)
                  |> Array.choose id
              Expect.isGreaterThan over.Length (runs / 4) "found"
              let broken = over |> Array.filter (fun share -> share > risk) |> Array.length
              Expect.isLessThanOrEqual (float broken) (0.1 * float runs + 3.0 * sqrt (0.09 * float runs)) "broken"
              Expect.stringContains
                  (fault (fun () ->
                      PolicyCalibration.Run(
                          population.Value,
                          CalibrationOptions(0.001, 0.05, Family = PolicyRegistry.Recall, MaxCost = 0.5, CostRisk = 0.01)
                      )))
                  "expected a policy that keeps max loss 0.001 and max cost 0.5 together"
                  "nothing costs so little"
          }
          test "options out of range and files that are not there" {
              for loss, delta in [ 0.0, 0.1; 1.0, 0.1; nan, 0.1; 0.1, 0.0; 0.1, 1.0 ] do
                  Expect.stringContains
                      (fault (fun () -> PolicyCalibration.Run(population.Value, CalibrationOptions(loss, delta))))
                      "expected a number strictly between 0 and 1"
                      $"{loss} {delta}"
              Expect.stringContains
                  (fault (fun () -> PolicyCalibration.Run("/none/traces.jsonl", CalibrationOptions(0.1, 0.1))))
                  "expected a trace file"
                  "missing"
          } ]
