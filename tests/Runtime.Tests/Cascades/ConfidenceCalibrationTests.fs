module Runtime.Tests.Cascades.ConfidenceCalibrationTests

open System
open Expecto
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Cascades
open Support.SyntheticRecords

let private logLoss (confidence: ConfidenceFeatures -> float) (stage: int) (records: CascadeRecords) =
    records.Records
    |> Seq.averageBy (fun r ->
        let p = Math.Clamp(confidence r.Features[stage], 1e-9, 1.0 - 1e-9)
        -(r.Quality[stage] * log p + (1.0 - r.Quality[stage]) * log (1.0 - p)))

let private fitted = lazy (ConfidenceCalibration.Fit(make 2 CascadeRecords.Calibration 2000 1 lawful))

[<Tests>]
let tests =
    testList
        "ConfidenceCalibration"
        [ test "comes close to the distribution on fresh records, and improves on the raw confidence" {
              let fresh = make 2 CascadeRecords.Test 4000 2 lawful
              for stage in 0..1 do
                  let calibrated = logLoss (fun s -> fitted.Value.Confidence(stage, s)) stage fresh
                  let raw = logLoss (fun s -> s.RawConfidence) stage fresh
                  let distribution = logLoss (chance stage) stage fresh
                  Expect.isLessThan calibrated (raw - 0.05) "against the raw confidence"
                  Expect.isLessThan calibrated (distribution + 0.01) "against the distribution itself"
          }
          testProperty "confidences are probabilities, whatever the signals"
          <| fun (seed: int) ->
              let random = Random seed
              let wild () = -Math.Pow(10.0, 12.0 * random.NextDouble() - 9.0)
              let s = ConfidenceFeatures(wild (), wild (), wild (), -(wild ()), -(wild ()), random.Next(1, 100_000))
              for s in [ s; ConfidenceFeatures(0.0, 0.0, 0.0, 0.0, 0.0, 1); ConfidenceFeatures(-1e6, -1e4, -1e5, 0.0, 0.0, 100) ] do
                  let c = fitted.Value.Confidence(0, s)
                  Expect.isTrue (c >= 0.0 && c <= 1.0) $"{c}"

          test "labels that are all right or all wrong give near certainty" {
              for label in [ 0.0; 1.0 ] do
                  let records = make 2 CascadeRecords.Calibration 300 3 (fun _ _ _ -> label)
                  let calibration = ConfidenceCalibration.Fit records
                  for r in records.Records do
                      Expect.isLessThan (abs (calibration.Confidence(1, r.Features[1]) - label)) 0.05 "confidence"
          }
          test "signals that never vary give the share of right answers" {
              let constant = ConfidenceFeatures(-0.5, -0.1, -0.3, 1.0, 0.2, 5)
              let records = make 2 CascadeRecords.Calibration 200 4 (fun _ _ u -> if u < 0.3 then 1.0 else 0.0)
              let same =
                  records.Records
                  |> Seq.map (fun r -> CascadeRecord(r.Split, r.Family, r.Level, r.Cost, r.Quality, r.Answer, [| constant; constant |]))
              let calibration = ConfidenceCalibration.Fit(CascadeRecords(records.Models, Seq.toArray same))
              let share = records.Records |> Seq.averageBy (fun r -> r.Quality[0])
              Expect.floatClose Accuracy.medium (calibration.Confidence(0, constant)) share "share"
          } ]
