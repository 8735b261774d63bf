module Experiments.Tests.TradeoffExperimentTests

open System.Collections.Generic
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Theory.Policies
open Support.TraceFiles
open Experiments.Tests.SmallCascades

/// Reads what the experiment writes for the shared bench.
let private written read =
    withFolder (fun folder ->
        TradeoffExperiment.Run(bench.Value, options, folder)
        read folder)

let private name (row: IReadOnlyDictionary<string, string>) = row["policy"]

[<Tests>]
let tests =
    testList
        "TradeoffExperiment"
        [ test "every policy has its points, and intervals hold them" {
              written (fun folder ->
                  let points = rows folder "figure1b.csv"
                  let count policy = points |> Array.filter (fun r -> name r = policy) |> Array.length
                  for policy in [ PolicyRegistry.Default; "jump"; "chain"; "random" ] do
                      Expect.isTrue (count policy >= 12 && count policy <= 24) $"{policy}: {count policy} points"
                  // These keep the hull of their training points only, which few queries leave few corners.
                  for policy in [ "threshold"; "threshold-per-stage"; "pair-envelope" ] do
                      Expect.isTrue (count policy >= 3 && count policy <= 24) $"{policy}: {count policy} points"
                  for k in 1..4 do
                      Expect.equal (count $"fixed-{k}") 1 "one point for a single model"
                  for r in points do
                      for column in [ "cost"; "quality" ] do
                          let v, low, high = number column r, number $"{column}_low" r, number $"{column}_high" r
                          Expect.isTrue (low <= v + 1e-12 && v <= high + 1e-12) $"{name r}: {column} {v} in [{low}, {high}]")
          }

          test "single models and the tilted ends of random are means of the test record" {
              written (fun folder ->
                  let points = rows folder "figure1b.csv"
                  let test = (Support.SyntheticOutcomes.testOf bench.Value.Outcomes)
                  for k in 0..3 do
                      let r = points |> Array.find (fun r -> name r = $"fixed-{k + 1}")
                      let cost, quality = single test k
                      Expect.floatClose Accuracy.high (number "cost" r) cost "cost"
                      Expect.floatClose Accuracy.high (number "quality" r) quality "quality"
                  let random = points |> Array.filter (fun r -> name r = "random") |> Array.sortBy (number "cost")
                  let costs = Array.init 4 (single test >> fst)
                  Expect.floatClose Accuracy.medium (number "cost" random[0]) costs[0] "always the first"
                  Expect.floatClose Accuracy.medium (number "cost" (Array.last random)) (Array.sum costs) "the last pays for all")
          }

          test "no point of any policy beats the oracle at the oracle's price" {
              written (fun folder ->
                  let points = rows folder "figure1b.csv"
                  for o in points |> Array.filter (fun r -> name r = "oracle") do
                      let lambda = number "lambda" o
                      let utility r = number "quality" r - lambda * number "cost" r
                      for r in points do
                          Expect.isTrue (utility r <= utility o + 1e-9) $"{name r} above the oracle at {lambda}")
          }

          test "a threshold is where the executed policy starts to stop" {
              written (fun folder ->
                  let stops (policy: IStoppingPolicy) stage confidence =
                      let seen = Array.create 4 nan
                      seen[stage] <- confidence
                      policy.Decide(Observation(1u <<< stage, seen)).Stop
                  let points = bench.Value[PolicyRegistry.Default].Points
                  let thresholds = rows folder "thresholds.csv"
                  for r in thresholds do
                      let point = points |> Seq.find (fun p -> p.Parameter = number "lambda" r)
                      let policy, stage = nonNull point.Policy, int r["stage"] - 1
                      if r["threshold"] = "" then
                          Expect.isFalse (stops policy stage 1.0) "never stops"
                      else
                          let at = number "threshold" r
                          for above in [ at; (at + 1.0) / 2.0; 1.0 ] do
                              Expect.isTrue (stops policy stage (round (above * 1000.0) / 1000.0)) $"stops at {above}"
                          if at > 0.0 then Expect.isFalse (stops policy stage (at - 0.001)) $"goes on below {at}"
                  let inside =
                      thresholds
                      |> Array.filter (fun r -> r["threshold"] <> "" && number "threshold" r > 0.0 && number "threshold" r < 1.0)
                  Expect.isTrue (inside.Length > 5) "thresholds that are not at an end")
          } ]
