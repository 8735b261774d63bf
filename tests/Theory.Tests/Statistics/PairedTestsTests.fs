module Theory.Tests.PairedTestsTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Student's sleep data (R, datasets::sleep): extra hours under drug 2 less under drug 1.
let private sleep = [| 1.2; 2.4; 1.3; 1.3; 0.0; 1.0; 1.8; 0.8; 4.6; 1.4 |]
/// Heights of maize, cross less self-fertilised (Darwin; the example of scipy.stats.wilcoxon's documentation).
let private darwin = [| 6.; 8.; 14.; 16.; 23.; 24.; 28.; 29.; 41.; -48.; 49.; 56.; 60.; -67.; 75. |]
/// Zeros and ties.
let private tied = [| 0.; 0.; 1.; 1.; -1.; 2.; 2.; -3.; 4.; 0.; 5.; -2.; 1.; 0.; 3. |]

/// All 2^M sign flips, by recursion: the independent reference of the exact test.
let private enumerated (d: float[]) =
    let rec sums i s = if i = d.Length then [ s ] else sums (i + 1) (s + d[i]) @ sums (i + 1) (s - d[i])
    let bar = abs (Array.sum d) - 1e-9
    let all = sums 0 0.0
    float (all |> List.filter (fun s -> abs s >= bar) |> List.length) / float all.Length

let private random (seed: int) count = let r = Random seed in Array.init count (fun _ -> r.NextDouble() - 0.4)

