module Theory.Tests.EffectSizesTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.EffectSizes"
        [ testCase "d_z is t / sqrt M, on the sleep data (t from R 4.2.2)"
          <| fun () ->
              let effect = EffectSizes.paired [| 1.2; 2.4; 1.3; 1.3; 0.0; 1.0; 1.8; 0.8; 4.6; 1.4 |]
              within 1e-12 effect.MeanDifference 1.58 "mean"
              within 1e-12 effect.Dz (4.06212768338204 / sqrt 10.0) "d_z"
              within 1e-12 effect.HedgesGz (effect.Dz * (1.0 - 3.0 / 35.0)) "g_z, nu = 9"
              within 1e-12 effect.PairedDelta 0.9 "nine wins and a tie"
              Expect.equal (effect.Wins, effect.Losses, effect.Ties) (9, 0, 1) "counts"

          testCase "swapping the methods flips every sign"
          <| fun () ->
              let d = [| 0.3; -0.1; 0.0; 0.7; -0.2 |]
              let there, back = EffectSizes.paired d, EffectSizes.paired (Array.map (~-) d)
              Expect.equal
                  (back.MeanDifference, back.Dz, back.HedgesGz, back.PairedDelta)
                  (-there.MeanDifference, -there.Dz, -there.HedgesGz, -there.PairedDelta)
                  "signs"

          testCase "constant differences"
          <| fun () ->
              Expect.equal (EffectSizes.paired [| 0.0; 0.0 |]).Dz 0.0 "zero"
              Expect.equal (EffectSizes.paired [| -0.1; -0.1; -0.1 |]).Dz -infinity "constant"
              for d in [ 0.1; -0.1 ] do
                  let two = EffectSizes.paired [| d; d |]
                  Expect.equal (two.Dz, two.HedgesGz) (infinity * d, infinity * d) "two equal differences, where Hedges' factor is 0"

          testCase "differences that are only rounding are ties"
          <| fun () ->
              let effect = EffectSizes.paired [| 0.4; 0.3 - 0.1 - 0.2; 0.1 + 0.2 - 0.3; -0.1; 1e-9 |]
              Expect.equal (effect.Wins, effect.Losses, effect.Ties) (2, 1, 2) "1e-9 is a win, 5e-17 is none"
              let tiny = EffectSizes.paired [| 4e-17; -1e-17 |]
              Expect.equal (tiny.Wins, tiny.Losses) (1, 1) "relative to the largest"

          testCase "Cliff's delta and the paired one by counting all pairs, ties and rounding among them"
          <| fun () ->
              let random = Random 31
              for _ in 1..200 do
                  let size = random.Next(2, 30)
                  let quarter () = 0.25 * float (random.Next 5)
                  let a, b = Array.init size (fun _ -> quarter () + 0.1), Array.init size (fun _ -> quarter () + 0.3 - 0.2)
                  let sign (x: float) = if abs x < 1e-9 then 0.0 else float (sign x)
                  let cliff, paired = Dominance.cliff (a, b, 0.95), Dominance.paired (a, b, 0.95)
                  let signs = Array.allPairs a b |> Array.map (fun (x, y) -> sign (x - y))
                  within 1e-12 cliff.Estimate (Array.average signs) "Cliff"
                  within 1e-12 paired.Estimate (Array.map2 (fun x y -> sign (x - y)) a b |> Array.average) "paired"
                  within 1e-12 paired.Estimate (EffectSizes.paired (Array.map2 (-) a b)).PairedDelta "the effect's"
                  for i in [ cliff; paired ] do
                      Expect.isTrue (-1.0 <= i.Low && i.Low <= i.Estimate && i.Estimate <= i.High && i.High <= 1.0) $"{i}"
                  let back = Dominance.cliff (b, a, 0.95)
                  allWithin 1e-12 [| back.Estimate; back.Low; back.High |] [| -cliff.Estimate; -cliff.High; -cliff.Low |] "swapped"

          testCase "Cliff's interval by hand, and the exact one at the ends"
          <| fun () ->
              // a = (1, 3), b = (2, 0): signs -1, 1, 1, 1: delta 1/2. Query 1 says (0 + 0)/2, query 2 (2 + 2)/2: s = sqrt 2,
              // standard error 1.
              let d, s, z = 0.5, 1.0, 1.959963984540054
              let root = sqrt ((1.0 - d * d) ** 2.0 + z * z * s * s)
              let bound side = (d - d * d * d + side * z * s * root) / (1.0 - d * d + z * z * s * s)
              let i = Dominance.cliff ([| 1.0; 3.0 |], [| 2.0; 0.0 |], 0.95)
              allWithin 1e-12 [| i.Estimate; i.Low; i.High |] [| 0.5; max -1.0 (bound -1.0); min 1.0 (bound 1.0) |] "by hand"
              let all = Dominance.paired (Array.create 20 1.0, Array.create 20 0.0, 0.95)
              allWithin 1e-12 [| all.Estimate; all.Low; all.High |] [| 1.0; 2.0 * 0.025 ** 0.05 - 1.0; 1.0 |] "20 of 20"
              let none = Dominance.cliff (Array.create 20 0.0, Array.create 20 1.0, 0.95)
              allWithin 1e-12 [| none.Estimate; none.Low; none.High |] [| -1.0; -1.0; 1.0 - 2.0 * 0.025 ** 0.05 |] "0 of 20"
              let same = Dominance.cliff (Array.create 5 0.3, Array.create 5 0.3, 0.95)
              Expect.equal (same.Estimate, same.Low, same.High) (0.0, 0.0, 0.0) "all tie"

          testCase "both deltas' intervals cover on dependent pairs"
          <| fun () ->
              let random, normal =
                  Random 32, fun (random: Random) -> MathNet.Numerics.Distributions.Normal.InvCDF(0.0, 1.0, random.NextDouble())
              let cdf x = MathNet.Numerics.Distributions.Normal.CDF(0.0, 1.0, x)
              let runs = 1000
              let mutable paired, cliff = 0, 0
              for _ in 1..runs do
                  let common = Array.init 30 (fun _ -> normal random)
                  let a, b = common |> Array.map (fun z -> z + normal random + 0.5), common |> Array.map (fun z -> z + normal random)
                  let covers (i: Interval) truth = if i.Low <= truth && truth <= i.High then 1 else 0
                  paired <- paired + covers (Dominance.paired (a, b, 0.95)) (2.0 * cdf (0.5 / sqrt 2.0) - 1.0)
                  cliff <- cliff + covers (Dominance.cliff (a, b, 0.95)) (2.0 * cdf 0.25 - 1.0)
              // 0.95 less four standard errors and a little for the approximation; and not always, which would be too wide.
              for name, hits in [ "paired", paired; "Cliff", cliff ] do
                  Expect.isTrue (hits >= 915 && hits <= 985) $"{name}: {hits} of {runs}" ]
