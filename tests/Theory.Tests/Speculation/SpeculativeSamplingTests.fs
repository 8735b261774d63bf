module Theory.Tests.SpeculativeSamplingTests

open System
open Expecto
open MathNet.Numerics.Distributions
open OptimalStopping.Theory
open Theory.Tests.Close

let private draw (random: Random) (p: float[]) =
    let u = random.NextDouble()
    let mutable i, sum = 0, p[0]
    while u >= sum && i < p.Length - 1 do
        i <- i + 1
        sum <- sum + p[i]
    i

/// Accept-or-replace as a decoder does it; returns the token and whether the draft stood.
let private verify (random: Random) (p: float[]) (q: float[]) x =
    if random.NextDouble() * q[x] < p[x] then x, true else draw random (SpeculativeSampling.residual (p, q)), false

let private step random p q = verify random p q (draw random q)

[<Tests>]
let tests =
    testList
        "Examples.SpeculativeSampling"
        [ testCase "property 34 (i): the output distribution is p to 1e-12, acceptance = 1 - TV"
          <| fun () ->
              let random = Random 131
              for _ in 1..300 do
                  let size = 1 + random.Next 12
                  let p, q = ChainTests.randomSimplex random size, ChainTests.randomSimplex random size
                  allWithin 1e-12 (SpeculativeSampling.outputDistribution (p, q)) p "identity"
                  let distance = SpeculativeSampling.totalVariation (p, q)
                  within 1e-12 (SpeculativeSampling.acceptanceRate (p, q)) (1.0 - distance) "acceptance"
                  within 1e-12 (Array.sum (SpeculativeSampling.residual (p, q))) 1.0 "residual is a distribution"
              Expect.equal (SpeculativeSampling.residual ([| 0.5; 0.5 |], [| 0.5; 0.5 |])) [| 0.5; 0.5 |] "p = q"

          testCase "property 34 (ii): sampled frequencies pass TV and Pearson's chi-square at 1e-6, two levels too"
          <| fun () ->
              let random = Random 132
              let draws, size = 100000, 8
              let p, q = ChainTests.randomSimplex random size, ChainTests.randomSimplex random size
              let q0 = ChainTests.randomSimplex random size
              let direct () = step random p q
              // The draft of the second level is itself the output of speculation against q.
              let nested () = verify random p q (fst (step random q q0))
              for sampler in [ direct; nested ] do
                  let counts, accepted = Array.zeroCreate size, ref 0
                  for _ in 1..draws do
                      let x, stood = sampler ()
                      counts[x] <- counts[x] + 1.0
                      if stood then accepted.Value <- accepted.Value + 1
                  let frequencies = counts |> Array.map (fun c -> c / float draws)
                  let radius = SpeculativeSampling.totalVariationRadius (size, int64 draws, 1e-6)
                  Expect.isLessThan (SpeculativeSampling.totalVariation (frequencies, p)) radius "TV"
                  let expected = p |> Array.map (fun x -> x * float draws)
                  let chi = Array.map2 (fun c e -> (c - e) * (c - e) / e) counts expected |> Array.sum
                  Expect.isGreaterThan (1.0 - ChiSquared.CDF(float (size - 1), chi)) 1e-6 "chi-square"
                  // Five standard errors of a share of 100,000 draws are at most .0079.
                  let share = float accepted.Value / float draws
                  within 0.0079 share (SpeculativeSampling.acceptanceRate (p, q)) "acceptance"

          testCase "the TV test has teeth: drafts taken as they come fail it"
          <| fun () ->
              let random = Random 133
              let p, q = [| 0.7; 0.2; 0.1 |], [| 0.6; 0.2; 0.2 |]
              let counts = Array.zeroCreate 3
              for _ in 1..100000 do
                  let x = draw random q
                  counts[x] <- counts[x] + 1e-5
              let radius = SpeculativeSampling.totalVariationRadius (3, 100000L, 1e-6)
              Expect.isGreaterThan (SpeculativeSampling.totalVariation (counts, p)) radius "fails"

          testCase "bad input is rejected"
          <| fun () -> rejects (fun () -> SpeculativeSampling.residual ([| 1.0 |], [| 0.5; 0.5 |]) |> ignore) "vocabularies" ]
