module Theory.Tests.LogisticTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// R's mtcars: weight, horsepower, manual gearbox.
let private weight =
    [| 2.62
       2.875
       2.32
       3.215
       3.44
       3.46
       3.57
       3.19
       3.15
       3.44
       3.44
       4.07
       3.73
       3.78
       5.25
       5.424
       5.345
       2.2
       1.615
       1.835
       2.465
       3.52
       3.435
       3.84
       3.845
       1.935
       2.14
       1.513
       3.17
       2.77
       3.57
       2.78 |]
let private power =
    [| 110.
       110.
       93.
       110.
       175.
       105.
       245.
       62.
       95.
       123.
       123.
       180.
       180.
       180.
       205.
       215.
       230.
       66.
       52.
       65.
       97.
       150.
       150.
       245.
       175.
       66.
       91.
       113.
       264.
       175.
       335.
       109. |]
let private manual =
    [| 1.
       1.
       1.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       0.
       1.
       1.
       1.
       0.
       0.
       0.
       0.
       0.
       1.
       1.
       1.
       1.
       1.
       1.
       1. |]
let private cars = Array.map2 (fun w h -> [| w; h |]) weight power

[<Tests>]
let tests =
    testList
        "Examples.Logistic"
        [ testCase "am ~ wt + hp on mtcars: R 4.2.2, glm(family = binomial), as the ridge vanishes"
          <| fun () ->
              let fitted = Logistic.fit (cars, manual, 1e-9)
              let slope j = fitted.Weights[j] / fitted.Scales[j]
              let intercept = fitted.Intercept - slope 0 * fitted.Means[0] - slope 1 * fitted.Means[1]
              within 1e-5 intercept 18.8662987172040957 "intercept"
              within 1e-5 (slope 0) -8.0834751824446283 "wt"
              within 1e-6 (slope 1) 0.0362555960822165 "hp"
              let p = cars |> Array.map (fun x -> fitted.Apply x)
              within 1e-8 (2.0 * 32.0 * CalibrationMetrics.logLoss (p, manual)) 10.059110472267 "deviance"

          testCase "the gradient vanishes at the ridge optimum, and the mean prediction is the mean label"
          <| fun () ->
              let fitted = Logistic.fit (cars, manual, 2.5)
              let p = cars |> Array.map (fun x -> fitted.Apply x)
              within 1e-9 (Array.average p) (Array.average manual) "intercept is not penalised"
              for j in 0..1 do
                  let standard (x: float[]) = (x[j] - fitted.Means[j]) / fitted.Scales[j]
                  let pull = Array.map3 (fun x p y -> (p - y) * standard x) cars p manual
                  within 1e-7 (Array.sum pull + 2.5 * fitted.Weights[j]) 0.0 $"gradient {j}"

          testCase "separable labels, a constant feature and equal labels stay finite"
          <| fun () ->
              let x = Array.init 20 (fun i -> [| float i; 3.0 |])
              let fitted = Logistic.fit (x, Array.init 20 (fun i -> if i < 10 then 0.0 else 1.0), 0.1)
              Expect.isTrue (Array.forall Double.IsFinite fitted.Weights) "finite"
              within 1e-12 fitted.Weights[1] 0.0 "constant feature"
              Expect.isTrue (fitted.Apply [| 0.0; 3.0 |] < 0.1 && fitted.Apply [| 19.0; 3.0 |] > 0.9) "separates"
              let sure = Logistic.fit (x, Array.create 20 1.0, 0.1)
              Expect.isTrue (sure.Apply [| 5.0; 3.0 |] > 0.999) "all right"
              survivesJson fitted

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> Logistic.fit (cars, manual, 0.0) |> ignore) "no ridge"
              rejects (fun () -> Logistic.fit ([| [| 1.0 |]; [| 1.0; 2.0 |] |], [| 0.0; 1.0 |], 1.0) |> ignore) "ragged rows"
              rejects (fun () -> (Logistic.fit (cars, manual, 1.0)).Apply [| 1.0 |] |> ignore) "too few features" ]
