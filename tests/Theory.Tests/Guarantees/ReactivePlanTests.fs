/// Theorem 14: plug-in plans without a model, the paired certificate, and which stages can be left out.
module Theory.Tests.ReactivePlanTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// A few kinds of queries, drawn at random; costs and qualities are multiples of 1/4, costs 0 and above 0.3 among them.
let private kinds (random: Random) n m count : Outcome[] =
    let costs = Array.init (n - 1) (fun _ -> 0.25 * float (random.Next 3)) |> Array.scan (+) 0.0
    Array.init count (fun _ ->
        { Bins = Array.init n (fun _ -> random.Next m)
          Qualities = Array.init n (fun _ -> 0.25 * float (random.Next 5))
          Costs = costs })

let private records n m (rows: Outcome[]) : BinnedRecords =
    { Bins = rows |> Array.map _.Bins
      Qualities = rows |> Array.map _.Qualities
      Costs = rows |> Array.map (fun o -> Array.init n (fun k -> if k = 0 then 3.0 else o.Costs[k] - o.Costs[k - 1]))
      BinCounts = Array.create n m }

let private allReactive n m =
    let tables = 1 <<< ((n - 1) * m)
    Array.init tables (fun bits -> Array.init (n - 1) (fun k -> Array.init m (fun s -> (bits >>> (k * m + s)) &&& 1 = 1)))

let private value (rows: Outcome[]) (stop: bool[][]) =
    rows |> Array.averageBy (fun o -> Outcome.Reward(o, Reactive.stopStage (stop, o.Bins)))

let private range (rows: Outcome[]) = 1.0 + (rows |> Array.map (fun o -> Array.last o.Costs) |> Array.max)

