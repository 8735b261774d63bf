/// Prices of tokens from times, and the cascade that is planned with them against its largest model on the clock.
module Experiments.Tests.SavingsExperimentTests

open Support
open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades

let private quiet = Action<string, float>(fun _ _ -> ())

let private timed (read: float) (written: float) (noise: unit -> float) count =
    let random = Random 3
    [| for _ in 1..count ->
           let prompt, completion = random.Next(1, 200), random.Next(1, 60)
           TimedAnswer(prompt, completion, (read * float prompt + written * float completion) * noise ()) |]

[<Tests>]
let tests =
    testList
        "Savings"
        [ test "prices are those of the times, exactly without noise and nearly with it" {
              let exact = MeasuredPrices.InSeconds(timed 2e-6 5e-5 (fun () -> 1.0) 50)
              Expect.floatClose Accuracy.high exact.Input 2.0 "read"
              Expect.floatClose Accuracy.high exact.Output 50.0 "written"
              let random = Random 4
              let near = MeasuredPrices.InSeconds(timed 2e-6 5e-5 (fun () -> 0.9 + 0.2 * random.NextDouble()) 2000)
              Expect.isLessThan (abs (near.Input / 2.0 - 1.0)) 0.1 "read, with noise"
              Expect.isLessThan (abs (near.Output / 50.0 - 1.0)) 0.02 "written, with noise"
          }
          test "a price is never below nothing, and what cannot be told apart is charged to what is written" {
              let of' answers = MeasuredPrices.InSeconds [| for p, c, s in answers -> TimedAnswer(p, c, s) |]
              let same = of' [ 10, 5, 1.0; 20, 10, 2.0 ]
              Expect.equal same.Input 0.0 "the same ratio of tokens in all"
              Expect.floatClose Accuracy.high same.Output 2e5 "all to the answer"
              let falling = of' [ 100, 1, 1.0; 1, 100, 200.0; 200, 1, 0.9 ]
              Expect.isTrue (falling.Input >= 0.0 && falling.Output > 0.0) "longer prompts that took less time"
              let reading = of' [ 10, 0, 1.0; 20, 0, 2.0 ]
              Expect.floatClose Accuracy.high reading.Input 1e5 "nothing was written"
              Expect.throwsT<ArgumentException> (fun () -> of' [ 10, 5, 0.0 ] |> ignore) "no time"
          }
          testSequenced (
              test "on the nano cascade: the policy keeps its quality, and what is charged is what the clock says" {
                  use folder = new RandomCheckpoint.TemporaryFolder()
                  let options = ExperimentOptions(SavingsCalibration = 600, SavingsQueries = 60, SavingsRounds = 3, Resamples = 200)
                  let file = CascadeFile.Load(Path.Combine(Repository.root, "configs", "nano.yaml"))
                  SavingsExperiment.Run(file, options, folder.Path, quiet, CancellationToken.None)
                  let data = ResultTable.Read<Saving>(folder.Path)
                  Expect.equal (data |> Seq.map (fun r -> r.Mode) |> Seq.distinct |> Seq.toList) [ "one"; "batch" ] "modes"
                  for row in data do
                      Expect.isGreaterThan row.Kept (row.Target - 0.12) $"{row}"
                      Expect.isTrue (row.SpeedupLow <= row.Speedup && row.Speedup <= row.SpeedupHigh) $"{row}"
                  // Loosely, since other tests run on the same cores: the ratio of the two, and not each, is what should hold.
                  let one = data |> Seq.filter (fun r -> r.Mode = "one") |> Seq.toArray
                  let ratios = [| for row in one -> row.ChargedSaving / row.Speedup |] |> Array.sort
                  Expect.isTrue (ratios[1] > 0.5 && ratios[1] < 2.0) $"charged over clock: {ratios[1]}"
                  let prices = ResultTable.Read<MeasuredPrice>(folder.Path)
                  Expect.floatClose Accuracy.medium (Seq.last prices).CostPerAnswer MeasuredPrices.Largest "the unit"
              }
          ) ]
