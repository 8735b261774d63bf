/// Trace files as services write them: everything that can be missing, tied, varying or worse than expected, mixed at random.
module Experiments.Tests.RealLogsTests

open System
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Traces
open Support.TraceFiles

/// What a log may hold beyond the plain case.
type private Mess =
    { Stages: int
      Queries: int
      Nulls: float
      Missing: float
      Ties: bool
      VaryingCost: bool
      FreeStage: bool
      Fractional: bool
      WorseLast: bool
      Answers: bool
      Features: bool
      Constant: float option }

let private plain =
    { Stages = 4
      Queries = 200
      Nulls = 0.0
      Missing = 0.0
      Ties = false
      VaryingCost = false
      FreeStage = false
      Fractional = false
      WorseLast = false
      Answers = false
      Features = false
      Constant = None }

let private number (x: float) = x.ToString("R", Globalization.CultureInfo.InvariantCulture)

let private lines (m: Mess) (seed: int) =
    let random = Random seed
    [| for q in 1 .. m.Queries do
           let ease = random.NextDouble()
           let always = random.Next m.Stages
           let stages =
               [ for k in 0 .. m.Stages - 1 do
                     if k = always || random.NextDouble() >= m.Missing then
                         let skill = if m.WorseLast && k = m.Stages - 1 then 0.1 else 0.3 + 0.5 * float k / float m.Stages
                         let right = random.NextDouble() < 0.3 * ease + skill
                         let quality =
                             match m.Constant with
                             | Some x -> x
                             | None when m.Fractional -> Math.Round((if right then 0.6 else 0.1) + 0.3 * random.NextDouble(), 3)
                             | None -> if right then 1.0 else 0.0
                         let sure = 0.4 * ease + (if right then 0.6 else 0.3) * random.NextDouble()
                         let confidence = if m.Ties then Math.Round(sure, 1) else sure
                         let cost = Math.Pow(2.0, float k) * (if m.VaryingCost then 0.2 + 3.0 * random.NextDouble() else 1.0)
                         let cost = if m.FreeStage && k = 0 then 0.0 else cost
                         let seen = if random.NextDouble() < m.Nulls then "null" else number (min 1.0 confidence)
                         let answer = if m.Answers then $""","answer":"{if right then 7 else random.Next 5}" """ else ""
                         $"""{{"model":"m{k}","cost":{number cost},"confidence":{seen},"quality":{number quality}{answer}}}""" ]
           let features = if m.Features then $""","features":[{number ease},{random.Next 3}]""" else ""
           let all = String.Join(",", stages)
           $"""{{"id":"{q}","stages":[{all}]{features}}}""" |]

let private evaluate (m: Mess) seed =
    withLines (lines m seed) (fun path ->
        Evaluation.Run(TraceReader.ReadTable path, EvaluationOptions(path, "", Seed = seed, Resamples = 20, Explain = true), null))

/// What must hold for every log; `slack` is in quality.
let private sound name slack (report: EvaluationReport) =
    let auc policy = report[policy].["auc"].Value
    for policy in report.Policies do
        Expect.isNonEmpty policy.Points $"{name}: {policy.Policy} has points"
        for p in policy.Points do
            Expect.isTrue (Double.IsFinite p.Cost && p.Quality >= 0.0 && p.Quality <= 1.0) $"{name}: {policy.Policy} at {p.Lambda}"
        let mine, most = auc policy.Policy, auc "oracle"
        Expect.isTrue (mine <= most + 1e-9) $"{name}: {policy.Policy} {mine} above the oracle {most}"
    Expect.isGreaterThanOrEqual (auc "default") (auc "mixture" - slack) $"{name}: the default against mixtures of single models"
    Expect.equal report.Explained.Count report["default"].Points.Count $"{name}: every price is explained"
    for point in report.Explained do
        Expect.isTrue (abs (Seq.sumBy (fun (p: PolicyPath) -> p.Share) point.Paths - 1.0) < 1e-9) $"{name}: the ways add up"
        for rule in point.Rules do
            for band in rule.Bands do
                Expect.isTrue (band.From <= band.To && band.From >= 0.0 && band.To <= 1.0) $"{name}: a band on the axis"
            for a, b in Seq.pairwise rule.Bands do
                Expect.isTrue (a.To <= b.To && a.Next <> b.Next) $"{name}: bands in order"

[<Tests>]
let tests =
    testList
        "RealLogs"
        [ for name, mess in
              [ "2 stages", { plain with Stages = 2 }
                "10 stages", { plain with Stages = 10 }
                "100 queries", { plain with Queries = 100 }
                "null confidences", { plain with Nulls = 0.3 }
                "no confidences", { plain with Nulls = 1.0 }
                "missing stages", { plain with Missing = 0.4 }
                "ties", { plain with Ties = true }
                "costs that vary per query", { plain with VaryingCost = true }
                "a stage that costs nothing", { plain with FreeStage = true }
                "fractional quality", { plain with Fractional = true }
                "a larger model that is worse", { plain with WorseLast = true }
                "answers and features", { plain with Answers = true; Features = true }
                "every answer right", { plain with Constant = Some 1.0 }
                "every answer wrong", { plain with Constant = Some 0.0 }
                "everything at once",
                { Stages = 5
                  Queries = 300
                  Nulls = 0.2
                  Missing = 0.3
                  Ties = true
                  VaryingCost = true
                  FreeStage = true
                  Fractional = true
                  WorseLast = true
                  Answers = true
                  Features = true
                  Constant = None } ] do
              test name { sound name 0.08 (evaluate mess 1) }

          test "random mixtures of all of it" {
              let seed = 20261125
              let random = Random seed
              for case in 1..8 do
                  let flip () = random.Next 2 = 0
                  let mess =
                      { Stages = 2 + random.Next 5
                        Queries = 100 + random.Next 200
                        Nulls = 0.5 * random.NextDouble()
                        Missing = 0.5 * random.NextDouble()
                        Ties = flip ()
                        VaryingCost = flip ()
                        FreeStage = flip ()
                        Fractional = flip ()
                        WorseLast = flip ()
                        Answers = flip ()
                        Features = flip ()
                        Constant = None }
                  sound $"seed {seed}, case {case}: {mess}" 0.12 (evaluate mess case)
          }

          test "a larger model that is worse is not paid for" {
              let report = evaluate { plain with WorseLast = true; Queries = 2000 } 4
              let last = report.Models.Count - 1
              for point in report["recall"].Points do
                  Expect.isLessThan point.StopShare[last] 0.05 $"answers of the worst model at {point.Lambda}"
          }

          test "a policy is calibrated on such logs too" {
              let mess = { plain with Nulls = 0.2; Missing = 0.2; VaryingCost = true; Fractional = true; Queries = 600 }
              withLines (lines mess 5) (fun path ->
                  let policy = PolicyCalibration.Run(path, CalibrationOptions(0.1, 0.1))
                  Expect.isTrue
                      (policy.Measured.ReferenceQuality - policy.Measured.Quality <= 0.1)
                      "keeps its guarantee where it was tested"
                  let check = GuaranteeCheck.Run(TraceReader.ReadTable path, CalibrationOptions(0.1, 0.2), 20, 300)
                  Expect.isLessThanOrEqual check.BrokenShare (check.Limit 0.2) "and elsewhere")
          } ]
