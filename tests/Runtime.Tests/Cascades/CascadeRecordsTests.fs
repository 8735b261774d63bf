module Runtime.Tests.Cascades.CascadeRecordsTests

open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open Support.SyntheticRecords
open Support.TraceFiles

let private signals =
    """{"sum_log_probability":-1,"mean_log_probability":-0.5,"min_log_probability":-0.7,"min_margin":0.1,"mean_entropy":0.4,"length":2}"""
let private stageOf model = $"""{{"model":"{model}","cost":1,"confidence":0.5,"quality":1,"answer":"7","signals":{signals}}}"""
let private lineOf stages = line "q" stages |> fun text -> text.Replace("\"stages\"", "\"family\":\"add\",\"level\":2,\"stages\"")
let private good = lineOf [ stageOf "a"; stageOf "b" ]

let private fault lines =
    withLines lines (fun path ->
        try
            CascadeRecords.Load path |> ignore
            failtest "no fault"
        with :? ToolkitException as e ->
            e.Message.Substring path.Length)

[<Tests>]
let tests =
    testList
        "CascadeRecords"
        [ test "what a collected record lacks is named" {
              Expect.equal (withLines [ good; good ] (fun path -> CascadeRecords.Load(path).Records.Count)) 2 "good"
              Expect.equal (fault []) ": expected at least one record, got none" "empty"
              Expect.stringStarts (fault [ good; line "q" [ stageOf "a"; stageOf "b" ] ]) ":2: key 'family': expected a string" "family"
              Expect.stringStarts
                  (fault [ good.Replace("\"answer\":\"7\"", "\"answer\":7") ])
                  ":1: key 'answer': expected a string"
                  "answer"
              Expect.stringStarts (fault [ good.Replace(",\"mean_entropy\":0.4", "") ]) ":1: key 'mean_entropy': expected a number" "signal"
              Expect.stringStarts
                  (fault [ good; lineOf [ stageOf "a" ] ])
                  ":2: key 'stages': expected a, b as on the first line, got a"
                  "fewer stages"
              Expect.stringStarts
                  (fault [ good; lineOf [ stageOf "b"; stageOf "a" ] ])
                  ":2: key 'stages': expected a, b as on the first line, got b, a"
                  "order"
          }
          test "the arrays for the policies: calibrated confidences, and labels that tell equal answers" {
              let records = make 3 CascadeRecords.Calibration 150 7 lawful
              let calibration = ConfidenceCalibration.Fit records
              let data = records.ToRecordedCascade(fun k features -> calibration.Confidence(k, features))
              Expect.equal (data.Queries, data.Stages) (150, 3) "size"
              for q in 0..149 do
                  let r = records.Records[q]
                  for k in 0..2 do
                      let i = 3 * q + k
                      Expect.equal data.Confidence[i] (calibration.Confidence(k, r.Features[k])) "confidence"
                      Expect.equal (data.Quality[i], data.Cost[i]) (r.Quality[k], float (1 <<< k)) "quality and cost"
                      for j in 0..2 do
                          Expect.equal (data.Answer[i] = data.Answer[3 * q + j]) (r.Answer[k] = r.Answer[j]) "labels"
          } ]
