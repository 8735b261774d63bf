module Theory.Tests.DraftLengthTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.DraftLength"
        [ testCase "expected tokens: closed form, mean of their distribution, and the end alpha = 1"
          <| fun () ->
              for alpha in [ 0.0; 0.3; 0.8; 0.999 ] do
                  for g in [ 0; 1; 4; 20 ] do
                      let tokens = DraftLength.expectedTokens (alpha, g)
                      within 1e-10 tokens ((1.0 - alpha ** float (g + 1)) / (1.0 - alpha)) "closed form"
                      let distribution = DraftLength.tokenDistribution (alpha, g)
                      within 1e-12 (Array.sum distribution) 1.0 "distribution"
                      within 1e-12 (distribution |> Array.mapi (fun i p -> float (i + 1) * p) |> Array.sum) tokens "mean"
              Expect.equal (DraftLength.expectedTokens (1.0, 7)) 8.0 "alpha = 1"

          testCase "property 33, Thm 12: optimal = argmax by scan, >= 1 iff alpha > c; the speed-up is unimodal"
          <| fun () ->
              let random = Random 101
              for _ in 1..500 do
                  let alpha, c = 0.97 * random.NextDouble(), 0.01 + 0.8 * random.NextDouble()
                  let f = Array.init 400 (fun g -> DraftLength.speedup (alpha, g, c))
                  let best = DraftLength.optimal (alpha, c)
                  within 1e-12 f[best] (Array.max f) "argmax"
                  Expect.equal (best >= 1) (alpha > c) "alpha > c"
                  Expect.isTrue (Array.pairwise f[..best] |> Array.forall (fun (a, b) -> a < b)) "rises before"
                  Expect.isTrue (Array.pairwise f[best..] |> Array.forall (fun (a, b) -> a >= b)) "falls after"

          testCase "the speed-up is what a simulation of drafting and verifying measures"
          <| fun () ->
              let random = Random 102
              let alpha, g, rounds = 0.75, 4, 100000
              let rec accepted i = if i < g && random.NextDouble() < alpha then accepted (i + 1) else i
              let tokens = Seq.init rounds (fun _ -> accepted 0 + 1) |> Seq.sum
              // One round's standard deviation is below 1.7: 5 standard errors are .027.
              within 0.027 (float tokens / float rounds) (DraftLength.expectedTokens (alpha, g)) "tokens"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> DraftLength.optimal (1.0, 0.1) |> ignore) "alpha 1"
              rejects (fun () -> DraftLength.speedup (0.5, 2, 0.0) |> ignore) "free draft"
              rejects (fun () -> DraftLength.expectedTokens (0.5, -1) |> ignore) "negative length" ]
