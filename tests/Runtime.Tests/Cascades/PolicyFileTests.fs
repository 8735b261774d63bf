module Runtime.Tests.Cascades.PolicyFileTests

open Support
open System
open System.IO
open System.Text.Json.Nodes
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

let private calibrate (lines: string[]) maxLoss =
    TraceFiles.withLines lines (fun traces ->
        PolicyCalibration.Run(traces, CalibrationOptions(maxLoss, 0.1, Family = PolicyRegistry.Recall)))

let private planned = lazy (calibrate (TraceFiles.cascade 600 5) 0.2)
let private fixedOne = lazy (calibrate (TraceFiles.cascade 40 5) 0.001)

let private withFile (policy: PolicyFile) action =
    TraceFiles.withFolder (fun folder ->
        let path = Path.Combine(folder, "policy.json")
        policy.Save path
        action path)

/// Decisions of a policy on every query of a cascade, as costs, qualities and stages.
let private replay (policy: IStoppingPolicy) =
    TraceFiles.withLines (TraceFiles.cascade 500 77) (fun traces ->
        let data = TraceReader.ReadTable(traces).Cascade
        Replay.run (policy, data, [| 0 .. data.Queries - 1 |]))

/// Every place of a JSON tree: how to reach its parent, and its key or index.
let rec private places (node: JsonNode | null) (path: string) : (string * (JsonNode -> JsonNode) * string) list =
    match node with
    | :? JsonObject as map ->
        [ for pair in Seq.toArray map do
              let key = pair.Key
              yield path, id, key
              for (p, reach, k) in places pair.Value $"{path}{key}." do
                  yield p, (fun root -> reach (nonNull root[key])), k ]
    | :? JsonArray as array when array.Count > 0 && (array[0] :? JsonObject) ->
        [ for (p, reach, k) in places array[0] $"{path.TrimEnd '.'}[0]." do
              yield p, (fun root -> reach (nonNull root[0])), k ]
    | _ -> []

