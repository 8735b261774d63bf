module Theory.Tests.MultipleTestingTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

let private p = [| 0.0021; 0.041; 0.013; 0.0004; 0.6; 0.041; 0.029 |]

[<Tests>]
let tests =
    testList
        "Examples.MultipleTesting"
        [ testCase "adjusted p-values: R 4.2.2, p.adjust"
          <| fun () ->
              allWithin 1e-15 (MultipleTesting.holm p) [| 0.0126; 0.123; 0.065; 0.0028; 0.6; 0.123; 0.116 |] "holm"
              allWithin 1e-15 (MultipleTesting.bonferroni p) [| 0.0147; 0.287; 0.091; 0.0028; 1.0; 0.287; 0.203 |] "bonferroni"
              allWithin
                  1e-15
                  (MultipleTesting.benjaminiHochberg p)
                  [| 0.00735; 0.041 * 7.0 / 6.0; 0.013 * 7.0 / 3.0; 0.0028; 0.6; 0.041 * 7.0 / 6.0; 0.041 * 7.0 / 6.0 |]
                  "BH"

          testCase "property 36: p <= BH <= Holm <= Bonferroni, entry by entry"
          <| fun () ->
              let random = Random 5
              for size in 0..30 do
                  let p = Array.init size (fun _ -> random.NextDouble() ** 3.0)
                  let holm, bonferroni, bh = MultipleTesting.holm p, MultipleTesting.bonferroni p, MultipleTesting.benjaminiHochberg p
                  for i in 0 .. size - 1 do
                      let ordered = p[i] <= bh[i] && bh[i] <= holm[i] + 1e-15 && holm[i] <= bonferroni[i]
                      Expect.isTrue ordered $"size {size}, {i}"

          testCase "p-values outside [0,1] are rejected"
          <| fun () ->
              rejects (fun () -> MultipleTesting.holm [| 1.1 |] |> ignore) "1.1"
              rejects (fun () -> MultipleTesting.bonferroni [| nan |] |> ignore) "NaN" ]
