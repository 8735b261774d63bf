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
          test "abstention: the answers given lack more than allowed no more often than the file says, loss and answers together" {
              for risk in [ 0.15; 0.25 ] do
                  let options = CalibrationOptions(0.1, 0.1, Seed = 3, Family = "threshold", MaxRisk = risk)
                  let check = GuaranteeCheck.Run(population.Value, options, 300, 1200)
                  Expect.isLessThanOrEqual check.BrokenShare (check.Limit 0.1) $"risk {risk}: {check}"
              let policy = PolicyCalibration.Run(population.Value, CalibrationOptions(0.1, 0.1, Family = "threshold", MaxRisk = 0.25))
              let abstention = nonNull policy.Abstention
              Expect.isTrue (abstention.Answered > 0.3 && abstention.Answered < 1.0) $"some are withheld: {abstention}"
              Expect.isLessThan abstention.Risk 0.25 "measured"
              let data = population.Value.Cascade
              let split = EvaluationSplit.Make(data.Queries, 0.5, 1)
              let outcome = Replay.run (policy.Policy, data, split.Test)
              let given =
                  split.Test
                  |> Array.mapi (fun i q ->
                      let k = outcome.Stage[i]
                      if abstention.Gives(k, data.Confidence[q * data.Stages + k]) then Some(1.0 - outcome.Quality[i]) else None)
                  |> Array.choose id
              Expect.equal (float given.Length / float split.Test.Length) abstention.Answered "the answers given"
              Expect.equal (Array.average given) abstention.Risk "what they lack"
              Expect.stringContains policy.Guarantee.Statement "the expected quality of the answers that it gives is at least 0.75" "said"
              Expect.stringContains
                  (fault (fun () ->
                      PolicyCalibration.Run(
                          sample population.Value 60 1,
                          CalibrationOptions(0.1, 0.1, Family = "threshold", MaxRisk = 0.001)
                      )))
                  "expected answers that could be shown to lack at most 0.001 in quality, got none on 30 queries"
                  "nothing is so sure"
          }
          test "groups: the loss is bounded in each, where the bound over all queries lets one pay for the other" {
              // In one query of four the cheap models are worth little, and no less sure.
              let random = Random 12
              let lines =
                  [| for q in 1..4000 do
                         let hard = q % 4 = 0
                         let stages =
                             [ for k in 0..2 do
                                   let chance = if hard && k < 2 then 0.45 else 0.85 + 0.03 * float k
                                   let right = random.NextDouble() < chance
                                   let confidence = Math.Round(0.5 + (if right then 0.3 else 0.0) + 0.2 * random.NextDouble(), 3)
                                   TraceFiles.stage $"m{k}" (Math.Pow(4.0, float k)) (Some confidence) (if right then 1.0 else 0.0) ]
                         $"""{{"id":"q{q}","tenant":"{if hard then "law" else "chat"}","stages":[{String.Join(",", stages)}]}}""" |]
              TraceFiles.withLines lines (fun path ->
                  let options = CalibrationOptions(0.08, 0.1, Family = "threshold", Groups = "tenant")
                  let table = PolicyCalibration.ReadTable(path, options)
                  let loss (policy: PolicyFile) name =
                      let groups = nonNull table.Groups
                      let rows = [| 0..3999 |] |> Array.filter (fun q -> groups.Names[groups.Of[q]] = name)
                      let own = Replay.run (policy.Policy, table.Cascade, rows)
                      table.Cascade.MeanQuality(rows, 2) - Array.average own.Quality
                  let together =
                      PolicyCalibration.Run(TraceTable(table.Models, table.Cascade), CalibrationOptions(0.08, 0.1, Family = "threshold"))
                  Expect.isGreaterThan (loss together "law") 0.08 "without groups one group pays"
                  let each = PolicyCalibration.Run(path, options)
                  Expect.equal [ for g in each.Groups -> g.Name, g.Covered ] [ "chat", true; "law", true ] "rows"
                  for g in each.Groups do
                      Expect.isLessThanOrEqual (loss each g.Name) 0.08 g.Name
                      Expect.isTrue (g.Loss <= g.HighLoss) "bound"
                  Expect.stringContains each.Guarantee.Statement "in each of 2 groups by 'tenant'" "said"
                  let check = GuaranteeCheck.Run(table, options, 300, 2000)
                  Expect.isLessThanOrEqual check.BrokenShare (check.Limit 0.1) $"{check}"
                  Expect.isGreaterThan check.MeanSaved 0.02 $"and it saves: {check}"
                  // A tenant with a few queries is named and left out; a field that is not there, or is no group, is a fault.
                  let few = lines |> Array.mapi (fun i line -> if i < 20 then line.Replace("chat", "new").Replace("law", "new") else line)
                  TraceFiles.withLines few (fun path ->
                      let notes = ResizeArray<string>()
                      let listener =
                          { new IProgress<string> with
                              member _.Report note = notes.Add note }
                      let policy = PolicyCalibration.Run(path, options, null, listener)
                      Expect.isFalse (Seq.head policy.Groups).Covered "too few"
                      Expect.equal policy.Guarantee.Groups 2 "the others"
                      Expect.exists notes (fun note -> note.StartsWith "the guarantee does not cover new: fewer than ") "named")
                  let refused column =
                      fault (fun () -> PolicyCalibration.Run(path, CalibrationOptions(0.08, 0.1, Family = "threshold", Groups = column)))
                  Expect.stringContains
                      (refused "colour")
                      "query 'q1': key 'colour': expected a text or number to group by, got none"
                      "no field"
                  Expect.stringContains
                      (fault (fun () ->
                          PolicyCalibration.Run(path, CalibrationOptions(0.0001, 0.1, Family = "threshold", Groups = "tenant"))))
                      "expected a group by 'tenant' with at least "
                      "no group is large enough")
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
