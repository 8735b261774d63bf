module Reports.Tests.EvaluationPageTests

open Support
open System
open System.IO
open System.Text.Json
open Expecto
open OptimalStopping.Reports
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Traces

let private report =
    lazy
        (TraceFiles.withLines (TraceFiles.cascade 600 21) (fun path ->
            Evaluation.Run(TraceReader.ReadTable path, EvaluationOptions(path, "", Resamples = 20, Explain = true), null)))

let private data (page: string) =
    let start = page.IndexOf("id=\"data\">", StringComparison.Ordinal) + 10
    JsonDocument.Parse(page[start .. page.IndexOf("</script>", start, StringComparison.Ordinal) - 1]).RootElement

[<Tests>]
let tests =
    testList
        "EvaluationPage"
        [ test "the page asks for nothing from elsewhere, and no name can break out of it" {
              let page = EvaluationPage.html ("<b>\"x\"</b>.jsonl", report.Value, "")
              Expect.stringContains page "default-src 'none'" "policy"
              // The first script is plotly.js, which names addresses that the policy keeps it from asking.
              let start = page.IndexOf("<script>", StringComparison.Ordinal)
              let own = page.Remove(start, page.IndexOf("</script>", start, StringComparison.Ordinal) - start)
              for outside in [ "http://"; "https://"; "src="; "@import"; "<link" ] do
                  Expect.isFalse (own.Contains outside) outside
              Expect.isFalse (own.Contains "<b>\"x\"") "escaped"
              // The shares below are those of the models that answer, which with recall are not those that ran last.
              Expect.stringContains own "<h3>Whose answer is returned</h3>" "heading"
              Expect.isFalse (own.Contains "Where queries stop") "not where they stop"
          }
          test "every price, model and figure of the report is in it" {
              let page = EvaluationPage.html ("x.jsonl", report.Value, "$")
              let data = data page
              let points = data.GetProperty "points"
              Expect.equal (points.GetArrayLength()) report.Value.["default"].Points.Count "prices"
              Expect.equal
                  [ for m in (data.GetProperty "models").EnumerateArray() -> m.GetString() ]
                  (List.ofSeq report.Value.Models)
                  "models"
              for point in points.EnumerateArray() do
                  let shares = [ for p in (point.GetProperty "paths").EnumerateArray() -> p.GetProperty("share").GetDouble() ]
                  Expect.isTrue (abs (List.sum shares - 1.0) < 1e-9) "the ways add up"
              let learning = report.Value.Learning |> Option.ofObj |> Option.get
              Expect.stringContains page learning.Sentence "what more labels would buy"
              for policy in report.Value.Policies do
                  Expect.stringContains page (Numbers.decimals (2, 100.0 * policy["auc"].Value)) policy.Policy
          }
          test "thresholds fall as cost gets dearer" {
              // Where only the first stage has run, a dearer price stops earlier.
              let thresholds =
                  [ for point in report.Value.Explained do
                        for rule in point.Rules do
                            if rule.After.Count = 0 && rule.Stage = 0 && rule.ThresholdQuality.HasValue && rule.Bands.Count > 1 then
                                point.Lambda, rule.ThresholdQuality.Value ]
                  |> List.sortBy fst
              Expect.isGreaterThan thresholds.Length 3 "some prices have a threshold at the first stage"
              let cheap, dear = List.head thresholds, List.last thresholds
              Expect.isLessThan (snd dear) (snd cheap) "dear stops earlier"
          }
          test "it is written beside its place first" {
              SampleRun.inFolder (fun folder ->
                  EvaluationPage.write ("x.jsonl", report.Value, "", folder)
                  Expect.equal [ for f in Directory.GetFiles folder -> Path.GetFileName f ] [ "report.html" ] "files")
          } ]
