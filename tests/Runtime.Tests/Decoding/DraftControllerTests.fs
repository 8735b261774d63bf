module Runtime.Tests.Decoding.DraftControllerTests

open System
open Expecto
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Theory

/// Drafted tokens cost nothing, verifying one more costs 0.35: worth it for acceptances above 0.35.
let private controller () = DraftController.Adaptive(0.0, [| for g in 0..8 -> 1.0 + 0.35 * float g |])

let private bins (bin: int) (count: int) = Array.init DraftBlock.Bins (fun b -> if b = bin then count else 0)

/// Whether a first token of a class of confidence is kept after the class was seen so often.
let private keeps bin tested accepted =
    let controller = controller ()
    controller.Learn(ReadOnlySpan(bins bin tested), ReadOnlySpan(bins bin tested), ReadOnlySpan(bins bin accepted))
    controller.Rule.Acceptance[bin] > controller.Rule.Keep[0]

/// Runs a controller on a source whose tokens have known acceptance probabilities by class, and returns tokens per unit
/// of cost over the last requests. Ten rounds a request; a round's draft ends at its first rejection.
let private earns (acceptance: float[]) draftCost (verify: float[]) (controller: DraftController) requests (random: Random) =
    let tokens, cost = Array.zeroCreate requests, Array.zeroCreate requests
    for r in 0 .. requests - 1 do
        let rule = controller.NextRule()
        let offered, tested, accepted = bins 0 0, bins 0 0, bins 0 0
        for _ in 1..10 do
            let block = DraftBlock(rule.MaxLength, 2, false)
            block.Begin(rule, rule.MaxLength)
            let mutable goesOn = true
            while goesOn && block.GoesOn do
                cost[r] <- cost[r] + draftCost
                goesOn <- block.Offer(0, random.Next acceptance.Length)
            let mutable stands = true
            for j in 0 .. block.Count - 1 do
                let bin = block.Bin j
                offered[bin] <- offered[bin] + 1
                if stands then
                    tested[bin] <- tested[bin] + 1
                    stands <- random.NextDouble() < acceptance[bin]
                    if stands then
                        accepted[bin] <- accepted[bin] + 1
                        tokens[r] <- tokens[r] + 1.0
            tokens[r] <- tokens[r] + 1.0
            cost[r] <- cost[r] + verify[block.Count]
        controller.Learn(ReadOnlySpan offered, ReadOnlySpan tested, ReadOnlySpan accepted)
    let last = requests / 2
    Array.sum tokens[last..] / Array.sum cost[last..]

[<Tests>]
let tests =
    testList
        "DraftController"
        [ test "a few bad tokens do not end a class of confidence, many do" {
              Expect.isTrue (keeps 2 60 19) "0.32 of 60: may well be above 0.35"
              Expect.isFalse (keeps 2 6000 1900) "0.32 of 6,000"
              Expect.isTrue (keeps 2 6000 2300) "0.38 of 6,000"
          }
          test "drafts only where that beats the verifier running alone" {
              // One token of acceptance 0.9 for 1.6: 1.19 tokens per unit, against 1 beside the drafter and 1 / alone.
              let drafts alone =
                  let controller = DraftController.Adaptive(ForwardCosts(0.0, 0.3, [| 1.0; 1.3 |], alone))
                  controller.Learn(ReadOnlySpan(bins 2 9000), ReadOnlySpan(bins 2 9000), ReadOnlySpan(bins 2 8100))
                  controller.Rule.Continue[0] < 1.0
              Expect.equal [ for alone in [ 1.0; 0.9; 0.8; 0.7 ] -> drafts alone ] [ true; true; false; false ] "by its cost alone"
          }
          test "learns to earn what the best rule earns, and more than any fixed length" {
              for seed in 1..8 do
                  let random = Random(500 + seed)
                  let acceptance = Array.init 3 (fun i -> 0.3 + 0.3 * float i + 0.09 * random.NextDouble())
                  let draftCost = 0.02 + 0.2 * random.NextDouble()
                  let verify = Array.init 8 (fun _ -> 0.05 + 0.3 * random.NextDouble()) |> Array.scan (+) 1.0
                  let best =
                      (DraftPlanning.optimal ({ Values = acceptance; Probabilities = Array.create 3 (1.0 / 3.0) }, draftCost, verify)).Rate
                  let rate = earns acceptance draftCost verify (DraftController.Adaptive(draftCost, verify)) 3000 random
                  Expect.isLessThan (abs (rate / best - 1.0)) 0.02 $"seed {seed}: earns {rate}, the best rule {best}"
                  let mean = Array.average acceptance
                  for g in 1..8 do
                      let lengthRate = DraftLength.expectedTokens (mean, g) / (float g * draftCost + verify[g])
                      Expect.isGreaterThan rate (0.98 * lengthRate) $"seed {seed}: fixed length {g}"
          } ]
