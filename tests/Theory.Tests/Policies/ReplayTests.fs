module Theory.Tests.ReplayTests

open System
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests

/// Three stages, costs 1, 2, 4; the second query lacks the middle stage, the third all but the first.
let private cascade =
    RecordedCascade.Create(
        3,
        3,
        [| 1.0; 2.0; 4.0; 1.0; nan; 4.0; 1.0; nan; nan |],
        [| 0.9; 0.5; nan; 0.2; nan; 0.1; 0.3; nan; nan |],
        [| 0.0; 0.5; 1.0; 0.1; nan; 0.9; 0.2; nan; nan |]
    )

let private rows = [| 0; 1; 2 |]

[<Tests>]
let tests =
    testList
        "Examples.Replay"
        [ test "a missing stage fails over to the next later one, else to the latest recorded" {
              let outcome = Replay.run (ThresholdCascade.Fixed(3, 1), cascade, rows)
              Expect.equal outcome.Stage [| 1; 2; 0 |] "stages"
              Expect.equal outcome.Cost [| 2.0; 4.0; 1.0 |] "costs"
              Expect.equal outcome.Quality [| 0.5; 0.9; 0.2 |] "qualities"
          }

          test "a cascade stops at its threshold and pays for all that ran" {
              let outcome = Replay.run (ThresholdCascade(3, [| 0; 1; 2 |], [| 0.9; 0.6 |]), cascade, rows)
              Expect.equal outcome.Stage [| 0; 2; 0 |] "stages"
              Expect.equal outcome.Cost [| 1.0; 5.0; 1.0 |] "costs"
          }

          test "an unreported confidence never stops a cascade early" {
              let silent = RecordedCascade.Create(1, 2, [| 1.0; 2.0 |], [| nan; nan |], [| 1.0; 0.0 |])
              let outcome = Replay.run (ThresholdCascade(2, [| 0; 1 |], [| 0.0 |]), silent, [| 0 |])
              Expect.equal outcome.Stage [| 1 |] "stage"
          }

          test "a family replayed at once does what its policies do one by one" {
              let data = SyntheticCascade.continuous 4 500 41
              let rows = SyntheticCascade.allRows data
              let policies = (PlannedFamily.fit (data, rows[..249], ActionSet.Recall)).Family.Policies
              let together = FamilyReplay.run (policies, data, rows, 7)
              for p in 0 .. policies.Length - 1 do
                  let alone = GroupedOutcome.Replay(policies[p], data, rows, 7)
                  Close.allWithin 1e-9 together[p].Cost alone.Cost "cost"
                  Close.allWithin 1e-9 together[p].Quality alone.Quality "quality"
                  Expect.equal together[p].Stops alone.Stops "stops"
          }

          test "malformed cascades and cascades are refused" {
              let one = [| 0.5 |]
              Close.rejects (fun () -> RecordedCascade.Create(1, 1, [| -1.0 |], one, one) |> ignore) "negative cost"
              Close.rejects (fun () -> RecordedCascade.Create(1, 1, one, [| 1.5 |], one) |> ignore) "confidence above 1"
              Close.rejects (fun () -> RecordedCascade.Create(1, 1, [| nan |], one, [| nan |]) |> ignore) "nothing recorded"
              Close.rejects (fun () -> RecordedCascade.Create(2, 1, one, one, one) |> ignore) "too short"
              Close.rejects (fun () -> ThresholdCascade(3, [| 1; 1 |], [| 0.5 |]) |> ignore) "a stage twice"
              Close.rejects (fun () -> ThresholdCascade(3, [| 0; 1 |], [||]) |> ignore) "a threshold short"
          } ]
