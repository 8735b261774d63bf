module Theory.Tests.TemperatureTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.Temperature"
        [ testCase "the least log loss: scipy 1.10.1, minimize_scalar on the same loss"
          <| fun () ->
              let p, y = [| 0.9; 0.8; 0.99; 0.6; 0.7; 0.95; 0.3; 0.85 |], [| 1.0; 0.0; 1.0; 1.0; 0.0; 1.0; 0.0; 1.0 |]
              let fitted = Temperature.fit (p, y)
              within 1e-4 fitted.Temperature 1.308326193 "temperature"
              within 1e-9 (8.0 * CalibrationMetrics.logLoss (p |> Array.map fitted.Apply, y)) 3.932766252981777 "loss"

          testCase "it recovers the temperature that made the labels, and keeps the order"
          <| fun () ->
              let random = Random 8
              let truth = { Temperature = 2.5 }
              let p = Array.init 20000 (fun _ -> random.NextDouble())
              let y = p |> Array.map (fun p -> if random.NextDouble() < truth.Apply p then 1.0 else 0.0)
              within 0.25 (Temperature.fit (p, y)).Temperature 2.5 "temperature"
              within 1e-12 (truth.Apply 0.5) 0.5 "one half stays"
              survivesJson truth
              Expect.isTrue (truth.Apply 0.2 < truth.Apply 0.3) "order" ]
