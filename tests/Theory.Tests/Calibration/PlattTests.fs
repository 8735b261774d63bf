module Theory.Tests.PlattTests

open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.Platt"
        [ testCase "the two score equations hold at the fit, against the smoothed targets"
          <| fun () ->
              let signals, labels = IsotonicTests.sample 5 400
              let fitted = Platt.fit (signals, labels)
              let right = Array.sum labels
              let high, low = (right + 1.0) / (right + 2.0), 1.0 / (400.0 - right + 2.0)
              let gaps = Array.map2 (fun s y -> fitted.Apply s - (if y = 1.0 then high else low)) signals labels
              within 1e-7 (Array.sum gaps) 0.0 "intercept"
              within 1e-7 (Array.map2 (*) gaps signals |> Array.sum) 0.0 "slope"
              Expect.isGreaterThan fitted.Slope 0.0 "more sure, more often right"
              survivesJson fitted

          testCase "separable and constant signals stay finite"
          <| fun () ->
              let fitted = Platt.fit ([| 0.1; 0.2; 0.8; 0.9 |], [| 0.0; 0.0; 1.0; 1.0 |])
              // Two right and two wrong: the targets are 3/4 and 1/4.
              Expect.isTrue (fitted.Apply 0.9 < 0.8 && fitted.Apply 0.1 > 0.2) "near the targets"
              Expect.equal (Platt.fit ([| 0.5; 0.5 |], [| 0.0; 1.0 |])) { Slope = 0.0; Intercept = 0.0 } "constant" ]
