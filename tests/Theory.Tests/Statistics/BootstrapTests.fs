module Theory.Tests.BootstrapTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private darwin = [| 6.; 8.; 14.; 16.; 23.; 24.; 28.; 29.; 41.; -48.; 49.; 56.; 60.; -67.; 75. |]

let private variance (xs: float[]) =
    let m = Array.average xs
    xs |> Array.averageBy (fun x -> (x - m) * (x - m))

[<Tests>]
let tests =
    testList
        "Examples.Bootstrap"
        [ testCase "BCa and percentile of the mean and BCa of the variance: scipy 1.10.1, bootstrap, 400,000 resamples"
          <| fun () ->
              // The reference's own simulation error is about .1; ours at 100,000 about .2 (means), 20 (variances).
              let mean = Bootstrap.bcaMean (darwin, 100000, 0.95, 1UL)
              within 0.4 mean.Low -1.733 "BCa low"
              within 0.4 mean.High 36.267 "BCa high"
              let percentile = Bootstrap.pairedPercentile (darwin, Array.zeroCreate 15, 100000, 0.95, 2UL)
              within 0.4 percentile.Low 1.267 "percentile low"
              within 0.4 percentile.High 38.133 "percentile high"
              let spread = Bootstrap.bca (darwin, Func<_, _> variance, 100000, 0.95, 3UL)
              within 15.0 spread.Low 469.57 "variance low"
              within 40.0 spread.High 2769.84 "variance high"

          testCase "the fast path for means is the general path, and the seed decides all"
          <| fun () ->
              let general = Bootstrap.bca (darwin, Func<_, _> Array.average, 2000, 0.9, 4UL)
              let fast = Bootstrap.bcaMean (darwin, 2000, 0.9, 4UL)
              within 1e-9 fast.Low general.Low "low"
              within 1e-9 fast.High general.High "high"
              Expect.equal (Bootstrap.bcaMean (darwin, 2000, 0.9, 4UL)) fast "same seed"
              Expect.notEqual (Bootstrap.bcaMean (darwin, 2000, 0.9, 5UL)) fast "another seed"

          testCase "BCa by its formula on data with ties: half of the replicates that equal the estimate lie below it"
          <| fun () ->
              let normal p = MathNet.Numerics.Distributions.Normal.InvCDF(0.0, 1.0, p)
              let cdf x = MathNet.Numerics.Distributions.Normal.CDF(0.0, 1.0, x)
              let draws = Random 19
              for seed in 1UL .. 40UL do
                  let sample = Array.init (4 + draws.Next 9) (fun _ -> 0.25 * float (draws.Next 4))
                  sample[0] <- 0.75
                  sample[1] <- 0.0
                  let size, estimate = sample.Length, Array.average sample
                  let random = SplitMix64 seed
                  let replicates =
                      Array.init 200 (fun _ -> Array.init size (fun _ -> sample[random.NextIndex size]) |> Array.average) |> Array.sort
                  let share =
                      replicates
                      |> Array.sumBy (fun r ->
                          if r < estimate then 1.0
                          elif r = estimate then 0.5
                          else 0.0)
                  let rest = Array.init size (fun i -> (Array.sum sample - sample[i]) / float (size - 1))
                  let centre = Array.average rest
                  let power p = rest |> Array.sumBy (fun x -> (centre - x) ** p)
                  let bias, a = normal (share / 200.0), power 3.0 / (6.0 * power 2.0 ** 1.5)
                  let bound tail =
                      let z = bias + normal tail
                      let position = 199.0 * cdf (bias + z / (1.0 - a * z))
                      let below = min 198 (int position)
                      replicates[below] + (position - float below) * (replicates[below + 1] - replicates[below])
                  let interval = Bootstrap.bcaMean (sample, 200, 0.9, seed)
                  allWithin 1e-9 [| interval.Low; interval.High |] [| bound 0.05; bound 0.95 |] $"seed {seed}"

          testCase "an estimate outside all replicates gives a finite interval inside them"
          <| fun () ->
              let distinct (xs: float[]) = float (Array.distinct xs).Length
              let interval = Bootstrap.bca (Array.init 30 float, Func<_, _> distinct, 200, 0.95, 8UL)
              Expect.equal interval.Estimate 30.0 "all differ"
              Expect.isTrue (interval.Low >= 10.0 && interval.Low <= interval.High && interval.High < 30.0) $"{interval}"

          testCase "a constant sample gives a point"
          <| fun () ->
              let point = Bootstrap.bcaMean (Array.create 9 0.5, 200, 0.95, 1UL)
              Expect.equal (point.Low, point.High) (0.5, 0.5) "interval"

          testCase "coverage of the mean of a skewed distribution near its level"
          <| fun () ->
              // 1,000 samples of 40 exponentials at nominal 95 %. BCa undercovers somewhat at this size and skewness; the bars,
              // five standard errors and more away, catch an interval of the wrong width or centre.
              let random = Random 17
              let covered =
                  Seq.init 1000 (fun trial ->
                      let xs = Array.init 40 (fun _ -> -log(1.0 - random.NextDouble()))
                      let interval = Bootstrap.bcaMean (xs, 800, 0.95, uint64 trial)
                      interval.Low <= 1.0 && 1.0 <= interval.High)
                  |> Seq.filter id
                  |> Seq.length
              Expect.isTrue (covered > 895 && covered < 985) $"covered {covered} of 1000"

          testCase "BCa misses its level on few observations, which is what SmallSample warns of"
          <| fun () ->
              let random = Random 18
              let covered size =
                  Seq.init 2000 (fun trial ->
                      let xs = Array.init size (fun _ -> -log(1.0 - random.NextDouble()))
                      let interval = Bootstrap.bcaMean (xs, 400, 0.95, uint64 trial)
                      interval.Low <= 1.0 && 1.0 <= interval.High)
                  |> Seq.filter id
                  |> Seq.length
              let few, enough = covered 10, covered Bootstrap.SmallSample
              Expect.isTrue (few > 1650 && few < 1820) $"10 observations: {few} of 2000"
              Expect.isTrue (enough > 1820) $"{Bootstrap.SmallSample} observations: {enough} of 2000"

          testCase "the interval of d_z: on one statistic the percentiles of its resamples, and it covers"
          <| fun () ->
              let dz (xs: float[]) =
                  let m = Array.average xs
                  m / sqrt ((xs |> Array.sumBy (fun x -> (x - m) * (x - m))) / float (xs.Length - 1))
              let interval = Bootstrap.standardisedMean (darwin, 2000, 0.9, 7UL)
              within 1e-12 interval.Estimate (dz darwin) "estimate"
              let random = SplitMix64 7UL
              let values = Array.init 2000 (fun _ -> dz (Array.init 15 (fun _ -> darwin[random.NextIndex 15]))) |> Array.sort
              let quantile p = values[int (p * 1999.0)], values[int (p * 1999.0) + 1]
              for p, x in [ 0.05, interval.Low; 0.95, interval.High ] do
                  let low, high = quantile p
                  Expect.isTrue (low - 1e-12 <= x && x <= high + 1e-12) $"{p}: {x} in [{low}, {high}]"
              let constant = Bootstrap.standardisedMean (Array.create 5 0.1, 200, 0.95, 1UL)
              Expect.equal (constant.Low, constant.High) (0.0, 0.0) "no spread"

          testCase "clusters: of one value each they change nothing; copies of a value add no information"
          <| fun () ->
              let plain = Bootstrap.bcaMean (darwin, 2000, 0.95, 6UL)
              let single = Bootstrap.bcaClusteredMean (darwin, [| 0..14 |], 2000, 0.95, 6UL)
              let copied = darwin |> Array.collect (Array.replicate 4)
              let fourfold = Bootstrap.bcaClusteredMean (copied, Array.init 60 (fun i -> i / 4), 2000, 0.95, 6UL)
              for interval in [ single; fourfold ] do
                  within 1e-9 interval.Low plain.Low "low"
                  within 1e-9 interval.High plain.High "high"
              rejects (fun () -> Bootstrap.bcaClusteredMean (darwin, Array.create 15 3, 2000, 0.95, 6UL) |> ignore) "one cluster"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> Bootstrap.bcaMean ([| 1.0 |], 1000, 0.95, 1UL) |> ignore) "one observation"
              rejects (fun () -> Bootstrap.bcaMean (darwin, 1000, 1.0, 1UL) |> ignore) "level 1"
              rejects (fun () -> Bootstrap.pairedPercentile (darwin, [| 1.0 |], 1000, 0.9, 1UL) |> ignore) "lengths" ]
