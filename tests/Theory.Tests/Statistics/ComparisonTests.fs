module Theory.Tests.ComparisonTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Utilities with many exact ties, as two policies that often stop at the same stage give.
let private utilities (seed: int) count =
    let random = Random seed
    Array.init count (fun _ ->
        let u = random.NextDouble()
        if random.NextDouble() < 0.6 then struct (u, u) else struct (u, u + 0.2 * (random.NextDouble() - 0.45)))

let private column pick (pairs: struct (float * float)[]) = Array.map pick pairs
let private first (struct (a, _)) = a
let private second (struct (_, b)) = b

[<Tests>]
let tests =
    testList
        "Examples.Comparison"
        [ testCase "its parts are the single routines, and every part agrees on a clear difference"
          <| fun () ->
              let pairs = utilities 1 2000
              let better, worse = column second pairs, column first pairs
              let row = Comparison.Compute(better, worse, 2000, 0.95, 3UL)
              let d = Array.map2 (-) better worse
              Expect.equal row.Effect (EffectSizes.paired d) "effect"
              Expect.equal row.PairedT (PairedTests.pairedT d) "t"
              within 1e-12 (row.MeanMethod - row.MeanBaseline) row.Effect.MeanDifference "means"
              let difference = row.Effect.MeanDifference
              Expect.isTrue (row.Interval.Low < difference && difference < row.Interval.High) "inside"
              within 0.01 row.Permutation.PValue row.PairedT.PValue "permutation near t at M = 2000"
              Expect.equal (Comparison.Compute(better, worse, 2000, 0.95, 3UL)) row "same seed, same row"

          testCase "the family adjusts permutation p-values in place"
          <| fun () ->
              let row seed =
                  let pairs = utilities seed 60
                  Comparison.Compute(column second pairs, column first pairs, 500, 0.95, 1UL)
              let rows = Array.map row [| 1..4 |]
              let p = rows |> Array.map (fun r -> r.Permutation.PValue)
              let family = Comparison.Family rows
              Expect.equal (family |> Array.map (fun m -> m.Holm)) (MultipleTesting.holm p) "Holm"
              Expect.equal (family |> Array.map (fun m -> m.Comparison)) rows "order"

          testCase "4,000 pairs with 10,000 resamples and flips stay interactive"
          <| fun () ->
              let pairs = utilities 9 4000
              let clock = Diagnostics.Stopwatch.StartNew()
              Comparison.Compute(column second pairs, column first pairs, 10000, 0.95, 1UL) |> ignore
              // About 0.2 s alone on one core; the bar leaves room for a loaded machine.
              Expect.isLessThan clock.Elapsed.TotalSeconds 5.0 "seconds"
              printfn "Comparison of 4,000 pairs x 10,000: %.2f s" clock.Elapsed.TotalSeconds

          testCase "unequal lengths are rejected"
          <| fun () -> rejects (fun () -> Comparison.Compute([| 1.0; 2.0 |], [| 1.0 |], 500, 0.95, 1UL) |> ignore) "lengths" ]
