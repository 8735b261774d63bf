module Theory.Tests.SampleComplexityTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.SampleComplexity"
        [ testCase "Thm 9: n = 4, m = 10, B = 1.3, eps = delta = .05 needs 13,800 traces; a policy class of 100 10,300"
          <| fun () ->
              let thresholds = SampleComplexity.samplesFor (1.3, SampleComplexity.logThresholdPolicies (4, 10), 0.05, 0.05)
              let policyClass = SampleComplexity.samplesFor (1.3, log 100.0, 0.05, 0.05)
              Expect.isTrue (abs (thresholds - 13800L) < 50L && abs (policyClass - 10300L) < 50L) $"{thresholds}, {policyClass}"
              within 1e-12 (SampleComplexity.logIntervalPolicies (4, 10)) (3.0 * log 56.0) "interval policies"

          testCase "property 28: samples fall in eps and delta, rise in N; the inverses are inverse, minimal by one"
          <| fun () ->
              let random = Random 61
              for _ in 1..500 do
                  let b, logN = 1.0 + random.NextDouble(), 8.0 * random.NextDouble()
                  let eps, delta = 0.02 + 0.2 * random.NextDouble(), 0.01 + 0.2 * random.NextDouble()
                  let m = SampleComplexity.samplesFor (b, logN, eps, delta)
                  Expect.isTrue (SampleComplexity.epsilonFor (b, logN, m, delta) <= eps + 1e-12) "enough"
                  Expect.isTrue (SampleComplexity.epsilonFor (b, logN, m - 1L, delta) > eps) "minimal"
                  Expect.isTrue (SampleComplexity.deltaFor (b, logN, m, eps) <= delta + 1e-12) "delta"
                  let back = SampleComplexity.deltaFor (b, logN, m, SampleComplexity.epsilonFor (b, logN, m, delta))
                  within 1e-9 back delta "delta of epsilon"
                  Expect.isTrue (SampleComplexity.samplesFor (b, logN, 1.1 * eps, delta) <= m) "eps"
                  Expect.isTrue (SampleComplexity.samplesFor (b, logN, eps, 1.1 * delta) <= m) "delta"
                  Expect.isTrue (SampleComplexity.samplesFor (b, logN + 0.5, eps, delta) > m) "N"
              Expect.equal (SampleComplexity.epsilonFor (1.3, 10.0, 1L, 0.05)) 1.3 "vacuous: B"

          testCase "Thms 10 and 11: inverses are minimal by one and rise with n"
          <| fun () ->
              let minimal name f m eps =
                  Expect.isTrue (f m <= eps) $"{name}: enough"
                  Expect.isTrue (f (m - 1L) > eps) $"{name}: minimal"
              for n in [ 2; 4; 8 ] do
                  for eps in [ 0.05; 0.2 ] do
                      let one = SampleComplexity.samplesForOneParameter (1.3, n, eps, 0.05)
                      let all = SampleComplexity.samplesForRealThresholds (1.3, n, eps, 0.05)
                      let plug = SampleComplexity.samplesPerBinForPlugIn (n, 5, eps, 0.05)
                      minimal "Thm 10" (fun m -> SampleComplexity.epsilonForOneParameter (1.3, n, m, 0.05)) one eps
                      minimal "real thresholds" (fun m -> SampleComplexity.epsilonForRealThresholds (1.3, n, m, 0.05)) all eps
                      let evenly c = Array.init n (fun _ -> Array.create 5 c)
                      minimal "Thm 11" (fun c -> SampleComplexity.epsilonForPlugIn (evenly c, 5L * c, 0.05)) plug eps
                      Expect.isTrue (all >= one) "n-1 parameters cost more than one"
              let real n = SampleComplexity.samplesForRealThresholds (1.0, n, 0.1, 0.05)
              Expect.isTrue (real 8 > real 4) "n"
              let unseen = [| [| 5L; 0L |]; [| 5L; 5L |] |]
              Expect.equal (SampleComplexity.epsilonForPlugIn (unseen, 5L, 0.1)) 1.0 "an unseen bin: vacuous"

          testCase "property 29: the empirical best of a Bernoulli policy class misses eps with frequency <= delta"
          <| fun () ->
              let random = Random 62
              let eps, delta = 0.2, 0.1
              let m = int (SampleComplexity.samplesFor (1.0, log 10.0, eps, delta))
              // The hardest shape: one good policy and nine just beyond eps below it.
              let means = Array.init 10 (fun i -> if i = 0 then 0.61 else 0.4)
              let misses =
                  Seq.init 1000 (fun _ ->
                      let hits p = Seq.init m (fun _ -> if random.NextDouble() < p then 1 else 0) |> Seq.sum
                      let scores = Array.map hits means
                      means[Array.findIndex ((=) (Array.max scores)) scores] < 0.61 - eps)
                  |> Seq.filter id
                  |> Seq.length
              Expect.isTrue (float misses / 1000.0 <= delta) $"{misses} of 1000"

          testCase "Maurer-Pontil: the policy class certificate covers the loss, and beats Thm 9 at small variance"
          <| fun () ->
              let random = Random 63
              let count, delta = 400, 0.1
              let mutable missed = 0
              for _ in 1..500 do
                  let truth = Array.init 5 (fun _ -> 0.02 + 0.05 * random.NextDouble())
                  let mean p = Seq.init count (fun _ -> if random.NextDouble() < p then 1.0 else 0.0) |> Seq.average
                  let means = Array.map mean truth
                  let variances = means |> Array.map (fun p -> p * (1.0 - p) * float count / float (count - 1))
                  let certificate = SampleComplexity.policyClassCertificate (1.0, means, variances, count, delta)
                  let chosen = truth[Array.findIndex ((=) (Array.max means)) means]
                  if Array.max truth - chosen > certificate then missed <- missed + 1
              Expect.isTrue (float missed <= 500.0 * delta) $"missed {missed}"
              let narrow = SampleComplexity.empiricalBernsteinRadius (1.0, 0.01, 2000, 0.05)
              Expect.isLessThan narrow (sqrt (log (1.0 / 0.05) / 4000.0)) "radius below Hoeffding's"
              within 1e-15 narrow (sqrt (0.02 * log 40.0 / 2000.0) + 7.0 * log 40.0 / (3.0 * 1999.0)) "formula"
              let radius v = SampleComplexity.empiricalBernsteinRadius (1.0, v, 4000, 0.05 / 4.0)
              within
                  1e-15
                  (SampleComplexity.policyClassCertificate (1.0, [| 0.6; 0.5 |], [| 0.1; 0.2 |], 4000, 0.05))
                  (max 0.0 (0.5 + radius 0.2 - 0.6 + radius 0.1))
                  "two policies, far apart"
              within
                  1e-15
                  (SampleComplexity.policyClassCertificate (1.0, [| 0.6; 0.59 |], [| 0.1; 0.2 |], 4000, 0.05))
                  (radius 0.2 + radius 0.1 - 0.01)
                  "two policies, close: four events share delta"
              let quiet = SampleComplexity.policyClassCertificate (1.0, [| 0.9; 0.88; 0.85 |], Array.create 3 0.002, 4000, 0.05)
              Expect.isLessThan quiet (SampleComplexity.epsilonFor (1.0, log 3.0, 4000L, 0.05)) "certificate below Theorem 9"

          testCase "a demand that no count of 63 bits meets is refused, not rounded to 2^63 - 1"
          <| fun () ->
              rejects (fun () -> SampleComplexity.samplesFor (1.3, 10.0, 1e-10, 0.05) |> ignore) "Theorem 9"
              rejects (fun () -> SampleComplexity.samplesForOneParameter (1.3, 4, 1e-10, 0.05) |> ignore) "Theorem 10"
              rejects (fun () -> SampleComplexity.samplesForRealThresholds (1.3, 4, 1e-10, 0.05) |> ignore) "Theorem 10, real"
              rejects (fun () -> SampleComplexity.samplesPerBinForPlugIn (4, 10, 1e-10, 0.05) |> ignore) "Theorem 11"
              rejects (fun () -> Power.requiredPairs (1e-12, 0.05, 0.8) |> ignore) "pairs"
              Expect.isGreaterThan (SampleComplexity.samplesFor (1.3, 10.0, 1e-8, 0.05)) 400_000_000_000_000_000L "below it, a count"

          testCase "bad input is rejected"
          <| fun () ->
              for bad in [ nan; infinity; -1.0 ] do
                  rejects (fun () -> SampleComplexity.samplesFor (1.0, bad, 0.1, 0.1) |> ignore) $"ln N = {bad}"
                  rejects (fun () -> SampleComplexity.samplesFor (bad, 1.0, 0.1, 0.1) |> ignore) $"B = {bad}"
                  rejects (fun () -> SampleComplexity.deltaFor (1.0, 1.0, 10L, bad) |> ignore) $"eps = {bad}"
                  rejects (fun () -> SampleComplexity.empiricalBernsteinRadius (1.0, bad, 10, 0.1) |> ignore) $"variance {bad}"
                  rejects (fun () -> Miscalibration.valueLoss ([| 0.1 |], [| 0.1 |], [||], bad) |> ignore) $"B = {bad}, miscalibration"
              rejects (fun () -> SampleComplexity.logThresholdPolicies (0, 5) |> ignore) "no stage"
              rejects (fun () -> SampleComplexity.epsilonForOneParameter (1.0, 0, 10L, 0.1) |> ignore) "no stage, Theorem 10"
              rejects (fun () -> SampleComplexity.epsilonForPlugIn ([| [| -1L |] |], 10L, 0.1) |> ignore) "a negative count"
              rejects (fun () -> SampleComplexity.epsilonForPlugIn ([||], 10L, 0.1) |> ignore) "no counts"
              rejects (fun () -> SampleComplexity.samplesFor (1.0, -1.0, 0.1, 0.1) |> ignore) "empty policy class"
              rejects (fun () -> SampleComplexity.samplesFor (1.0, 1.0, 0.0, 0.1) |> ignore) "eps 0"
              rejects (fun () -> SampleComplexity.epsilonFor (1.0, 1.0, 10L, 1.0) |> ignore) "delta 1" ]
