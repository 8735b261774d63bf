module Theory.Tests.RiskControlTests

open System
open Expecto
open MathNet.Numerics.Distributions
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.RiskControl"
        [ testCase "exact binomial and Clopper-Pearson: R 4.2.2, pbinom and binom.test"
          <| fun () ->
              within 1e-12 (RiskControl.binomial (3, 100, 0.1)) 0.00783648712118439 "pbinom(3, 100, .1)"
              within 1e-9 (RiskControl.clopperPearsonLower (7, 50, 0.025)) 0.0581917003403721 "7 of 50, low"
              within 1e-9 (RiskControl.clopperPearsonUpper (7, 50, 0.025)) 0.2673960024970085 "7 of 50, high"
              within 1e-9 (RiskControl.clopperPearsonUpper (0, 20, 0.05)) 0.139108340668265 "0 of 20 at 90 %"
              Expect.equal (RiskControl.clopperPearsonLower (0, 20, 0.05)) 0.0 "none fails"
              Expect.equal (RiskControl.clopperPearsonUpper (20, 20, 0.05)) 1.0 "all fail"
              within 1e-9 (RiskControl.binomial (7, 50, RiskControl.clopperPearsonUpper (7, 50, 0.1))) 0.1 "inverse"

          testCase "Clopper-Pearson far out in the tails, where 1 - delta or 1 - rate rounds to 1"
          <| fun () ->
              for delta in [ 1e-3; 1e-12; 1e-30; 1e-200 ] do
                  for count in [ 10; 1000; 1_000_000 ] do
                      // No failure in M: the rate with (1 - rate)^M = delta.
                      let exact = -(Math.Exp(log delta / float count) - 1.0)
                      within (1e-9 * exact) (RiskControl.clopperPearsonUpper (0, count, delta)) exact $"0 of {count}, {delta}"
                      let all = Math.Exp(log delta / float count)
                      within (1e-9 * all) (RiskControl.clopperPearsonLower (count, count, delta)) all $"all of {count}, {delta}"
              within 1e-4 (RiskControl.clopperPearsonUpper (0, 1000, 1e-12)) 0.0273 "the example"
              // One failure: M rate approaches the root of 1 - exp(-x) = delta.
              within 1e-14 (RiskControl.clopperPearsonLower (1, 1_000_000, 0.025)) (-(log 0.975) / 1e6) "1 of a million"
              for failures in [ 1; 40; 99 ] do
                  let upper, lower =
                      RiskControl.clopperPearsonUpper (failures, 100, 1e-9), RiskControl.clopperPearsonLower (failures, 100, 1e-9)
                  within 1e-15 (RiskControl.binomial (failures, 100, upper)) 1e-9 "upper"
                  within 1e-15 (RiskControl.binomial (100 - failures, 100, 1.0 - lower)) 1e-9 "lower"

          testCase "two bounds at once: a policy that breaks either passes with probability at most delta, in 1,000 resamples"
          <| fun () ->
              let alpha, risk, delta, count, runs = 0.05, 0.1, 0.1, 400, 1000
              // Net losses of -1, 0 and 1 with the mean given; costs above the budget with the probability given.
              let passes loss over =
                  let random = Random 7
                  let mutable passed = 0
                  for _ in 1..runs do
                      let losses =
                          Array.init count (fun _ ->
                              let u = random.NextDouble()
                              if u < 0.1 + loss then 1.0
                              elif u > 0.9 then -1.0
                              else 0.0)
                      let above = Seq.length (Seq.filter id (Seq.init count (fun _ -> random.NextDouble() < over)))
                      passed <- passed + RiskControl.passedNetWithin ([| losses |], Array.zeroCreate count, [| above |], alpha, risk, delta)
                  float passed / float runs
              let limit = delta + 3.0 * sqrt (delta * (1.0 - delta) / float runs)
              Expect.isLessThanOrEqual (passes alpha 0.0) limit "loses too much, costs little"
              Expect.isLessThanOrEqual (passes -0.1 risk) limit "gains, costs too much"
              Expect.isLessThanOrEqual (passes alpha risk) limit "both"
              Expect.isGreaterThan (passes -0.1 0.02) 0.9 "keeps both by far"

          testCase "labels needed: fewer for a laxer bound, too many where the loss is too large"
          <| fun () ->
              let random = Random 3
              let losses =
                  Array.init 500 (fun _ ->
                      let u = random.NextDouble()
                      if u < 0.1 then 1.0
                      elif u > 0.9 then -1.0
                      else 0.0)
              let bound gap = max 0.01 (Array.average losses + gap)
              let needed = [ 0.05; 0.1; 0.2 ] |> List.map (fun gap -> RiskControl.labelsNeeded (losses, bound gap, 0.05, 100_000))
              Expect.equal (List.sortDescending needed) needed "falls with the bound"
              Expect.isLessThanOrEqual needed.Head 100_000 "enough"
              let passed =
                  Seq.init 200 (fun _ ->
                      let sample = Array.init needed.Head (fun _ -> losses[random.Next losses.Length])
                      RiskControl.passedNet ([| sample |], bound 0.05, 0.05))
                  |> Seq.sum
              Expect.isTrue (passed > 60 && passed < 180) $"more or less half of fresh samples of that size pass: {passed} of 200"
              Expect.equal (RiskControl.labelsNeeded (Array.create 20 1.0, 0.05, 0.05, 500)) 501 "always loses"

          testCase "property 30: P(p <= u) <= u for both p-values at the edge of the null, by enumeration"
          <| fun () ->
              for count, alpha in [ 20, 0.1; 50, 0.05; 50, 0.3; 200, 0.1 ] do
                  for name, p in
                      [ "HB", (fun k -> RiskControl.hoeffdingBentkus (float k / float count, count, alpha))
                        "binomial", (fun k -> RiskControl.binomial (k, count, alpha)) ] do
                      let values = Array.init (count + 1) p
                      let rises = Array.pairwise values |> Array.forall (fun (a, b) -> a <= b + 1e-15)
                      Expect.isTrue rises $"{name} rises with the loss"
                      for u in values do
                          let chance =
                              Seq.sum (
                                  seq {
                                      for k in 0..count do
                                          if values[k] <= u then Binomial.PMF(alpha, count, k)
                                  }
                              )
                          Expect.isTrue (chance <= u + 1e-12) $"{name}: P(p <= {u}) = {chance}"

          testCase "property 30: Clopper-Pearson covers at every rate, by exact enumeration"
          <| fun () ->
              for rate in 0.01..0.07..0.99 do
                  let covered =
                      Seq.sum (
                          seq {
                              for k in 0..30 do
                                  if rate <= RiskControl.clopperPearsonUpper (k, 30, 0.1) then Binomial.PMF(rate, 30, k)
                          }
                      )
                  Expect.isTrue (covered >= 0.9 - 1e-9) $"rate {rate}: {covered}"

          testCase "property 30: betting p-value at the edge of the null, two-valued and graded losses"
          <| fun () ->
              let random = Random 71
              let twoValued () = if random.NextDouble() < 0.1 then 1.0 else 0.0
              let graded () = 0.2 * random.NextDouble()
              for draw in [ twoValued; graded ] do
                  let p = Array.init 2000 (fun _ -> RiskControl.betting (Array.init 100 (fun _ -> draw ()), 0.1, 0.1))
                  for u in [ 0.02; 0.1; 0.3 ] do
                      let share = float (p |> Array.filter (fun x -> x <= u) |> Array.length) / 2000.0
                      Expect.isTrue (share <= u + 5.0 * sqrt (u * (1.0 - u) / 2000.0)) $"P(p <= {u}) = {share}"
              let small = RiskControl.betting (Array.init 300 (fun i -> if i % 50 = 0 then 0.2 else 0.05), 0.1, 0.05)
              Expect.isLessThan small (RiskControl.hoeffdingBentkus (0.053, 300, 0.1)) "small variance: sharper than HB"
              let net = RiskControl.bettingNet ([| 0.2; -0.4 |], 0.1, 0.1)
              within 1e-15 net (RiskControl.betting ([| 0.6; 0.3 |], 0.55, 0.1)) "net loss"

          testCase "property 30: the choice violates alpha with frequency <= delta, losses not monotone in the order"
          <| fun () ->
              let random = Random 72
              let alpha, delta = 0.1, 0.2
              // The third policy is bad, the fourth good again: a rule that skipped ahead would err.
              let rates = [| 0.02; 0.06; 0.105; 0.05; 0.11 |]
              let violations =
                  Seq.init 1000 (fun _ ->
                      let traces r = Array.init 150 (fun _ -> if random.NextDouble() < r then 1.0 else 0.0)
                      let chosen = RiskControl.choose (Array.map traces rates, alpha, delta)
                      chosen >= 0 && rates[chosen] > alpha)
                  |> Seq.filter id
                  |> Seq.length
              let bar = delta + 3.0 * sqrt (delta * (1.0 - delta) / 1000.0)
              Expect.isTrue (float violations / 1000.0 <= bar) $"{violations} of 1000"

          testCase "fixed sequence stops at the first failure"
          <| fun () ->
              Expect.equal (RiskControl.fixedSequence ([| 0.01; 0.05; 0.2; 0.01 |], 0.05)) 1 "third fails"
              Expect.equal (RiskControl.fixedSequence ([| 0.06; 0.01 |], 0.05)) -1 "first fails"
              Expect.equal (RiskControl.fixedSequence ([| 0.01 |], 0.05)) 0 "all pass"

          testCase "bad input is rejected"
          <| fun () ->
              rejects (fun () -> RiskControl.hoeffdingBentkus (1.2, 10, 0.1) |> ignore) "mean above 1"
              rejects (fun () -> RiskControl.betting ([| -0.1 |], 0.1, 0.1) |> ignore) "negative loss"
              rejects (fun () -> RiskControl.binomial (11, 10, 0.1) |> ignore) "more failures than trials" ]
