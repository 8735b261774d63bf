/// The guarantees of intervals and tests, tried by simulation or enumeration where no other test does: how often an
/// interval covers, how often a test rejects a true null. docs/self-checks.md says which check covers which function.
module Theory.Tests.ErrorRatesTests

open System
open Expecto
open OptimalStopping.Theory

/// A rate estimated from so many trials must lie within three standard errors of [low, high].
let private expectRate (trials: int) (low: float) (high: float) (name: string) (happens: int -> bool) =
    let rate = float (Seq.init trials happens |> Seq.filter id |> Seq.length) / float trials
    let slack p = 3.0 * sqrt (p * (1.0 - p) / float trials)
    Expect.isTrue (rate >= low - slack low && rate <= high + slack high) $"{name}: {rate} of {trials} trials, expected {low} to {high}"

let private normal (random: Random) = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())

let private binomial (n: int) (k: int) = MathNet.Numerics.Distributions.Binomial.PMF(0.5, n, k)

[<Tests>]
let tests =
    testList
        "Examples.ErrorRates"
        [
          // Nominal 90 %. The bootstrap undercovers somewhat at these sizes; the bars say by how much at most.
          testCase "coverage: bca of a median, bcaClusteredMean with dependence in clusters, pairedPercentile"
          <| fun () ->
              let random = Random 91
              let median (xs: float[]) = (let s = Array.sort xs in 0.5 * (s[(s.Length - 1) / 2] + s[s.Length / 2]))
              expectRate 400 0.84 0.95 "median of 41 exponentials" (fun trial ->
                  let xs = Array.init 41 (fun _ -> -log(1.0 - random.NextDouble()))
                  let i = Bootstrap.bca (xs, Func<_, _> median, 300, 0.9, uint64 trial)
                  i.Low <= log 2.0 && log 2.0 <= i.High)
              let clustered trial =
                  let centres = Array.init 30 (fun _ -> normal random)
                  let xs = Array.init 150 (fun q -> centres[q / 5] + 0.5 * normal random)
                  xs, Array.init 150 (fun q -> q / 5), uint64 (trial: int)
              expectRate 400 0.83 0.93 "30 clusters of 5" (fun trial ->
                  let xs, clusters, seed = clustered trial
                  let i = Bootstrap.bcaClusteredMean (xs, clusters, 300, 0.9, seed)
                  i.Low <= 0.0 && 0.0 <= i.High)
              // The same data as if independent: the check can tell a wrong interval.
              expectRate 400 0.0 0.7 "clusters ignored" (fun trial ->
                  let xs, _, seed = clustered trial
                  let i = Bootstrap.bcaMean (xs, 300, 0.9, seed)
                  i.Low <= 0.0 && 0.0 <= i.High)
              expectRate 400 0.84 0.92 "paired percentile, 40 pairs" (fun trial ->
                  let a = Array.init 40 (fun _ -> normal random)
                  let b = a |> Array.map (fun x -> x - 0.3 + normal random)
                  let i = Bootstrap.pairedPercentile (a, b, 300, 0.9, uint64 trial)
                  i.Low <= 0.3 && 0.3 <= i.High)

          testCase "false positives at 5 %: pairedT, signFlip by sampling, wilcoxonNormal, on differences with ties and zeros"
          <| fun () ->
              let random = Random 92
              let symmetric () = Array.init 40 (fun _ -> Math.Round(normal random, 1))
              expectRate 2000 0.03 0.055 "pairedT" (fun _ -> (PairedTests.pairedT (symmetric ())).PValue <= 0.05)
              expectRate 2000 0.03 0.055 "wilcoxonNormal" (fun _ -> (PairedTests.wilcoxonNormal (symmetric ())).PValue <= 0.05)
              expectRate 1000 0.02 0.05 "signFlip" (fun trial -> (PairedTests.signFlip (symmetric (), 200, uint64 trial)).PValue <= 0.05)
              // With a difference they reject: a test that never does would pass all of the above but the lower bars.
              expectRate 200 0.9 1.0 "pairedT, difference 0.6" (fun _ ->
                  (PairedTests.pairedT (symmetric () |> Array.map ((+) 0.6))).PValue <= 0.05)

          testCase "false positives of McNemar's tests by enumeration: exact never above its level, mid-p never twice"
          <| fun () ->
              for n in 1..60 do
                  for level in [ 0.01; 0.05; 0.1 ] do
                      let rate (test: struct (int * int) -> TestResult) =
                          Seq.init (n + 1) id |> Seq.filter (fun k -> (test (struct (k, n - k))).PValue <= level) |> Seq.sumBy (binomial n)
                      let exact = rate (fun (struct (a, b)) -> PairedTests.mcNemarExact (a, b))
                      let midP = rate (fun (struct (a, b)) -> PairedTests.mcNemarMidP (a, b))
                      Expect.isLessThanOrEqual exact (level + 1e-12) $"exact, {n} discordant pairs, level {level}"
                      Expect.isLessThan midP (2.0 * level) $"mid-p, {n} discordant pairs, level {level}"

          testCase
              "families of 10: Bonferroni and Holm reject a true null in at most 5 % of families, Benjamini-Hochberg's false share is at most 5 %"
          <| fun () ->
              let random = Random 93
              let trials, effects = 2000, 4
              let mutable bonferroni, holm, falseShare = 0, 0, 0.0
              for _ in 1..trials do
                  // The first four hypotheses are false: their p-values are small.
                  let p = Array.init 10 (fun i -> if i < effects then random.NextDouble() ** 4.0 else random.NextDouble())
                  let rejected (adjusted: float[]) =
                      [ for i in 0..9 do
                            if adjusted[i] <= 0.05 then i ]
                  let trueNulls list = list |> List.filter (fun i -> i >= effects) |> List.length
                  if trueNulls (rejected (MultipleTesting.bonferroni p)) > 0 then bonferroni <- bonferroni + 1
                  if trueNulls (rejected (MultipleTesting.holm p)) > 0 then holm <- holm + 1
                  let bh = rejected (MultipleTesting.benjaminiHochberg p)
                  if not bh.IsEmpty then falseShare <- falseShare + float (trueNulls bh) / float bh.Length
              let bar = 0.05 + 3.0 * sqrt (0.05 * 0.95 / float trials)
              Expect.isLessThan (float bonferroni / float trials) bar "Bonferroni"
              Expect.isLessThan (float holm / float trials) bar "Holm"
              Expect.isLessThan (falseShare / float trials) bar "Benjamini-Hochberg"
              Expect.isGreaterThan holm (bonferroni - 1) "Holm rejects whatever Bonferroni does"
              Expect.isGreaterThan falseShare 0.0 "the check sees false rejections at all" ]
