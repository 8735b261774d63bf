module Reports.Tests.RunDataTests

open Support
open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Reports
open OptimalStopping.Experiments

let private messageOf (action: unit -> unit) =
    try
        action ()
        failtest "expected a fault, got none"
    with :? ToolkitException as e ->
        e.Message

[<Tests>]
let tests =
    testList
        "RunData"
        [ test "every file is read, an absent one is an empty part" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write dir "figure1b.csv" SampleRun.tradeoff
                  let data = RunData.Load dir
                  Expect.equal (data.Table<OperatingPoint>().Length) 7 "operating points"
                  Expect.equal (data.Table<OperatingPoint>().[0].CostLow) 5.8 "a cell"
                  Expect.isTrue (Double.IsNaN(data.Table<OperatingPoint>().[5].Lambda)) "an empty lambda"
                  Expect.equal
                      (data.Table<RegretPoint>().Length + data.Table<PolicyComparison>().Length + data.Settings.Length)
                      0
                      "absent parts"
                  Expect.isFalse (data.IsEmpty) "not empty"
                  SampleRun.writeAll dir
                  let data = RunData.Load dir
                  Expect.equal (data.Table<RegretPoint>().Length) 12 "regret"
                  Expect.equal (data.Table<PolicyComparison>().[0].PairedDelta) 0.11 "a comparison"
                  Expect.equal (data.Table<StopShare>().[1]) (StopShare(0.01, 2, 0.75)) "stops"
                  Expect.isTrue (Double.IsNaN(data.Table<ReliabilityPoint>().[0].Accuracy)) "an empty bin")
          }
          test "the manifest is flattened to dotted keys" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.writeAll dir
                  let expected = [| struct ("seed", "7"); struct ("machine.cores", "2"); struct ("experiments", "regret, tradeoff") |]
                  Expect.equal (RunData.Load dir).Settings expected "settings")
          }
          test "a damaged manifest, a damaged table and a missing folder are named" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write dir "manifest.json" [ "{"; "\"seed\": }" ]
                  Expect.stringContains (messageOf (fun () -> RunData.Load dir |> ignore)) "manifest.json:2: expected JSON" "manifest"
                  SampleRun.write dir "manifest.json" [ "{}" ]
                  SampleRun.write dir "stops.csv" [ "lambda,stage,share"; "0.1,1,1.5" ]
                  Expect.stringContains
                      (messageOf (fun () -> RunData.Load dir |> ignore))
                      "stops.csv:2: column 'share': expected a number in [0, 1], got '1.5'"
                      "table"
                  let missing = Path.Combine(dir, "nowhere")
                  Expect.stringContains (messageOf (fun () -> RunData.Load missing |> ignore)) "no such folder" "folder")
          }
          test "models are named by whichever file knows them" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write dir "reliability.csv" SampleRun.reliability
                  let data = RunData.Load dir
                  Expect.equal (data.ModelName(2)) "small" "known"
                  Expect.equal (data.ModelName(3)) "model 3" "unknown")
          }
          test "a run on traces has its names from headline.csv" {
              SampleRun.inFolder (fun dir ->
                  SampleRun.write
                      dir
                      "headline.csv"
                      [ "metric,value,low,high"
                        "accuracy Qwen-1_8B,0.5,0.4,0.6"
                        "\"accuracy Qwen, 7B\",0.6,0.5,0.7"
                        "default recalls,1,," ]
                  let data = RunData.Load dir
                  Expect.equal [ for stage in 1..3 -> data.ModelName(stage) ] [ "Qwen-1_8B"; "Qwen, 7B"; "model 3" ] "names"
                  SampleRun.write dir "reliability.csv" SampleRun.reliability
                  Expect.equal ((RunData.Load dir).ModelName(1)) "tiny" "a measured stage names itself")
          }
          test "the unit of cost is stated only where the cheapest model costs 1" {
              SampleRun.inFolder (fun dir ->
                  let unitOf name lines =
                      SampleRun.write dir name lines
                      (RunData.Load dir).CostUnit
                  Expect.equal ((RunData.Load dir).CostUnit) "" "no costs"
                  Expect.equal (unitOf "table1.csv" SampleRun.comparisons) "" "a comparison with a model that costs 10"
                  Expect.equal (unitOf "figure1b.csv" SampleRun.tradeoff) " (cheapest model = 1)" "1 and 10"
                  let traces = SampleRun.tradeoff |> List.map (fun l -> l.Replace("fixed-1,,1,1,1", "fixed-1,,1.8,1.8,1.8"))
                  Expect.equal (unitOf "figure1b.csv" traces) "" "1.8 and 10"
                  let shown = RunData.Load dir |> ReportSections.provenance |> Giraffe.ViewEngine.RenderView.AsString.htmlNodes
                  Expect.isFalse (shown.Contains "cheapest model") "the page"
                  Expect.isFalse ((Table1.caption (RunData.Load dir)).Contains "cheapest model = 1") "the caption")
          }
          test "only instances that say so are simulated" {
              Expect.equal
                  (List.map RegretPoint.IsSimulated [ "simulated-n4"; "recorded"; "recorded-simulated" ])
                  [ true; false; false ]
                  "names"
          } ]
