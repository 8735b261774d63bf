/// The field's table over a folder of traces, and what each group of features brings.
module Experiments.Tests.EvaluationSuiteTests

open System
open System.IO
open Support
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Experiments
open OptimalStopping.Theory.Policies

/// Two models; the first is right on questions about plants only, and nothing but the text tells these apart.
let private plants queries seed =
    let random = Random(seed: int)
    [| for q in 1..queries do
           let plant = random.Next 2 = 0
           let first = random.NextDouble() < (if plant then 0.95 else 0.1)
           let second = random.NextDouble() < 0.9
           let stage name cost right =
               $"""{{"model":"{name}","cost":{cost},"confidence":{Math.Round(random.NextDouble(), 3)},"quality":{if right then 1 else 0},"answer":"{random.Next 3}"}}"""
           let text = if plant then "which plant is green" else "which king ruled longest"
           $"""{{"id":"{q}","prompt":"{text} {random.Next 50}","stages":[{stage "small" 1 first},{stage "large" 10 second}]}}""" |]

let private report =
    lazy
        (TraceFiles.withFolder (fun folder ->
            File.WriteAllLines(Path.Combine(folder, "a.jsonl"), TraceFiles.cascade 500 4)
            File.WriteAllLines(Path.Combine(folder, "b.jsonl"), plants 700 5)
            File.WriteAllText(Path.Combine(folder, "notes.txt"), "no trace")
            EvaluationSuite.Run(EvaluationOptions(folder, "", Resamples = 60), true)))

let private fault action =
    try
        action () |> ignore
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

[<Tests>]
let tests =
    testList
        "EvaluationSuite"
        [ test "every file and every policy, with figures that mean the same everywhere" {
              let report = report.Value
              Expect.sequenceEqual (report.Files |> Seq.map _.File) [ "a.jsonl"; "b.jsonl" ] "files"
              let names = report.Files[1].Policies |> Seq.map _.Policy |> Set
              Expect.equal
                  names
                  (set
                      [ "default"
                        "pair-envelope"
                        "cascade-router"
                        "text-router"
                        "knn-router"
                        "frugal-gpt"
                        "automix"
                        "mixture"
                        "oracle" ])
                  "policies where there is text"
              Expect.isFalse (report.Files[0].Policies |> Seq.exists (fun p -> p.Policy = "text-router")) "no router on text without text"
              for file in report.Files do
                  let oracle = file.Policies |> Seq.find (fun p -> p.Policy = "oracle")
                  for p in file.Policies do
                      Expect.isLessThanOrEqual p["auc"].Value (oracle["auc"].Value + 1e-9) $"{p.Policy} below the oracle"
                      Expect.isLessThanOrEqual p["auc"].Value (p["aiq"].Value + 1e-9) $"{p.Policy}: the hull is above the curve"
                      for name in [ "cpt50"; "cpt80"; "cost_at_95pct"; "cost_at_98pct"; "cost_at_100pct" ] do
                          Expect.isTrue (p[name].Value >= 0.0 && p[name].Value <= 1.0) $"{p.Policy} {name} {p[name].Value}"
                      Expect.isTrue (p["auc"].Low <= p["auc"].Value && p["auc"].Value <= p["auc"].High) "interval"
          }
          test "routers on the text win where only the text tells, and know nothing of the confidence" {
              let file = report.Value.Files[1]
              let auc name = (file.Policies |> Seq.find (fun p -> p.Policy = name)).Item("auc").Value
              for router in [ "text-router"; "knn-router" ] do
                  Expect.isGreaterThan (auc router) (auc "mixture" + 0.05) router
                  Expect.isGreaterThan (auc router) (auc "pair-envelope" + 0.05) router
              Expect.isGreaterThan (auc "frugal-gpt") (auc "pair-envelope" + 0.03) "a scorer that sees the question"
              Expect.isGreaterThan (auc "default") (auc "text-router" - 0.02) "the default contains what they see"
          }
          test "pooled figures are means over the files, wins are counted on them" {
              let report = report.Value
              let pooled name = report.Policies |> Seq.find (fun p -> p.Policy = name)
              let own name =
                  report.Files |> Seq.map (fun f -> (f.Policies |> Seq.find (fun p -> p.Policy = name)).Item("auc").Value) |> Seq.average
              for name in [ "default"; "mixture"; "automix" ] do
                  Expect.floatClose Accuracy.veryHigh ((pooled name).Item("auc").Value) (own name) name
                  Expect.equal (pooled name).Files 2 "files"
              Expect.equal (pooled "text-router").Files 1 "on the one with text"
              for lead in report.Leads do
                  let single = report.Files |> Seq.collect _.Leads |> Seq.filter (fun l -> l.Policy = lead.Policy) |> Seq.toArray
                  Expect.equal lead.Files single.Length "files"
                  Expect.floatClose Accuracy.veryHigh lead.Lead.Value (single |> Array.averageBy _.Lead.Value) $"lead over {lead.Policy}"
                  Expect.equal lead.Wins.Value (single |> Array.sumBy _.Wins.Value) "wins"
                  Expect.equal lead.ClearWins (single |> Array.sumBy _.ClearWins) "clear wins"
              let oracle = report.Leads |> Seq.find (fun l -> l.Policy = "oracle")
              Expect.equal oracle.Wins.Value 0.0 "nobody beats the oracle"
              Expect.equal oracle.ClearLosses 2 "on either file"
          }
          test "ablation: the text brings much where only it tells, random answers nothing" {
              let rows = report.Value.Files[1].Ablation |> Seq.map (fun r -> r.Group, r) |> Map.ofSeq
              Expect.isGreaterThan rows["text"].Low 0.05 "text"
              Expect.isTrue (rows["agreement"].Low < 0.01) "answers at random"
              Expect.isFalse (rows.ContainsKey "dataset") "no datasets, no row"
              for KeyValue(_, row) in rows do
                  Expect.isTrue (row.Low <= row.Gain && row.Gain <= row.High) row.Group
          }
          test "one look: bins of the first confidence choose who answers" {
              // The first model is right exactly where it is sure, the second always.
              let n = 400
              let random = Random 2
              let sure = Array.init n (fun _ -> random.NextDouble() < 0.5)
              let data =
                  RecordedCascade.Create(
                      n,
                      2,
                      Array.init (2 * n) (fun i -> if i % 2 = 0 then 1.0 else 10.0),
                      Array.init (2 * n) (fun i ->
                          if i % 2 = 1 then 0.5
                          elif sure[i / 2] then 0.9
                          else 0.1),
                      Array.init (2 * n) (fun i -> if i % 2 = 1 || sure[i / 2] then 1.0 else 0.0)
                  )
              let family = Baselines.oneLook data [| 0..199 |] [| 10.0; 0.05; 0.0 |]
              let best =
                  family.Policies
                  |> Array.map (fun p -> Replay.run (p, data, [| 200..399 |]))
                  |> Array.filter (fun o -> Array.average o.Quality = 1.0)
                  |> Array.map (fun o -> Array.average o.Cost)
                  |> Array.min
              let asked = Array.sub sure 200 200 |> Array.averageBy (fun s -> if s then 1.0 else 11.0)
              Expect.floatClose Accuracy.high best asked "asks again exactly where it is not sure"
          }
          test "folders that are not there, or hold no traces" {
              Expect.stringContains (fault (fun () -> EvaluationSuite.FilesOf "/none")) "/none: expected a folder of trace files" "missing"
              TraceFiles.withFolder (fun folder ->
                  Expect.stringContains (fault (fun () -> EvaluationSuite.FilesOf folder)) "expected trace files (*.jsonl" "empty")
          } ]
