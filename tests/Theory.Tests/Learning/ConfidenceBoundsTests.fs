module Theory.Tests.ConfidenceBoundsTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.ConfidenceBounds"
        [ testCase "klUCB is the largest x with kl(p, x) <= e, by bisection, 2,000 random points"
          <| fun () ->
              let random = Random 41
              for i in 1..2000 do
                  let p =
                      match i % 10 with
                      | 0 -> 0.0
                      | 1 -> 1.0
                      | _ -> random.NextDouble()
                  let e = 10.0 ** (6.0 * random.NextDouble() - 5.0)
                  let mutable low, high = p, 1.0
                  for _ in 1..100 do
                      let middle = 0.5 * (low + high)
                      if Probability.kl p middle <= e then low <- middle else high <- middle
                  within 1e-9 (ConfidenceBounds.klUpper (p, e)) low $"p={p}, e={e}"

          testCase "property 23: klUCB is within Hoeffding's bound, and monotone in p and e"
          <| fun () ->
              let random = Random 42
              for _ in 1..2000 do
                  let p, p', e, e' = random.NextDouble(), random.NextDouble(), random.NextDouble(), random.NextDouble()
                  let at p e = ConfidenceBounds.klUpper (p, e)
                  Expect.isTrue (at p e <= p + sqrt (e / 2.0) + 1e-12 && at p e >= p && at p e <= 1.0) "Hoeffding"
                  Expect.isTrue (at (min p p') e <= at (max p p') e + 1e-12) "in p"
                  Expect.isTrue (at p (min e e') <= at p (max e e') + 1e-12) "in e"

          testCase "property 24: f -> mean f + psi(var f) is nondecreasing, 20,000 random pairs"
          <| fun () ->
              let random = Random 43
              for _ in 1..20000 do
                  let m = random.Next(1, 6)
                  let p = ChainTests.randomSimplex random m
                  let f = Array.init m (fun _ -> float (random.Next 3) / 2.0 * random.NextDouble())
                  let g = f |> Array.map (fun x -> if random.Next 2 = 0 then x else x + (1.0 - x) * random.NextDouble())
                  let samples, iota = float (random.Next(2, 200)), 10.0 * random.NextDouble()
                  let bound (f: float[]) =
                      let mean = Array.fold2 (fun s p x -> s + p * x) 0.0 p f
                      let square = Array.fold2 (fun s p x -> s + p * x * x) 0.0 p f
                      mean + ConfidenceBounds.psi (max 0.0 (square - mean * mean), samples, iota)
                  Expect.isTrue (bound f <= bound g + 1e-12) "monotone"

          testCase "psi is at least the Maurer-Pontil bonus; no samples give 1"
          <| fun () ->
              let random = Random 44
              for _ in 1..2000 do
                  let v, samples, iota = random.NextDouble() / 4.0, float (random.Next(2, 1000)), 20.0 * random.NextDouble()
                  let bonus = sqrt (2.0 * v * iota / (samples - 1.0)) + 7.0 * iota / (3.0 * (samples - 1.0))
                  Expect.isTrue (ConfidenceBounds.psi (v, samples, iota) >= bonus - 1e-12) "bonus"
              Expect.equal (ConfidenceBounds.psi (0.1, 1.0, 1.0)) 1.0 "one sample"
              Expect.equal (ConfidenceBounds.optimisticMean (0.2, 0.1, 0.0, 1.0)) 1.0 "none"
              rejects (fun () -> ConfidenceBounds.klUpper (1.1, 0.1) |> ignore) "p above 1"
              rejects (fun () -> ConfidenceBounds.klUpper (0.5, nan) |> ignore) "NaN" ]
