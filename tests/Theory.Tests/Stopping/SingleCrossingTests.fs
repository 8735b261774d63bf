module Theory.Tests.SingleCrossingTests

open System
open Expecto
open OptimalStopping.Theory

[<Tests>]
let tests =
    testList
        "Examples.SingleCrossing"
        [ testCase "holds iff some threshold loses nothing against stopping exactly where D >= 0"
          <| fun () ->
              let random = Random 3
              for _ in 1..2000 do
                  let d = Array.init (1 + random.Next 5) (fun _ -> float (random.Next(-2, 3)))
                  // Reward of stopping over continuing, summed: optimal, and by the best of all thresholds.
                  let optimal = d |> Array.sumBy (max 0.0)
                  let gain theta = Array.sum d[theta..]
                  let best = [ 0 .. d.Length ] |> List.map gain |> List.max
                  Expect.equal (SingleCrossing.holds d) (best = optimal) $"%A{d}"
                  if best = optimal then Expect.equal (gain (SingleCrossing.threshold d)) optimal $"threshold of %A{d}"

          testCase "thresholds at the ends"
          <| fun () ->
              Expect.equal (SingleCrossing.threshold [| 0.1; 0.0 |]) 0 "always stop"
              Expect.equal (SingleCrossing.threshold [| 0.1; -0.1 |]) 2 "never surely" ]