[<Tests>]
let tests =
    testList
        "PolicyFile"
        [ test "what tells questions from outside is in the file; a broken one is named" {
              let familiarity = nonNull (Familiarity.Fit [| for i in 1..500 -> $"What is {i} + {i * 7}?" |])
              let policy = planned.Value
              Expect.isNull policy.Familiarity "traces without texts have none"
              // F# has no copy of a C# record with another property: the file's text is changed instead.
              withFile policy (fun path ->
                  let root = nonNull (JsonNode.Parse(File.ReadAllText path))
                  root["familiarity"] <- JsonValue.Create(familiarity.Save())
                  File.WriteAllText(path, root.ToJsonString())
                  let back = PolicyFile.Load path
                  let kept = nonNull back.Familiarity
                  for question in [ "What is 3 + 4?"; "Write a poem about the sea" ] do
                      Expect.equal (kept.PValue question) (familiarity.PValue question) question
                  withFile back (fun again ->
                      Expect.equal ((nonNull (PolicyFile.Load again).Familiarity).Save()) (familiarity.Save()) "written again")
                  root["familiarity"] <- JsonValue.Create "AAAA"
                  File.WriteAllText(path, root.ToJsonString())
                  Expect.stringContains (fault (fun () -> PolicyFile.Load path)) "policy.json: familiarity: expected the counts" "named")
          }
          test "reads back bit for bit: the same bytes, the same decisions" {
              for policy in [ planned.Value; fixedOne.Value ] do
                  withFile policy (fun path ->
                      let back = PolicyFile.Load path
                      Expect.sequenceEqual back.Models policy.Models "models"
                      Expect.equal (BitConverter.DoubleToInt64Bits back.Lambda) (BitConverter.DoubleToInt64Bits policy.Lambda) "lambda"
                      Expect.equal back.Guarantee policy.Guarantee "guarantee"
                      Expect.equal back.Measured policy.Measured "measured"
                      Expect.equal back.Origin policy.Origin "origin"
                      let again = path + ".again"
                      back.Save again
                      Expect.equal (File.ReadAllText again) (File.ReadAllText path) "bytes"
                      Expect.equal (replay back.Policy) (replay policy.Policy) "decisions"
                      Expect.isFalse (File.Exists(path + ".part")) "nothing left over")
          }
          test "when to abstain, and groups, read back bit for bit; a guarantee without them is a fault" {
              let lines =
                  TraceFiles.cascade 900 5 |> Array.mapi (fun i line -> line.Replace("\"dataset\":\"d\"", $"\"dataset\":\"d{i % 2}\""))
              let policy =
                  TraceFiles.withLines lines (fun traces ->
                      PolicyCalibration.Run(
                          traces,
                          CalibrationOptions(0.3, 0.1, Family = PolicyRegistry.Recall, MaxRisk = 0.35, Groups = "dataset")
                      ))
              withFile policy (fun path ->
                  let back = PolicyFile.Load path
                  let own, read = nonNull policy.Abstention, nonNull back.Abstention
                  Expect.sequenceEqual read.Thresholds own.Thresholds "thresholds"
                  Expect.equal (read.MaxRisk, read.Answered, read.Risk) (own.MaxRisk, own.Answered, own.Risk) "abstention"
                  Expect.sequenceEqual back.Groups policy.Groups "groups"
                  Expect.equal back.Guarantee policy.Guarantee "guarantee"
                  back.Save(path + ".again")
                  Expect.equal (File.ReadAllText(path + ".again")) (File.ReadAllText path) "bytes"
                  for key, expected in
                      [ "abstain", "abstain: expected the guarantee's max_risk, 0.35, got NaN"
                        "groups", "groups: expected 2 that the guarantee covers, got 0" ] do
                      let root = nonNull (JsonNode.Parse(File.ReadAllText path))
                      root.AsObject().Remove key |> ignore
                      File.WriteAllText(path + ".less", root.ToJsonString())
                      Expect.stringContains (fault (fun () -> PolicyFile.Load(path + ".less"))) expected key)
          }
          test "a policy with answers, nulls and features reads back" {
              let random = Random 3
              let lines =
                  [| for q in 1..300 ->
                         let stages =
                             [ for k in 0..2 ->
                                   let confidence = if random.Next 5 = 0 then "null" else string (Math.Round(random.NextDouble(), 3))
                                   $"""{{"model":"m{k}","cost":{k + 1},"confidence":{confidence},"quality":{random.Next 2},"answer":"{random.Next 3}"}}""" ]
                         let all = String.Join(",", stages)
                         $"""{{"id":"{q}","stages":[{all}],"features":[{random.Next 3},{random.Next 9}]}}""" |]
              withFile (calibrate lines 0.9) (fun path ->
                  let back = PolicyFile.Load path
                  back.Save(path + ".again")
                  Expect.equal (File.ReadAllText(path + ".again")) (File.ReadAllText path) "bytes"
                  Expect.equal back.QueryFeatures 2 "features"
                  Expect.stringContains (fault back.RequireLive) "expected one without query features" "live use")
          }
          test "signals make the confidences where the traces hold them" {
              RandomCascade.using 2 6 100 (fun cascade folder ->
                  let file = Path.Combine(folder, "records.jsonl")
                  let queries = CascadeQueries.Draw(cascade.File, 1)
                  Collector.Run(cascade, queries, file)
                  let policy = PolicyCalibration.Run(file, CalibrationOptions(0.5, 0.1))
                  withFile policy (fun path ->
                      let back = PolicyFile.Load path
                      let records = CascadeRecords.Load file
                      for record in Seq.truncate 20 records.Records do
                          for k in 0..1 do
                              let expected = policy.Confidence(k, record.Features[k])
                              Expect.equal (back.Confidence(k, record.Features[k])) expected "the same confidence"
                              Expect.isTrue (expected >= 0.0 && expected <= 1.0) "a probability"
                      let answer = AdaptiveCascade.From(cascade, back).Answer "add 1+1="
                      Expect.isGreaterThan answer.Cost 0.0 "answers live"))
          }
          test "every key is needed, none may be added, and the message names the place" {
              withFile planned.Value (fun path ->
                  let text = File.ReadAllText path
                  let all = places (JsonNode.Parse text) ""
                  Expect.isGreaterThan all.Length 40 "places"
                  for (parent, reach, key) in all do
                      let root = nonNull (JsonNode.Parse text)
                      (reach root).AsObject().Remove key |> ignore
                      File.WriteAllText(path, root.ToJsonString())
                      let message = fault (fun () -> PolicyFile.Load path)
                      Expect.stringStarts message $"{path}: {parent}{key}: expected " $"without {parent}{key}"
                      Expect.isFalse (message.Contains '\n') "one line"
                      let root = nonNull (JsonNode.Parse text)
                      (reach root).AsObject().Add("novel", 1)
                      File.WriteAllText(path, root.ToJsonString())
                      Expect.stringStarts
                          (fault (fun () -> PolicyFile.Load path))
                          $"{path}: {parent}novel: expected no such key"
                          $"beside {parent}{key}")
          }
          test "values out of place are faults with expected and got" {
              withFile planned.Value (fun path ->
                  let text = File.ReadAllText path
                  let inner (key: string) (node: JsonNode) : JsonNode = nonNull node[key]
                  let scale (root: JsonNode) : JsonNode = nonNull ((root |> inner "policy" |> inner "scales")[1])
                  let text' (value: string) : JsonNode = nonNull (JsonValue.Create value)
                  let number (value: float) : JsonNode = nonNull (JsonValue.Create value)
                  for (place: JsonNode -> JsonNode), key, value, expected in
                      [ id, "format", text' "x", "format: expected 'optimal-stopping policy', got 'x'"
                        id, "version", number 3.0, "version: expected 1 or 2 (the versions that this toolkit reads), got 3"
                        id, "version", number 2.0, "features: expected an object, got nothing"
                        id, "models", (JsonArray(text' "a") :> JsonNode), "guarantee.reference: expected a"
                        inner "guarantee", "max_loss", number 0.001, "guarantee.statement: expected 'With probability"
                        inner "measured", "quality", number 2.0, "measured.quality: expected a number from 0 to 1, got 2"
                        inner "policy", "actions", text' "leap", "policy.actions: expected chain or jump or recall, got 'leap'"
                        inner "policy", "knots", number 13.0, "expected an array of "
                        scale, "rank", (JsonArray(number 0.5) :> JsonNode), "policy.scales[1].rank: expected an array of "
                        scale, "model", text' "z", "policy.scales[1].model: expected 'm1', got 'z'" ] do
                      let root = nonNull (JsonNode.Parse text)
                      (place root)[key] <- value
                      File.WriteAllText(path, root.ToJsonString())
                      let message = fault (fun () -> PolicyFile.Load path)
                      Expect.stringStarts message path "file"
                      Expect.stringContains message expected "fault"
                  File.WriteAllText(path, text[.. text.Length / 2])
                  Expect.stringContains (fault (fun () -> PolicyFile.Load path)) "expected JSON, got" "cut off"
                  Expect.stringContains (fault (fun () -> PolicyFile.Load(path + ".none"))) "expected a readable file" "missing")
          }
          test "a cascade of other models is refused" {
              Expect.equal
                  (fault (fun () -> planned.Value.RequireModels([| "m0"; "m1" |], "cascade.yaml")))
                  "cascade.yaml: expected the models of the policy (m0, m1, m2, m3), got m0, m1"
                  "models"
          }
          test "a file that cannot be written leaves the old one" {
              withFile planned.Value (fun path ->
                  let before = File.ReadAllText path
                  Directory.CreateDirectory(path + ".part") |> ignore
                  Expect.stringContains (fault (fun () -> fixedOne.Value.Save path)) "expected a place to write to" "fault"
                  Expect.equal (File.ReadAllText path) before "kept")
          } ]
