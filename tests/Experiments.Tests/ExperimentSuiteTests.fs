module Experiments.Tests.ExperimentSuiteTests

open System
open System.Globalization
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Theory.Policies
open Support.SyntheticOutcomes
open Support.TraceFiles

let private headers =
    [ "figure1a.csv", "instance,learner,feedback,t,seeds,mean,lower,upper,bound,certificate"
      "figure1a_slopes.csv", "instance,learner,feedback,theorem,slope,slope_low,slope_high,regret_final,bound_final,t_final"
      "figure1b.csv", "policy,lambda,cost,cost_low,cost_high,quality,quality_low,quality_high,pareto"
      "headline.csv", "metric,value,low,high"
      "regret_checks.csv", "instance,learner,feedback,bound_holds,certificate_holds,certificate_ratio"
      "regret_claims.csv", "claim,instance,measured,relation,limit,holds"
      "regret_sizes.csv",
      "instance,stages,bins,policies,learner,feedback,seeds,t,regret,bound,realised,certificate,slope_early,slope_late,regret_to_optimum"
      "stops.csv", "lambda,stage,share"
      "table1.csv",
      "baseline,lambda,pairs,utility_default,utility_baseline,difference,ci_low,ci_high,p_permutation,p_holm,p_bh,p_wilcoxon,p_t,"
      + "d_z,g_z,p_floor,paired_delta,paired_delta_low,paired_delta_high,cliff_delta,cliff_delta_low,cliff_delta_high,d_z_low,d_z_high,quality_default,quality_baseline,cost_default,cost_baseline"
      "thresholds.csv", "lambda,stage,threshold" ]

let private files (folder: string) = [ for f in Directory.GetFiles folder -> nonNull (Path.GetFileName f), File.ReadAllText f ] |> List.sort

let private number (text: string) = Double.Parse(text, CultureInfo.InvariantCulture)

/// One run of everything, read by all tests below.
let private everything =
    lazy
        (withFolder (fun folder ->
            run "all" folder
            files folder, Map.ofList [ for name, _ in headers -> name, snd (table folder name) ]))

let private rows name = (snd everything.Value)[name]

let private policies =
    [ PolicyRegistry.Default
      PolicyRegistry.Recall
      "jump"
      "chain"
      "pair-envelope"
      "threshold-per-stage"
      "threshold"
      "random"
      "fixed-1"
      "fixed-2"
      "fixed-3"
      "oracle" ]

let private headline metric = rows "headline.csv" |> Array.find (fun r -> r[0] = metric)

