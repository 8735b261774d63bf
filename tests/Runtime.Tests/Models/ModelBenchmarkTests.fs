/// The benchmark measures something, and in the right order.
module Runtime.Tests.Models.ModelBenchmarkTests

open Expecto
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

[<Tests>]
let tests =
    testCase "ModelBenchmark times every model and finds the larger one dearer" (fun () ->
        use small = load (config 32 1 2 1 16 32 16 true) 1 KernelSets.Best
        use large = load (config 128 6 4 2 32 256 64 true) 1 KernelSets.Best
        let timings = ModelBenchmark.Measure([| small; large |], context = 20, tokens = 10, batch = 8, rounds = 3)
        Expect.equal (timings |> Array.map _.Name) [| small.Name; large.Name |] "names"
        Expect.isTrue (timings |> Array.forall (fun t -> t.SecondsPerToken > 0.0 && t.BatchedSecondsPerToken > 0.0)) "positive"
        let costs = ModelBenchmark.RelativeCosts timings
        Expect.equal costs[0] 1.0 "the first is the unit"
        Expect.isGreaterThan costs[1] 2.0 "the larger costs more")