[<Tests>]
let tests =
    testList
        "Examples.ReactivePlan"
        [ testCase "n = 4, m = 10, B = 1.3, eps = delta = .05: 32,165 queries where Theorem 11 asks for 6,857,800"
          <| fun () ->
              Expect.equal (SampleComplexity.samplesForReactivePlan (1.3, 4, 10, 0.05, 0.05)) 32_165L "Theorem 14"
              Expect.equal (10L * SampleComplexity.samplesPerBinForPlugIn (4, 10, 0.05, 0.05)) 6_857_800L "Theorem 11"
              within 1e-12 (SampleComplexity.logReactivePolicies (4, 10)) (30.0 * log 2.0) "ln of 2^30 policies"
              let rows = CascadeGuarantees.samples (4, 10, 1.3, 0.05, 0.05)
              let row = rows |> Array.find (fun r -> r.Theorem = "Thm 14")
              Expect.equal (row.Samples, row.Assumption) (32_165L, "none") "as the command prints it"
              within 1e-6 (SampleComplexity.epsilonForReactivePlan (1.3, 4, 10, 32_165L, 0.01, 0.05)) 0.06 "the gap adds"
              Expect.isLessThanOrEqual (SampleComplexity.epsilonForReactivePlan (1.3, 4, 10, 32_165L, 0.0, 0.05)) 0.05 "enough"
              Expect.isGreaterThan (SampleComplexity.epsilonForReactivePlan (1.3, 4, 10, 32_164L, 0.0, 0.05)) 0.05 "minimal"
              Expect.equal (SampleComplexity.epsilonForReactivePlan (1.3, 4, 10, 10L, 0.0, 0.05)) 1.3 "vacuous"

          testCase "the tree optimum: no policy of histories earns more, the best reactive one less or the same"
          <| fun () ->
              let random = Random 141
              for _ in 1..200 do
                  let n, m = random.Next(1, 4), random.Next(1, 3)
                  let rows = kinds random n m (random.Next(1, 12))
                  let optimum = EmpiricalModel.treeOptimum (records n m rows, 1.0)
                  let best = allReactive n m |> Array.map (value rows) |> Array.max
                  Expect.isLessThanOrEqual best (optimum + 1e-12) "reactive"
                  // A policy of histories is a reactive one whose bin at stage k is the whole history: m^k of them.
                  let histories (o: Outcome) = { o with Bins = Array.init n (fun k -> Array.fold (fun h s -> h * m + s) 0 o.Bins[..k]) }
                  if n <= 2 || m = 1 then
                      let wide = pown m n
                      within 1e-12 optimum (allReactive n wide |> Array.map (value (Array.map histories rows)) |> Array.max) "brute force"
                  let tables = allReactive n m
                  let stop = tables[random.Next tables.Length]
                  within 1e-12 (EmpiricalModel.reactiveGap (records n m rows, stop, 1.0)) (optimum - value rows stop) "gap"

          testCase "2,000 samples: plug-in plans lose at most Theorem 14's epsilon, no Markov assumption (one-sided test)"
          <| fun () ->
              let random, delta = Random 142, 0.1
              let mutable missed, losses, bounds = 0, 0.0, 0.0
              for _ in 1..2000 do
                  let n, m = 3, 2
                  let truth = kinds random n m 5
                  let sample = Array.init 60 (fun _ -> truth[random.Next truth.Length])
                  let known = records n m sample
                  let plan = Chain.policy (Chain.plan (EmpiricalModel.chain (known, 1.0)))
                  let gap = EmpiricalModel.reactiveGap (known, plan, 1.0)
                  let epsilon = SampleComplexity.epsilonForReactivePlan (range truth, n, m, 60L, gap, delta)
                  let loss = (allReactive n m |> Array.map (value truth) |> Array.max) - value truth plan
                  if loss > epsilon + 1e-12 then missed <- missed + 1
                  losses <- losses + loss / 2000.0
                  bounds <- bounds + epsilon / 2000.0
              printfn "Plug-in plans from 60 traces, 2,000 samples: mean loss %.3f, Theorem 14 %.3f, missed %d" losses bounds missed
              Expect.isLessThanOrEqual (float missed) (2000.0 * delta + 3.0 * sqrt (2000.0 * delta * 0.9)) $"missed {missed}"

          testCase "the paired certificate by hand, and 2,000 samples with ties (one-sided test)"
          <| fun () ->
              // Differences to policy 1: (0, 1/4, 0, 1/4), mean 1/8; (1/2, -1/2, 0, 1/2), mean 1/8. Ten thousand of each.
              let rewards =
                  [| [| 0.5; 0.75; 1.0; 0.25 |]; [| 0.5; 0.5; 1.0; 0.0 |]; [| 1.0; 0.0; 1.0; 0.5 |] |]
                  |> Array.map (fun row -> Array.init 40_000 (fun i -> row[i % 4]))
              let radius square =
                  SampleComplexity.empiricalBernsteinRadius (2.6, (square - 1.0 / 64.0) * 40_000.0 / 39_999.0, 40_000, 0.1 / 2.0)
              let expected = 0.125 + max (radius (1.0 / 32.0)) (radius (3.0 / 16.0))
              within 1e-12 (SampleComplexity.pairedCertificate (1.3, rewards, 1, 0.1)) expected "by hand"
              Expect.isGreaterThan (SampleComplexity.pairedCertificate (1.3, rewards, 0, 0.1)) 0.0 "a tie with the best may be better"
              Expect.equal (SampleComplexity.pairedCertificate (1.3, rewards |> Array.map (Array.take 4), 1, 0.1)) 1.3 "at most B"
              Expect.equal (SampleComplexity.pairedCertificate (1.0, [| [| 0.5; 0.2 |] |], 0, 0.1)) 0.0 "one policy"
              rejects (fun () -> SampleComplexity.pairedCertificate (1.0, rewards, 3, 0.1) |> ignore) "no such policy"
              rejects (fun () -> SampleComplexity.pairedCertificate (1.0, [| [| 0.5; 0.2 |]; [| 0.5 |] |], 0, 0.1) |> ignore) "lengths"
              let random, delta = Random 143, 0.1
              let mutable missed, paired, unpaired = 0, 0.0, 0.0
              for _ in 1..2000 do
                  let n, m = 3, 2
                  let truth = kinds random n m 4
                  let policies = allReactive n m
                  let sample = Array.init 400 (fun _ -> truth[random.Next truth.Length])
                  let rewards =
                      policies
                      |> Array.map (fun stop -> sample |> Array.map (fun o -> Outcome.Reward(o, Reactive.stopStage (stop, o.Bins))))
                  let means = rewards |> Array.map Array.average
                  let chosen = Array.findIndex ((=) (Array.max means)) means
                  let certificate = SampleComplexity.pairedCertificate (range truth, rewards, chosen, delta)
                  let values = policies |> Array.map (value truth)
                  if Array.max values - values[chosen] > certificate + 1e-12 then missed <- missed + 1
                  let variance (xs: float[]) = let a = Array.average xs in (xs |> Array.sumBy (fun x -> (x - a) * (x - a))) / 399.0
                  paired <- paired + certificate
                  unpaired <-
                      unpaired + SampleComplexity.policyClassCertificate (range truth, means, Array.map variance rewards, 400, delta)
              Expect.isLessThanOrEqual (float missed) (2000.0 * delta + 3.0 * sqrt (2000.0 * delta * 0.9)) $"missed {missed}"
              printfn "Certificates of 16 policies on 400 traces: paired %.3f, unpaired %.3f" (paired / 2000.0) (unpaired / 2000.0)
              Expect.isLessThan paired unpaired "on average smaller than the certificate that forgets the pairing"

          testCase "policies that mostly agree: the paired certificate is less than half of the unpaired one"
          <| fun () ->
              let random = Random 144
              let first = Array.init 4000 (fun _ -> if random.NextDouble() < 0.8 then 1.0 else 0.0)
              // Nine others that differ on one query in a hundred.
              let others = Array.init 9 (fun _ -> first |> Array.map (fun x -> if random.NextDouble() < 0.01 then 1.0 - x else x))
              let rewards = Array.append [| first |] others
              let means = rewards |> Array.map Array.average
              let variances = means |> Array.map (fun p -> p * (1.0 - p) * 4000.0 / 3999.0)
              let chosen = Array.findIndex ((=) (Array.max means)) means
              let paired = SampleComplexity.pairedCertificate (1.0, rewards, chosen, 0.05)
              let unpaired = SampleComplexity.policyClassCertificate (1.0, means, variances, 4000, 0.05)
              Expect.isLessThan paired (0.5 * unpaired) $"{paired} against {unpaired}"

          testCase "leaving out stages dearer by 1 than the first lowers no optimum: chain, jump, recall, 300 random distributions"
          <| fun () ->
              let random = Random 145
              let mutable pruned = 0
              for _ in 1..300 do
                  let n, m = random.Next(2, 5), random.Next(1, 3)
                  let whole =
                      { JointDistributionTests.randomDistribution random n m with
                          Costs = Array.init n (fun _ -> 0.5 * float (random.Next 9)) }
                  let lambda = 0.5
                  let keep = Pruning.worthwhile (whole.Costs, lambda)
                  let only (row: 'a[]) = keep |> Array.map (fun k -> row[k])
                  let rest =
                      { whole with
                          Signals = Array.map only whole.Signals
                          Qualities = Array.map only whole.Qualities
                          Costs = only whole.Costs }
                  if keep.Length < n then pruned <- pruned + 1
                  for actions in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] do
                      let before, after = BruteForce.solve (whole, lambda, actions), BruteForce.solve (rest, lambda, actions)
                      Expect.isGreaterThanOrEqual after.Value (before.Value - 1e-12) $"{actions}"
              Expect.isGreaterThan pruned 50 "stages are left out"

          testCase "a total price of 1 is no reason to leave a stage out: what was paid is sunk"
          <| fun () ->
              // Stage 2 is right half of the time, and says so; stage 3 always. Each costs 1/2; the first knows nothing.
              let model =
                  { Initial = [| 1.0; 0.0 |]
                    Kernels = [| [| [| 0.5; 0.5 |]; [| 0.5; 0.5 |] |]; [| [| 0.0; 1.0 |]; [| 0.0; 1.0 |] |] |]
                    Means = [| [| 0.0; 0.0 |]; [| 0.0; 1.0 |]; [| 1.0; 1.0 |] |]
                    ContinueCosts = [| 0.5; 0.5 |] }
              within 1e-15 (Chain.optimalValue model) 0.25 "with stage 3, whose total price is 1"
              let shorter = { model with Kernels = model.Kernels[..0]; Means = model.Means[..1]; ContinueCosts = [| 0.5 |] }
              within 1e-15 (Chain.optimalValue shorter) 0.0 "without it"
              Expect.equal (Pruning.worthwhile ([| 0.0; 0.5; 0.5 |], 1.0)) [| 0; 1; 2 |] "all stay"
              Expect.equal (Pruning.worthwhile ([| 1.0; 2.0; 11.0; 10.9 |], 0.1)) [| 0; 1; 3 |] "own price 1 above the first's"
              rejects (fun () -> Pruning.worthwhile ([| 1.0; -1.0 |], 1.0) |> ignore) "negative cost"
              rejects (fun () -> Pruning.worthwhile ([||], 1.0) |> ignore) "no stage" ]
