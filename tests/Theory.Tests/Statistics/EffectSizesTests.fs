module Theory.Tests.EffectSizesTests

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
              Expect.equal (EffectSizes.paired [| -0.1; -0.1; -0.1 |]).Dz -infinity "constant" ]
