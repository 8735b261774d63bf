/// Whether it pays that a larger model only reads the answer that is there.
module Experiments.Tests.LookExperimentTests

open Support
open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades

let private quiet = Action<string, float>(fun _ _ -> ())

[<Tests>]
let tests =
    testList
        "Looks"
        [ test "a look is cheaper than an answer, tells more than the writer, and the planner uses it where that pays" {
              use folder = new RandomCheckpoint.TemporaryFolder()
              let options = ExperimentOptions(LookQueries = 400, Resamples = 200)
              let file = CascadeFile.Load(Path.Combine(Repository.root, "configs", "nano.yaml"))
              LookExperiment.Run(file, options, folder.Path, quiet, CancellationToken.None)
              let points = ResultTable.Read<LookPoint>(folder.Path)
              let qualities = ResultTable.Read<LookQuality>(folder.Path)
              Expect.equal (points |> Seq.countBy (fun p -> p.Setting) |> Seq.toList) [ "measured", 24; "published", 24 ] "points"
              Expect.equal (qualities |> Seq.countBy (fun s -> s.Setting) |> Seq.toList) [ "measured", 6; "published", 1 ] "every pair"
              for p in points do
                  let gain = p.QualityWith - p.Lambda * p.CostWith - (p.QualityWithout - p.Lambda * p.CostWithout)
                  Expect.floatClose Accuracy.low p.Gain gain $"{p}"
                  Expect.isTrue (p.GainLow <= p.Gain && p.Gain <= p.GainHigh) $"{p}"
                  // The planner may always leave looks alone, so what it loses is noise of the fit.
                  Expect.isGreaterThan p.Gain -0.03 $"{p}"
              let published = qualities |> Seq.find (fun s -> s.Setting = "published")
              // Reading a token takes less than a twentieth of writing one there; the answers here are short.
              Expect.isLessThan published.LookCost (0.6 * published.AnswerCost) $"{published}"
              Expect.isGreaterThan published.AurocWithLook published.AurocOfWriter $"{published}"
              Expect.exists points (fun p -> p.Looks > 0.0) "some policy looks"
          } ]
