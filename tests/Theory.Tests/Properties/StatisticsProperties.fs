/// Properties of the statistics and of speculation: theory-proofs.md 33 to 36, theory.md section 8.
module Theory.Tests.StatisticsProperties

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.Cases

let private allFlips (xs: float[]) = seq {
    for code in 0 .. (1 <<< xs.Length) - 1 -> xs |> Array.mapi (fun i x -> if (code >>> i) &&& 1 = 1 then -x else x)
}

[<Tests>]
let tests =
    testList
        "Properties.Statistics and speculation"
        [ property 300 "P33 the optimal draft length = argmax by scan"
          <| fun (Unit a) (Unit c) ->
              let alpha, cost = 0.98 * a, 0.01 + c
              let best = DraftLength.optimal (alpha, cost)
              let speed g = DraftLength.speedup (alpha, g, cost)
              for g in 0..200 do
                  atMost 1e-12 (speed g) (speed best) $"g = {g}"

          property 300 "P33b drafting pays iff alpha > c"
          <| fun (Unit a) (Unit c) ->
              let alpha, cost = 0.98 * a, 0.01 + c
              if abs (alpha - cost) > 1e-9 then Expect.equal (DraftLength.optimal (alpha, cost) >= 1) (alpha > cost) "alpha > c"

          property 200 "P33c renewal: u(g) >= g/E, and u rises"
          <| fun (Unit a) (Seed seed) ->
              let alpha, length, tokens = 0.98 * a, abs seed % 6, 1 + abs (seed / 10) % 20
              let u r = SpeculationHierarchy.renewalRounds (r, alpha, length)
              atMost 1e-12 (float tokens / DraftLength.expectedTokens (alpha, length)) (u tokens) "u >= r/E"
              atMost 1e-12 (u tokens) (u (tokens + 1)) "rises"
              atMost 1e-12 (u tokens) (float tokens) "at most one token a round"

          property 200 "P33d the speed-up is unimodal in the draft length"
          <| fun (Unit a) (Unit c) ->
              let alpha, cost = 0.98 * a, 0.01 + c
              let speeds = Array.init 60 (fun g -> DraftLength.speedup (alpha, g, cost))
              let best = DraftLength.optimal (alpha, cost)
              speeds
              |> Array.pairwise
              |> Array.iteri (fun g (x, y) -> if g + 1 <= best then atMost 1e-12 x y "rises before" else atMost 1e-12 y x "falls after")

          property 300 "P34 accept or replace: the output distribution is p to 1e-12, acceptance = 1 - TV"
          <| fun (Distributions(p, q)) ->
              allWithin 1e-12 (SpeculativeSampling.outputDistribution (p, q)) p "distribution"
              within 1e-12 (SpeculativeSampling.acceptanceRate (p, q)) (1.0 - SpeculativeSampling.totalVariation (p, q)) "acceptance"
              within 1e-9 (Array.sum (SpeculativeSampling.residual (p, q))) 1.0 "residual"

          property 30 "P34b samples of accept or replace are within the TV radius at confidence 1 - 1e-9, through two levels"
          <| fun (Distributions(p, q)) (Seed seed) ->
              let random, draws = Random seed, 2000
              let draw (distribution: float[]) =
                  let mutable u, i = random.NextDouble(), 0
                  while i < distribution.Length - 1 && u >= distribution[i] do
                      u <- u - distribution[i]
                      i <- i + 1
                  i
              let step target drafts =
                  let residual = SpeculativeSampling.residual (target, q)
                  fun x -> if random.NextDouble() * drafts x < (target: float[])[x] then x else draw residual
              let first = step p (fun x -> q[x])
              let counts: float[] = Array.zeroCreate p.Length
              for _ in 1..draws do
                  let x = first (draw q)
                  counts[x] <- counts[x] + 1.0 / float draws
              atMost
                  0.0
                  (SpeculativeSampling.totalVariation (counts, p))
                  (SpeculativeSampling.totalVariationRadius (p.Length, int64 draws, 1e-9))
                  "TV"

          property 60 "P35 constant acceptance: the draft rule earns the best fixed length's speed-up"
          <| fun (Unit a) (Unit c) ->
              let alpha, cost = 0.05 + 0.85 * a, 0.02 + c
              let rule = DraftStopping.optimal ({ Values = [| alpha |]; Probabilities = [| 1.0 |] }, cost, 80)
              within 1e-9 rule.Rate (DraftLength.speedup (alpha, DraftLength.optimal (alpha, cost), cost)) "rate"

          property 60 "P35b seeing the drafter's confidence never loses against its mean"
          <| fun (Seed seed) (Unit c) ->
              let distribution = randomDistribution (Random seed) 3
              let mean, cost = Array.map2 (*) distribution.Values distribution.Probabilities |> Array.sum, 0.05 + c
              let rule = DraftStopping.optimal (distribution, cost, 12)
              let fixedBest = Seq.max (seq { for g in 0..12 -> DraftLength.speedup (mean, g, cost) })
              atMost 1e-9 fixedBest rule.Rate "rate"

          property 100 "P36 sign flips: the exact p-value counts all 2^M flips"
          <| fun (Sample xs) ->
              let xs = xs[.. min 8 (xs.Length - 1)]
              let statistic (ys: float[]) = abs (Array.sum ys)
              let extreme = allFlips xs |> Seq.filter (fun ys -> statistic ys >= statistic xs - 1e-12) |> Seq.length
              let result = PairedTests.signFlip (xs, 1000, 1UL)
              within 1e-12 result.PValue (float extreme / float (1 <<< xs.Length)) "p"

          property 100 "P36b p-values do not depend on the order of the pairs"
          <| fun (Sample xs) (Seed seed) ->
              let shuffled = Array.copy xs
              (Random seed).Shuffle shuffled
              within 1e-9 (PairedTests.pairedT shuffled).PValue (PairedTests.pairedT xs).PValue "t"
              within 1e-9 (PairedTests.wilcoxon shuffled).PValue (PairedTests.wilcoxon xs).PValue "Wilcoxon"
              let few (ys: float[]) = Array.sort ys[.. min 8 (ys.Length - 1)]
              let some = few xs
              let turned = Array.rev some
              within 1e-12 (PairedTests.signFlip (turned, 100, 1UL)).PValue (PairedTests.signFlip (some, 100, 1UL)).PValue "sign flip"

          property 300 "P36c p <= BH <= Holm <= Bonferroni, and none exceeds 1"
          <| fun (Distributions(p, _)) ->
              let holm, bonferroni, bh = MultipleTesting.holm p, MultipleTesting.bonferroni p, MultipleTesting.benjaminiHochberg p
              for i in 0 .. p.Length - 1 do
                  atMost 1e-12 p[i] bh[i] "p, BH"
                  atMost 1e-12 bh[i] holm[i] "BH, Holm"
                  atMost 1e-12 holm[i] bonferroni[i] "Holm, Bonferroni"
                  atMost 0.0 bonferroni[i] 1.0 "1"

          property 60 "P60 the exact permutation p-value is uniform under the null: P(p <= a) <= a over all flips"
          <| fun (Sample xs) (Unit a) ->
              let xs = xs[.. min 7 (xs.Length - 1)]
              let ps = allFlips xs |> Seq.map (fun ys -> (PairedTests.signFlip (ys, 100, 1UL)).PValue) |> Seq.toArray
              atMost 1e-9 (ps |> Array.averageBy (fun p -> if p <= a then 1.0 else 0.0)) a "level"

          property 200 "P61 swapping the methods: same p-values, opposite effects"
          <| fun (Sample xs) ->
              let negated = xs |> Array.map (fun x -> -x)
              within 1e-12 (PairedTests.pairedT negated).PValue (PairedTests.pairedT xs).PValue "t"
              within 1e-12 (PairedTests.wilcoxon negated).PValue (PairedTests.wilcoxon xs).PValue "Wilcoxon"
              let a, b = EffectSizes.paired xs, EffectSizes.paired negated
              within 1e-12 a.PairedDelta -b.PairedDelta "delta"
              Expect.equal (a.Wins, a.Losses, a.Ties) (b.Losses, b.Wins, b.Ties) "counts"
              within 1e-12 a.MeanDifference -b.MeanDifference "mean"

          property 200 "P62 McNemar: exact is the sign test of the discordant pairs, mid-p the smaller"
          <| fun (Seed seed) ->
              let b, c = abs seed % 40, abs (seed / 100) % 40
              let exact, mid = PairedTests.mcNemarExact (b, c), PairedTests.mcNemarMidP (b, c)
              let n = b + c
              let tail = if n = 0 then 1.0 else 2.0 * MathNet.Numerics.Distributions.Binomial.CDF(0.5, n, float (min b c))
              within 1e-9 exact.PValue (min 1.0 tail) "exact"
              atMost 1e-12 mid.PValue exact.PValue "mid-p"
              within 1e-12 (PairedTests.mcNemarExact (c, b)).PValue exact.PValue "symmetric"

          property 60 "P63 BCa: doubling the data doubles the interval, which stays within their range"
          <| fun (Sample xs) (Seed seed) ->
              let interval (ys: float[]) = Bootstrap.bcaMean (ys, 400, 0.9, uint64 seed)
              // Exactly: a factor of two rounds nothing, so that ties among resamples stay ties.
              let plain, doubled = interval xs, interval (xs |> Array.map (fun x -> 2.0 * x))
              within 1e-12 doubled.Low (2.0 * plain.Low) "low"
              within 1e-12 doubled.High (2.0 * plain.High) "high"
              Expect.isTrue (plain.Low >= Array.min xs - 1e-12 && plain.High <= Array.max xs + 1e-12) "inside the sample's range"

          property 200 "P64 power: required pairs reach it, one fewer does not; the detectable effect is its inverse"
          <| fun (Unit d) (Unit a) (Unit w) ->
              let dz, alpha, power = 0.05 + d, 0.005 + 0.2 * a, 0.5 + 0.45 * w
              let pairs = int (Power.requiredPairs (dz, alpha, power))
              Expect.isTrue (Power.achieved (dz, pairs, alpha) >= power - 1e-9) "enough"
              let effect = Power.minimalDetectableEffect (1.0, pairs, alpha, power)
              atMost 1e-9 effect dz "detects d_z"
              if pairs > 1 then
                  Expect.isTrue (Power.minimalDetectableEffect (1.0, pairs - 1, alpha, power) > dz - 1e-9) "one fewer does not"

          property 200 "P65 non-inferiority: the limit and the p-value agree, and a wider margin is easier"
          <| fun (Sample xs) (Unit m) ->
              let margin = 0.5 * m
              let p = (NonInferiority.pairedT (xs, margin)).PValue
              atMost 1e-12 (NonInferiority.pairedT (xs, margin + 0.1)).PValue p "margin"
              if p > 0.001 && p < 0.999 && p <> 0.5 then
                  within 1e-7 (NonInferiority.lowerLimit (xs, p)) -margin "the limit at level p is the margin"

          property 200 "P66 Hedges' g shrinks d_z, by less as the sample grows"
          <| fun (Sample xs) ->
              let e = EffectSizes.paired xs
              if xs.Length > 2 && Double.IsFinite e.Dz && e.Dz <> 0.0 then
                  Expect.isTrue (abs e.HedgesGz < abs e.Dz) "shrinks"
                  within 1e-12 (e.HedgesGz / e.Dz) (1.0 - 3.0 / (4.0 * float (xs.Length - 1) - 1.0)) "J"

          property 100 "P67 a distribution is carried through two levels of speculation unchanged"
          <| fun (Distributions(p, q)) (Seed seed) ->
              let draft = ChainTests.randomSimplex (Random seed) p.Length
              // Level 1 drafts for level 2, whose output (distribution q) drafts for level 3.
              let middle = SpeculativeSampling.outputDistribution (q, draft)
              allWithin 1e-12 (SpeculativeSampling.outputDistribution (p, middle)) p "distribution" ]
