module Theory.Tests.DraftPlanningTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// What the best rule nets from here, E[tokens - rate cost], by recursion over every history.
let rec private best (distribution: DiscreteDistribution) draftCost (verify: float[]) rate survival drafted =
    let stop = -rate * verify[drafted]
    if drafted = verify.Length - 1 then stop else max stop (further distribution draftCost verify rate survival drafted)

and private further distribution draftCost verify rate survival drafted =
    Array.fold2
        (fun sum a p -> sum + p * max (-rate * verify[drafted]) (kept distribution draftCost verify rate (survival * a) drafted))
        (-rate * draftCost)
        distribution.Values
        distribution.Probabilities

/// With the new token kept.
and private kept distribution draftCost verify rate survival drafted =
    survival + best distribution draftCost verify rate survival (drafted + 1)

let private randomDistribution (random: Random) size =
    { Values = Array.init size (fun _ -> 0.2 + 0.79 * random.NextDouble())
      Probabilities = ChainTests.randomSimplex random size }

/// Prices of verification that rise in steps of random height, as those of real kernels do.
let private randomVerify (random: Random) longest =
    Array.init longest (fun _ -> 0.6 * random.NextDouble() * random.NextDouble()) |> Array.scan (+) 1.0

[<Tests>]
let tests =
    testList
        "Examples.DraftPlanning"
        [ testCase "the rate is the root of the dynamic programme over all rules"
          <| fun () ->
              let random = Random 121
              for _ in 1..60 do
                  let distribution, c, verify = randomDistribution random 2, 0.3 * random.NextDouble(), randomVerify random 6
                  let plan = DraftPlanning.optimal (distribution, c, verify)
                  within 3e-3 (1.0 + best distribution c verify plan.Rate 1.0 0) 0.0 "root"

          testCase "the thresholds make the decisions of the dynamic programme"
          <| fun () ->
              let random = Random 122
              for _ in 1..60 do
                  let distribution, c, verify = randomDistribution random 3, 0.3 * random.NextDouble(), randomVerify random 5
                  let plan = DraftPlanning.optimal (distribution, c, verify)
                  for j in 0..4 do
                      for survival in 0.05..0.1..0.95 do
                          let stop = -plan.Rate * verify[j]
                          let goOn = further distribution c verify plan.Rate survival j - stop
                          if abs goOn > 5e-3 then
                              Expect.equal (survival > plan.Continue[j]) (goOn > 0.0) $"go on at {survival}, {j} drafted"
                          let keep = kept distribution c verify plan.Rate survival j - stop
                          if abs keep > 5e-3 then Expect.equal (survival > plan.Keep[j]) (keep > 0.0) $"keep at {survival}, {j} drafted"

          testCase "with one price for every verification it is DraftStopping's rule"
          <| fun () ->
              let random = Random 123
              for _ in 1..40 do
                  let distribution, c = randomDistribution random 3, 0.05 + 0.3 * random.NextDouble()
                  let plan, rule = DraftPlanning.optimal (distribution, c, Array.create 13 1.0), DraftStopping.optimal (distribution, c, 12)
                  within 3e-3 plan.Rate rule.Rate "rate"
                  if rule.Threshold < 0.98 then within 2e-2 plan.Continue[0] rule.Threshold "threshold"
                  Expect.all plan.Keep (fun x -> x <= 0.0) "what is drafted is verified"

          testCase "long drafts of one acceptance: the rate is the best fixed length's, from above, within 1e-3 of it"
          <| fun () ->
              let random = Random 124
              let mutable worst = 0.0
              for _ in 1..150 do
                  let alpha, c, longest = 0.8 + 0.199 * random.NextDouble(), 0.03 * random.NextDouble(), random.Next(20, 200)
                  let plan = DraftPlanning.optimal ({ Values = [| alpha |]; Probabilities = [| 1.0 |] }, c, Array.create (longest + 1) 1.0)
                  let exact = Seq.max (seq { for g in 0..longest -> DraftLength.expectedTokens (alpha, g) / (1.0 + c * float g) })
                  Expect.isGreaterThanOrEqual plan.Rate (exact * (1.0 - 1e-9)) "from above"
                  worst <- max worst (plan.Rate / exact - 1.0)
              Expect.isLessThan worst 1e-3 "relative error"

          testCase "where verification costs as much per token as decoding, nothing is drafted"
          <| fun () ->
              let plan = DraftPlanning.optimal ({ Values = [| 0.95 |]; Probabilities = [| 1.0 |] }, 0.0, [| 1.0 .. 9.0 |])
              within 1e-6 plan.Rate 1.0 "rate"
              Expect.all plan.Continue Double.IsPositiveInfinity "never"

          testCase "bad input is rejected"
          <| fun () ->
              let distribution = { Values = [| 0.5 |]; Probabilities = [| 1.0 |] }
              rejects (fun () -> DraftPlanning.optimal (distribution, -0.1, [| 1.0; 1.0 |]) |> ignore) "negative cost"
              rejects (fun () -> DraftPlanning.optimal (distribution, 0.1, [| 1.0 |]) |> ignore) "no draft"
              rejects (fun () -> DraftPlanning.optimal ({ distribution with Values = [| 1.1 |] }, 0.1, [| 1.0; 1.0 |]) |> ignore) "above 1" ]
