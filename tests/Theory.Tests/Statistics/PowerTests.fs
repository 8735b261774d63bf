module Theory.Tests.PowerTests

open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.Power"
        [ testCase "d_z = 0.5 at level .05 and power .8 needs 32 pairs (R 4.2.2, power.t.test: 33.4 with the t distribution)"
          <| fun () ->
              Expect.equal (Power.requiredPairs (0.5, 0.05, 0.8)) 32L "pairs"
              // scipy 1.10.1: norm.ppf(.975) + norm.ppf(.8) = 2.8015852181129683
              within 1e-9 (Power.minimalDetectableEffect (1.0, 1, 0.05, 0.8)) 2.8015852181129683 "sum of quantiles"

          testCase "required pairs, detectable effect and power invert each other"
          <| fun () ->
              for dz in [ 0.02; 0.1; 0.35; -0.5 ] do
                  let pairs = int (Power.requiredPairs (dz, 0.05, 0.9))
                  Expect.isTrue (Power.minimalDetectableEffect (1.0, pairs, 0.05, 0.9) <= abs dz) "detectable"
                  Expect.isTrue (Power.minimalDetectableEffect (1.0, pairs - 1, 0.05, 0.9) > abs dz) "minimal"
                  Expect.isTrue (Power.achieved (dz, pairs, 0.05) >= 0.9) "power"
              within 1e-12 (Power.achieved (0.0, 50, 0.05)) 0.05 "no effect: the level"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> Power.requiredPairs (0.0, 0.05, 0.8) |> ignore) "no effect"
              rejects (fun () -> Power.minimalDetectableEffect (1.0, 10, 0.0, 0.8) |> ignore) "level 0" ]