[<Tests>]
let tests =
    testList
        "Examples.PairedTests"
        [ testCase "paired t on the sleep data: R 4.2.2, t.test"
          <| fun () ->
              let result = PairedTests.pairedT sleep
              within 1e-12 result.Statistic 4.06212768338204 "t"
              within 1e-12 result.PValue 0.00283289019738427 "p"

          testCase "paired t of constant differences"
          <| fun () ->
              Expect.equal (PairedTests.pairedT (Array.zeroCreate 5)).PValue 1.0 "all zero"
              let constant = PairedTests.pairedT (Array.create 7 0.1)
              Expect.equal (constant.Statistic, constant.PValue) (infinity, 0.0) "constant"

          testCase "sign flips enumerated: 106/1024, 5696/32768 and 4/1024 (separate enumeration in Python)"
          <| fun () ->
              let p (d: float[]) = (PairedTests.signFlip (d, 100, 1UL)).PValue
              within 1e-15 (p darwin[..9]) (106.0 / 1024.0) "first ten of darwin"
              within 1e-15 (p tied) (5696.0 / 32768.0) "tied"
              within 1e-15 (p sleep) (4.0 / 1024.0) "sleep"

          testCase "property 36: exact on all 2^M sign flips for M <= 10, and invariant to the order of pairs"
          <| fun () ->
              for seed in 1..40 do
                  let d = random seed (2 + seed % 9)
                  let p = (PairedTests.signFlip (d, 100, 1UL)).PValue
                  within 1e-12 p (enumerated d) $"M = {d.Length}"
                  Expect.equal (PairedTests.signFlip (Array.rev d, 100, 1UL)).PValue p "reversed"
              let long = random 3 200 |> Array.map (fun d -> d - 0.08)
              let p = (PairedTests.signFlip (long, 999, 5UL)).PValue
              Expect.isGreaterThan p 0.01 "not at the least p, where equality would say little"
              Expect.equal (PairedTests.signFlip (Array.rev long, 999, 5UL)).PValue p "Monte Carlo"

          testCase "the tail bound lies above the exact p-value, and takes over where no resample is as extreme"
          <| fun () ->
              for seed in 1..40 do
                  let d = random seed (2 + seed % 9) |> Array.map (fun v -> v + 0.1 * float (seed % 5))
                  Expect.isGreaterThanOrEqual (PairedTests.flipTail d + 1e-12) (enumerated d) $"seed {seed}"
              let clear = random 4 400 |> Array.map (fun d -> d + 0.4)
              let result = PairedTests.signFlip (clear, 99, 1UL)
              within 1e-15 result.PValue (PairedTests.flipTail clear) "below the floor of 0.01"
              Expect.isLessThan result.PValue 0.001 "well below"
              Expect.equal (PairedTests.flipTail [| 0.0; 0.0 |]) 1.0 "no difference"

          testCase "exact p-values are uniform under the null: P(p <= a) <= a over all flips of one sample"
          <| fun () ->
              let d = random 11 9
              let p =
                  [| for b in 0..511 ->
                         let flipped = d |> Array.mapi (fun i x -> if (b >>> i) &&& 1 = 1 then -x else x)
                         (PairedTests.signFlip (flipped, 100, 1UL)).PValue |]
              for level in p do
                  let share = float (p |> Array.filter (fun q -> q <= level) |> Array.length) / 512.0
                  within 1e-12 share level "P(p <= level)"

          testCase "Monte Carlo agrees with the exact p-value and never returns 0"
          <| fun () ->
              // 17 pairs, so simulated; by enumeration of 2^17 flips, with standard error at most .0016 at 100,000 flips.
              let d = random 21 17
              let simulated = PairedTests.signFlip (d, 100000, 9UL)
              Expect.isFalse simulated.Exact "simulated"
              within 0.01 simulated.PValue (enumerated d) "p"
              let least = (PairedTests.signFlip (Array.create 100 1.0, 999, 1UL)).PValue
              within 1e-12 (least / (2.0 * exp -50.0)) 1.0 "least p"
              Expect.equal (PairedTests.signFlip (Array.create 17 1.0, 9, 1UL)).PValue (2.0 * exp -8.5) "few"

          testCase "Wilcoxon exact: R 4.2.2, example of wilcox.test (depression scale), V = 40, p = 0.0390625"
          <| fun () ->
              let x = [| 1.83; 0.50; 1.62; 2.48; 1.68; 1.88; 1.55; 3.06; 1.30 |]
              let y = [| 0.878; 0.647; 0.598; 2.05; 1.06; 1.29; 1.06; 3.14; 1.29 |]
              let result = PairedTests.wilcoxon (Array.map2 (-) x y)
              Expect.equal result.Statistic 40.0 "V"
              within 1e-15 result.PValue 0.0390625 "p"

          testCase "Wilcoxon exact: scipy 1.10.1, example of scipy.stats.wilcoxon, p = 0.041259765625"
          <| fun () -> within 1e-15 (PairedTests.wilcoxonExact darwin).PValue 0.041259765625 "p"

          testCase "Wilcoxon normal with Pratt zeros and ties: scipy 1.10.1, zero_method='pratt', mode='approx'"
          <| fun () ->
              within 1e-12 (PairedTests.wilcoxonNormal sleep).PValue 0.005825024199461522 "sleep"
              within 1e-12 (PairedTests.wilcoxonNormal tied).PValue 0.13373114201804104 "tied"

          testCase "ties and zeros up to rounding are ties and zeros"
          <| fun () ->
              // Multiples of 0.1 as whole numbers, and as sums that miss them by an ulp or two.
              let whole = [| 2.0; -2.0; 1.0; 0.0; 3.0; 3.0; -1.0; 2.0; 0.0; 4.0; -3.0 |]
              let summed = whole |> Array.mapi (fun i x -> if i % 2 = 0 then 0.1 * x + 0.7 - 0.7 else (x * 0.3 + 0.3) / 3.0 - 0.1)
              Expect.isFalse (Array.forall2 (fun w s -> 0.1 * w = s) whole summed) "rounding there is"
              for test in [ PairedTests.wilcoxonExact; PairedTests.wilcoxonNormal; (fun d -> PairedTests.signFlip (d, 100, 1UL)) ] do
                  within 1e-12 (test summed).PValue (test whole).PValue "p"
              Expect.equal (PairedTests.wilcoxonExact summed).Statistic (PairedTests.wilcoxonExact whole).Statistic "W"
              within
                  1e-15
                  (PairedTests.wilcoxonExact (whole |> Array.map (fun x -> 1e-30 * x))).PValue
                  (PairedTests.wilcoxonExact whole).PValue
                  "scale"

          testCase "Wilcoxon exact with ties equals enumeration of the signs of Pratt's ranks"
          <| fun () ->
              let magnitudes = tied |> Array.map abs
              let rank v =
                  let below = magnitudes |> Array.filter (fun x -> x < v) |> Array.length
                  let equal = magnitudes |> Array.filter (fun x -> x = v) |> Array.length
                  float below + float (equal + 1) / 2.0
              let ranked = tied |> Array.filter (fun d -> d <> 0.0) |> Array.map (fun d -> d, rank (abs d))
              let observed = ranked |> Array.sumBy (fun (d, r) -> if d > 0.0 then r else 0.0)
              let sums =
                  [| for b in 0 .. (1 <<< ranked.Length) - 1 ->
                         ranked |> Array.mapi (fun i (_, r) -> if (b >>> i) &&& 1 = 1 then r else 0.0) |> Array.sum |]
              let share f = float (sums |> Array.filter f |> Array.length) / float sums.Length
              let expected = min 1.0 (2.0 * min (share (fun s -> s <= observed)) (share (fun s -> s >= observed)))
              within 1e-12 (PairedTests.wilcoxonExact tied).PValue expected "p"

          testCase "McNemar on Agresti's approval ratings (150 against 86): R 4.2.2, binom.test(86, 236)"
          <| fun () ->
              within 1e-15 (PairedTests.mcNemarExact (150, 86)).PValue 3.71593613957143e-05 "exact"
              within 1e-12 (PairedTests.mcNemarExact (5, 12)).PValue 0.143463134765625 "scipy 1.10.1, binomtest(5, 17)"
              within 1e-12 (PairedTests.mcNemarMidP (12, 5)).PValue 0.09625244140624994 "scipy 1.10.1, 2 cdf - pmf"
              within 1e-12 (PairedTests.mcNemarMidP (4, 4)).PValue 1.0 "balanced"
              Expect.equal (PairedTests.mcNemarExact (0, 0)).PValue 1.0 "no discordant pair"
              let first, second = [| true; true; false; true; false |], [| true; false; true; false; false |]
              Expect.equal (PairedTests.discordant (first, second)) (struct (2, 1)) "counts"

          testCase "non-inferiority at margin 0 is the one-sided t-test; negative and infinite margins are refused"
          <| fun () ->
              for d in [ sleep; Array.map (~-) sleep ] do
                  let two, one = PairedTests.pairedT d, NonInferiority.pairedT (d, 0.0)
                  within 1e-12 one.Statistic two.Statistic "t"
                  within 1e-12 (2.0 * min one.PValue (1.0 - one.PValue)) two.PValue "p"
              rejects (fun () -> NonInferiority.pairedT (sleep, -0.1) |> ignore) "negative"
              rejects (fun () -> NonInferiority.pairedT (sleep, infinity) |> ignore) "infinite"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> PairedTests.pairedT [| 1.0 |] |> ignore) "one pair"
              rejects (fun () -> PairedTests.pairedT [| 1.0; nan |] |> ignore) "NaN"
              rejects (fun () -> PairedTests.mcNemarExact (-1, 2) |> ignore) "negative count" ]