[<Tests>]
let tests =
    testList
        "ExperimentSuite"
        [ test "all experiments write their files, with their headers, and no others" {
              Expect.equal [ for name, text in fst everything.Value -> name, (text.Split '\n')[0] ] headers "files"
          }
          test "the same bytes again; each experiment alone writes its part of them" {
              let whole = fst everything.Value
              let alone which expected =
                  withFolder (fun folder ->
                      run which folder
                      Expect.equal (files folder) (whole |> List.filter (fun (name, _) -> List.contains name expected)) which)
              alone "tradeoff" [ "figure1b.csv"; "headline.csv"; "stops.csv"; "thresholds.csv" ]
              alone "statistical" [ "table1.csv" ]
              alone "regret" [ "figure1a.csv"; "figure1a_slopes.csv"; "regret_checks.csv"; "regret_claims.csv"; "regret_sizes.csv" ]
          }
          test "figure 1b: every policy, intervals around estimates, the front recomputed" {
              let points = rows "figure1b.csv"
              Expect.equal (points |> Array.map (fun r -> r[0]) |> Array.distinct |> Set) (Set policies) "policies"
              let own = points |> Array.filter (fun r -> r[0] <> "oracle")
              for r in points do
                  let cost, quality = number r[2], number r[5]
                  Expect.isTrue (number r[3] <= cost && cost <= number r[4]) "cost interval"
                  Expect.isTrue (number r[6] <= quality && quality <= number r[7]) "quality interval"
                  Expect.isTrue (cost >= 1.0 && cost <= 7.0 && quality >= 0.0 && quality <= 1.0) "ranges"
                  let beaten =
                      own
                      |> Array.exists (fun o ->
                          number o[2] <= cost && number o[5] >= quality && (number o[2] < cost || number o[5] > quality))
                  Expect.equal r[8] (if r[0] = "oracle" || beaten then "0" else "1") "pareto"
              for k in 1..3 do
                  let fixedPoint = points |> Array.filter (fun r -> r[0] = $"fixed-{k}") |> Array.exactlyOne
                  let test = (testOf outcomes.Value)
                  Expect.equal fixedPoint[1] "" "no parameter"
                  Expect.equal (number fixedPoint[2]) (float (pown 2 (k - 1))) "exact cost"
                  Expect.floatClose
                      Accuracy.veryHigh
                      (number fixedPoint[5])
                      (test.MeanQuality([| 0 .. test.Queries - 1 |], k - 1))
                      "exact quality"
              for name in policies do
                  let count = points |> Array.filter (fun r -> r[0] = name) |> Array.length
                  Expect.isTrue (count <= 24) $"{name} has {count} points"
          }
          test "the oracle is above every policy" {
              let auc name = number (headline $"auc {name}").[1]
              for name in policies |> List.filter (fun p -> p <> "oracle" && not (p.StartsWith "fixed")) do
                  Expect.isGreaterThanOrEqual (auc "oracle") (auc name) name
              // Random stopping is what every fitted policy must beat clearly on so informative confidences.
              Expect.isGreaterThan (auc PolicyRegistry.Default) (auc "random" + 0.02) "the default against chance"
          }
          test "stops are shares of all queries, thresholds confidences" {
              for _, group in rows "stops.csv" |> Array.groupBy (fun r -> r[0]) do
                  Expect.equal (group |> Array.map (fun r -> r[1])) [| "1"; "2"; "3" |] "stages"
                  Expect.floatClose Accuracy.veryHigh (group |> Array.sumBy (fun r -> number r[2])) 1.0 "sum"
              let thresholds = rows "thresholds.csv"
              Expect.equal (thresholds |> Array.map (fun r -> r[1]) |> Array.distinct) [| "1"; "2" |] "not of the last stage"
              for r in thresholds do
                  Expect.isTrue (r[2] = "" || (number r[2] >= 0.0 && number r[2] <= 1.0)) r[2]
              Expect.isTrue (thresholds |> Array.exists (fun r -> r[2] <> "" && r[2] <> "0")) "some are inside"
          }
          test "the headline quotes the models and the chosen point" {
              for k in 0..2 do
                  let accuracy = headline $"accuracy {names[k]}"
                  Expect.isTrue (number accuracy[2] <= number accuracy[1] && number accuracy[1] <= number accuracy[3]) names[k]
              let value metric = number (headline metric).[1]
              Expect.floatClose Accuracy.high (value "chosen cost" / 4.0) (value "chosen share of the largest model's cost") "cost share"
              Expect.floatClose
                  Accuracy.high
                  (value "chosen accuracy" / value $"accuracy {names[2]}")
                  (value "chosen share of the largest model's accuracy")
                  "accuracy share"
              Expect.floatClose Accuracy.high ([ for n in names -> value $"chosen share answered by {n}" ] |> List.sum) 1.0 "answered"
          }
          test "table 1: a row per baseline, corrected p-values at least the raw ones, none for the oracle" {
              let comparisons = rows "table1.csv"
              Expect.equal [ for r in comparisons -> r[0] ] (List.tail policies) "rows"
              // The family that was taken as the default is the default, and not compared with itself.
              let itself = comparisons |> Array.filter (fun r -> r[9] = "" && r[0] <> "oracle")
              Expect.isLessThanOrEqual itself.Length 1 "at most one"
              for r in comparisons do
                  Expect.equal r[2] "250" "pairs"
                  Expect.floatClose Accuracy.high (number r[3] - number r[4]) (number r[5]) "difference"
                  Expect.isTrue (number r[6] <= number r[5] && number r[5] <= number r[7]) "interval"
                  Expect.floatClose Accuracy.high (number r[24] - number r[1] * number r[26]) (number r[3]) "utility"
                  for p in [ 8; 11; 12 ] do
                      Expect.isTrue (number r[p] >= 0.0 && number r[p] <= 1.0) "p"
                  if r[0] = "oracle" then
                      Expect.equal (r[9], r[10]) ("", "") "not a competitor"
                      Expect.isGreaterThan (number r[4]) (number r[3]) "above the default"
                  elif r[9] = "" then
                      Expect.equal (r[5], r[10]) ("0", "") "the same policy"
                  else
                      Expect.isGreaterThanOrEqual (number r[9]) (number r[8]) "Holm"
                      Expect.isGreaterThanOrEqual (number r[9]) (number r[10]) "Holm is the stricter one"
              Expect.floatClose Accuracy.high (number comparisons[0].[1]) (0.25 / 4.0) "the price of the table"
          }
          test "figure 1a: bounds and certificates hold where a theorem speaks" {
              let curves = rows "figure1a.csv"
              let instances = [ "recorded", "3"; "simulated-structured", "2"; "simulated-aliased", "2" ]
              let learners =
                  [ "nest", "stages-run"
                    "nest", "returned"
                    "nest-alone", "stages-run"
                    "hedge", "full"
                    "posterior-sampling", "stages-run"
                    "explore-then-commit", "stages-run"
                    "ucb1", "returned" ]
              for instance, seeds in instances do
                  for learner, feedback in learners do
                      let curve = curves |> Array.filter (fun r -> r[0] = instance && r[1] = learner && r[2] = feedback)
                      let t = curve |> Array.map (fun r -> int r[3])
                      Expect.equal (t[0], Array.last t) (100, 2000) "from 100 to the horizon"
                      Expect.equal (Array.sort t |> Array.distinct) t "upwards"
                      for r in curve do
                          Expect.equal r[4] seeds "runs"
                          Expect.isTrue (number r[6] <= number r[5] && number r[5] <= number r[7]) "band"
                          Expect.equal (r[8] <> "") (List.contains learner [ "nest"; "nest-alone"; "hedge" ]) $"bound of {learner}"
                          if r[8] <> "" then Expect.isLessThanOrEqual (number r[5]) (number r[8]) $"{learner} within its bound"
              for r in rows "regret_checks.csv" do
                  Expect.isTrue (r[3] <> "0" && r[4] <> "0") $"checks of {r[0]}, {r[1]}"
              Expect.isTrue (rows "regret_checks.csv" |> Array.exists (fun r -> r[3] = "1" && r[4] = "1")) "some are checked"
              Expect.equal (rows "figure1a_slopes.csv").Length (3 * 7) "a slope each"
          }
          test "an unknown experiment, a missing stage and cancellation" {
              withFolder (fun folder ->
                  Expect.throwsT<ToolkitException> (fun () -> run "everything" folder) "unknown"
                  let gap = part 3 100 3
                  for parts in [ gap.Cost; gap.Quality ] do
                      for q in 0..99 do
                          parts[q * 3 + 1] <- nan
                  let broken = Support.SyntheticOutcomes.join names gap gap
                  Expect.throwsT<ToolkitException>
                      (fun () -> ExperimentSuite.Run("regret", broken, options, folder, silent, CancellationToken.None))
                      "regret needs queries with every stage"
                  for which in [ "tradeoff"; "regret" ] do
                      Expect.throwsT<OperationCanceledException>
                          (fun () -> ExperimentSuite.Run(which, outcomes.Value, options, folder, silent, CancellationToken true))
                          which
                  Expect.isEmpty (files folder) "nothing is written")
          }
          test "a cascade whose models are never right is reported, not a crash" {
              let hopeless seed =
                  let p = part 2 60 seed
                  RecordedCascade.Create(60, 2, p.Cost, p.Confidence, Array.zeroCreate 120, [||], 0, [||])
              withFolder (fun folder ->
                  ExperimentSuite.Run(
                      "all",
                      Support.SyntheticOutcomes.join [| "a"; "b" |] (hopeless 1) (hopeless 2),
                      options,
                      folder,
                      silent,
                      CancellationToken.None
                  )
                  Expect.equal (files folder).Length headers.Length "files"
                  for r in snd (table folder "table1.csv") do
                      for effect in [ 13; 14; 22; 23 ] do
                          // The costs of two fixed models differ by the same on every query: no spread, no effect size.
                          if r[0] = "fixed-2" then Expect.equal r[effect] "" "no spread"
                          if r[0] = "fixed-1" then Expect.equal r[effect] "0" "the same policy")
          }
          test "runs beside each other give the same bytes, cascades of one and of seven stages run" {
              let files stages =
                  withFolder (fun folder ->
                      let outcomes =
                          Support.SyntheticOutcomes.join [| for k in 1..stages -> $"m{k}" |] (part stages 120 1) (part stages 120 2)
                      ExperimentSuite.Run("all", outcomes, options, folder, silent, CancellationToken.None)
                      files folder)
              let crowded = [| 7; 1; 7; 1 |] |> Array.Parallel.map files
              Expect.equal crowded[2] crowded[0] "seven stages"
              Expect.equal crowded[3] crowded[1] "one stage"
              for text in Seq.concat crowded |> Seq.map snd do
                  Expect.isFalse (text.Contains "Infinity" || text.Contains "NaN") "no cell that the readers refuse"
          } ]
