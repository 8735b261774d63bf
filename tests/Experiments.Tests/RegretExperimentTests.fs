module Experiments.Tests.RegretExperimentTests

open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Experiments.Tests.SmallCascades

let private small = outcomes 3 150

/// One run for the tests that only read it: curves, slopes, checks.
let private written =
    lazy
        (inFolder "regret" options small (fun folder ->
            rows folder "figure1a.csv", rows folder "figure1a_slopes.csv", rows folder "regret_checks.csv"))

let private key (row: System.Collections.Generic.IReadOnlyDictionary<string, string>) = row["instance"], row["learner"], row["feedback"]

/// The cascade with a stage taken out of some queries.
let private without stage (missing: int -> bool) (data: RecordedCascade) =
    let n = data.Stages
    let gap (values: float[]) = values |> Array.mapi (fun i v -> if i % n = stage && missing (i / n) then nan else v)
    RecordedCascade.Create(data.Queries, n, gap data.Cost, gap data.Confidence, gap data.Quality)

[<Tests>]
let tests =
    testList
        "RegretExperiment"
        [ test "every learner has a curve to the horizon on every instance, with a band around its mean" {
              let curves, slopes, _ = written.Value
              let groups = curves |> Array.groupBy key
              Expect.equal groups.Length 21 "seven learners on three instances"
              for who, curve in groups do
                  let t = curve |> Array.map (number "t")
                  Expect.equal t (t |> Array.distinct |> Array.sort) $"{who}: increasing"
                  Expect.equal (t[0], Array.last t) (100.0, 1000.0) $"{who}: from 100 to the horizon"
                  Expect.isTrue (t.Length >= 20) $"{who}: {t.Length} checkpoints"
                  for r in curve do
                      Expect.isTrue (number "lower" r <= number "mean" r && number "mean" r <= number "upper" r) $"{who}: band"
                  let slope = slopes |> Array.find (fun s -> key s = who)
                  Expect.equal slope["regret_final"] (Array.last curve).["mean"] $"{who}: final regret"
                  Expect.equal slope["bound_final"] (Array.last curve).["bound"] $"{who}: final bound"
              Expect.equal
                  (curves |> Array.map (fun r -> r["instance"]) |> Array.distinct)
                  [| "recorded"; "simulated-structured"; "simulated-aliased" |]
                  "instances"
          }

          test "the checks say what the curves show, and theorem and certificate hold" {
              let curves, _, checks = written.Value
              for r in checks do
                  let curve = curves |> Array.filter (fun c -> key c = key r)
                  if r["bound_holds"] <> "" then
                      let holds = curve |> Array.forall (fun c -> number "mean" c <= number "bound" c)
                      Expect.equal (r["bound_holds"] = "1") holds $"{key r}: as the curve"
                      Expect.isTrue holds $"{key r}: Theorem 4"
                  if r["certificate_holds"] <> "" then Expect.equal r["certificate_holds"] "1" $"{key r}: certificate"
              Expect.equal
                  (checks |> Array.filter (fun r -> r["bound_holds"] <> "") |> Array.length)
                  12
                  "NEST three ways and Hedge, three instances"
          }

          test "claims: one row per statement, each as its numbers say; the other sizes stand beside" {
              inFolder "regret" options small (fun folder ->
                  let claims, sizes = rows folder "regret_claims.csv", rows folder "regret_sizes.csv"
                  for r in claims do
                      let holds =
                          r["measured"] = ""
                          || (if r["relation"] = "<=" then
                                  number "measured" r <= number "limit" r
                              else
                                  number "measured" r >= number "limit" r)
                      Expect.equal (r["holds"] = "1") holds (r["claim"] + " " + r["instance"])
                      if r["claim"].Contains "bound" || r["claim"].Contains "certificates below" then
                          Expect.isTrue holds (r["claim"] + " " + r["instance"])
                  let shapes = sizes |> Array.map (fun r -> r["instance"], r["stages"]) |> Array.distinct |> Array.sort
                  Expect.equal
                      shapes
                      [| "recorded", "3"
                         "recorded-first-and-last", "2"
                         "simulated-aliased", "4"
                         "simulated-structured", "4"
                         "simulated-structured-2", "2"
                         "simulated-structured-8", "8"
                         "simulated-unstructured", "4" |]
                      "instances")
          }

          test "the table of regrets: every learner on every named instance" {
              let folder = System.IO.Directory.CreateTempSubdirectory("regret-table").FullName
              try
                  RegretTable.Run(ExperimentOptions(Horizon = 100, Runs = 5), folder, (fun _ -> ()), CancellationToken.None)
                  let table = rows folder "regret_table.csv"
                  Expect.equal table.Length (6 * 18) "six kinds of instances, eighteen learners"
                  for r in table do
                      Expect.isTrue (number "regret" r <= 1.4 * 100.0) (r["instance"] + " " + r["learner"] + ": at most B T")
              finally
                  System.IO.Directory.Delete(folder, true)
          }

          test "regret is to the policy class's best policy: none where stopping at once is best and free" {
              // All answers right and no price: every policy is worth the same, so nobody can regret anything.
              let right = cascade 3 60 1 |> withQuality (fun _ _ _ -> 1.0)
              let free = ExperimentOptions(Resamples = 200, Horizon = 1000, Runs = 2, RegretPrice = 0.0)
              inFolder "regret" free (outcomesOf right right) (fun folder ->
                  for r in rows folder "figure1a.csv" do
                      if r["instance"] = "recorded" then Expect.isTrue (abs (number "mean" r) < 1e-6) $"{key r}")
          }

          test "running every stage costs the given quality, and bins hold equal mass" {
              let struct (_, pool) = RecordedPool.Of(small, options)
              let environment = pool :> IEnvironment
              // Costs 1, 2, 4: all but the first stage cost 6/7 of the price of the whole cascade.
              Expect.floatClose Accuracy.high (Array.sum environment.ContinueCosts) (0.3 * 6.0 / 7.0) "price"
              Expect.equal pool.Count 300 "both parts"
              for k in 0..2 do
                  let mass = Array.init 300 (fun q -> pool[q].Bins[k]) |> Array.countBy id |> Array.sort
                  Expect.equal (mass |> Array.map fst) [| 0..9 |] "ten bins"
                  Expect.equal (mass |> Array.map snd) (Array.create 10 30) $"stage {k}: a tenth of the queries in each"
              for q in 0..299 do
                  let part, row =
                      if q < 150 then
                          (Support.SyntheticOutcomes.calibrationOf small), q
                      else
                          (Support.SyntheticOutcomes.testOf small), q - 150
                  Expect.equal pool[q].Qualities part.Quality[row * 3 .. row * 3 + 2] "a query keeps its own outcomes"
          }

          test "queries that lack a stage are left out, and the instance's name says so" {
              let gaps =
                  outcomesOf
                      (without 1 (fun q -> q % 3 = 0) (Support.SyntheticOutcomes.calibrationOf small))
                      (Support.SyntheticOutcomes.testOf small)
              let struct (name, pool) = RecordedPool.Of(gaps, options)
              Expect.equal name "250 of 300 queries with every stage" "name"
              Expect.equal pool.Count 250 "pool"
              let nothing = without 1 (fun _ -> true)
              Expect.throwsT<ToolkitException>
                  (fun () ->
                      RecordedPool.Of(
                          outcomesOf
                              (nothing (Support.SyntheticOutcomes.calibrationOf small))
                              (nothing (Support.SyntheticOutcomes.testOf small)),
                          options
                      )
                      |> ignore)
                  "none is left"
          }

          test "long cascades take a coarser policy class that still holds every fixed depth" {
              Expect.equal (PolicyClass.Size(RecordedPool.PolicyClassFor(4, 10))) 1331 "four stages: all thresholds"
              for stages in 1..13 do
                  let policyClass = RecordedPool.PolicyClassFor(stages, 10)
                  Expect.isTrue
                      (PolicyClass.Size policyClass <= RecordedPool.LargestPolicyClass)
                      $"{stages} stages: {PolicyClass.Size policyClass} policies"
                  if stages > 1 then
                      Expect.isTrue (policyClass.Rules |> Array.exists (Array.forall id)) "a rule that always stops"
                      Expect.isTrue (policyClass.Rules |> Array.exists (Array.forall not)) "a rule that never stops"
              Expect.throwsT<ToolkitException> (fun () -> RecordedPool.PolicyClassFor(14, 10) |> ignore) "more do not fit"
          }

          test "options that mean nothing are named" {
              for bad in [ ExperimentOptions(Horizon = 999); ExperimentOptions(Horizon = 1000, Runs = 1) ] do
                  Expect.throwsT<ToolkitException>
                      (fun () -> RegretExperiment.Run(small, bad, "", (fun _ -> ()), CancellationToken.None))
                      "before any work"
          } ]
