/// A run folder with made-up numbers, for tests of how results are drawn. Nothing here is a result.
module Support.SampleRun

open System
open System.IO

/// Runs an action in a fresh folder that is removed afterwards.
let inFolder (action: string -> 'a) : 'a =
    let dir = Directory.CreateTempSubdirectory "figures-test-"
    try
        action dir.FullName
    finally
        dir.Delete true

let write (dir: string) (name: string) (lines: string seq) = File.WriteAllText(Path.Combine(dir, name), String.Join("\n", lines) + "\n")

let tradeoffHeader = "policy,lambda,cost,cost_low,cost_high,quality,quality_low,quality_high,pareto"

let tradeoff =
    [ tradeoffHeader
      "default,0.01,6,5.8,6.2,0.9,0.88,0.92,1"
      "default,0.1,2,1.9,2.1,0.7,0.68,0.72,1"
      "default,0.02,4,3.9,4.1,0.86,0.84,0.88,1"
      "chain,0.01,8,7.8,8.2,0.88,0.86,0.9,0"
      "oracle,0.01,3,2.9,3.1,0.95,0.94,0.96,0"
      "fixed-1,,1,1,1,0.5,0.48,0.52,1"
      "fixed-2,,10,10,10,0.9,0.88,0.92,0" ]

let headline =
    [ "metric,value,low,high"
      "accuracy tiny,0.5,0.48,0.52"
      "accuracy small,0.9,0.88,0.92"
      "default recalls,1,,"
      "chosen lambda,0.02,,"
      "chosen accuracy,0.86,0.84,0.88"
      "chosen cost,4,3.9,4.1"
      "chosen share of the largest model's accuracy,0.9555555555555556,0.94,0.97"
      "chosen share of the largest model's cost,0.4,0.39,0.41" ]

let comparisonHeader =
    "baseline,lambda,pairs,utility_default,utility_baseline,difference,ci_low,ci_high,p_permutation,p_holm,p_bh,"
    + "p_wilcoxon,p_t,d_z,g_z,p_floor,paired_delta,paired_delta_low,paired_delta_high,cliff_delta,cliff_delta_low,cliff_delta_high,"
    + "d_z_low,d_z_high,quality_default,quality_baseline,cost_default,cost_baseline"

let comparisons =
    [ comparisonHeader
      "chain,0.01,500,0.84,0.80,0.04,0.02,0.06,0.00001,0.00003,0.00003,0.00002,0.00001,0.2,0.199,0.00001,0.11,0.05,0.17,0.09,0.04,0.14,0.1,0.3,0.9,0.88,6,8"
      "fixed-2,0.01,500,0.84,0.85,-0.01,-0.018,-0.002,0.01,0.02,0.015,0.012,0.011,-0.1,-0.099,0.00001,-0.05,-0.1,0,-0.04,-0.09,0.01,-0.19,-0.01,0.9,0.9,6,10"
      "threshold,0.01,500,0.84,0.838,0.002,-0.01,0.014,0.5,0.5,0.5,0.52,0.51,0.02,0.02,0.00001,0.01,-0.05,0.07,0.01,-0.03,0.05,-0.07,0.11,0.9,0.9,6,6.1" ]

let regret =
    [ "instance,learner,feedback,t,seeds,mean,lower,upper,bound,certificate"
      for instance in [ "simulated-n4"; "recorded" ] do
          for learner in [ "ucb"; "NEST" ] do
              for t in [ 10; 100; 1000 ] do
                  let mean = 0.5 * sqrt (float t)
                  $"{instance},{learner},semi-bandit,{t},20,{mean},{mean - 2.0},{mean + 2.0},{4.0 * mean}," ]

let slopes =
    [ "instance,learner,feedback,theorem,slope,slope_low,slope_high,regret_final,bound_final,t_final"
      "recorded,NEST,semi-bandit,Theorem 8,0.5,0.45,0.55,15.8,63.2,1000" ]

let reliability =
    [ "stage,model,bin_low,bin_high,count,confidence,accuracy"
      "1,tiny,0,0.5,0,,"
      "1,tiny,0.5,1,100,0.8,0.7"
      "2,small,0,0.5,50,0.4,0.5"
      "2,small,0.5,1,150,0.9,0.9" ]

/// Writes every file of a run.
let writeAll (dir: string) =
    write dir "figure1b.csv" tradeoff
    write dir "headline.csv" headline
    write dir "table1.csv" comparisons
    write dir "figure1a.csv" regret
    write dir "figure1a_slopes.csv" slopes
    write dir "reliability.csv" reliability
    write dir "calibration.csv" [ "stage,model,feature,auroc,ece,brier"; "1,tiny,min-probability,0.9,0.05,0.1" ]
    write
        dir
        "stages.csv"
        [ "stage,model,family,level,queries,accuracy,mean_tokens"
          "1,tiny,add,1,40,0.8,12.5"
          "1,tiny,add,2,0,,"
          "2,small,add,1,40,0.95,12" ]
    write dir "stops.csv" [ "lambda,stage,share"; "0.01,1,0.25"; "0.01,2,0.75"; "0.1,1,1"; "0.1,2,0" ]
    write dir "thresholds.csv" [ "lambda,stage,threshold"; "0.01,1,0.9"; "0.1,1,0.4" ]
    write dir "manifest.json" [ """{"seed": 7, "machine": {"cores": 2}, "experiments": ["regret", "tradeoff"]}""" ]
