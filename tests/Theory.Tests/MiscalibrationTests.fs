module Theory.Tests.MiscalibrationTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.StructureTests

let private stopSets (d: float[][]) = d |> Array.map (Array.map (fun x -> x >= 0.0))

/// Laws of every S_k, by pushing the first through the kernels.
let private marginals initial (steps: float[][][]) =
    steps |> Array.scan (fun law kernel ->
        Array.init kernel[0].Length (fun t -> Array.map2 (fun p (row: float[]) -> p * row[t]) law kernel |> Array.sum)) initial

let tests =
    testList "Miscalibration" [
        testCase "property 32: planning with perturbed means and kernels never loses more than the bound" <| fun () ->
            let random = Random 91
            let mutable worst = 0.0
            for i in 1 .. 2000 do
                let costs, means, initial, steps = JumpTests.randomChain random 3 3
                let lambda = 0.4 * random.NextDouble()
                let size = 0.3 * random.NextDouble()
                let wrongMeans = means |> Array.map (Array.map (fun q -> Math.Clamp(q + size * (2.0 * random.NextDouble() - 1.0), 0.0, 1.0)))
                let wrongSteps =
                    if i % 2 = 0 then steps
                    else steps |> Array.map (Array.map (fun row -> Array.map2 (fun a b -> 0.9 * a + 0.1 * b) row (JumpTests.randomDistribution random 3)))
                let value (plan: float[][] * float[][]) = chainValue (costs, means, initial, steps) lambda (stopSets (snd plan))
                let loss =
                    value (chainPlan (costs, means, initial, steps) lambda) - value (chainPlan (costs, wrongMeans, initial, wrongSteps) lambda)
                let errors = Array.map2 (Array.map2 (fun (a: float) b -> abs (a - b))) means wrongMeans
                let eces = Array.map2 (fun law e -> Array.map2 (*) law e |> Array.sum) (marginals initial steps) errors
                let tv = Array.map2 (fun a b -> Array.map2 (fun p q -> SpeculativeSampling.totalVariation (p, q)) a b |> Array.max) steps wrongSteps
                let bound = Miscalibration.valueLoss (Array.map Array.max errors, eces, tv, 1.0 + lambda * (costs[1] + costs[2]))
                Expect.isTrue (loss >= -1e-12 && loss <= bound + 1e-12) $"loss {loss}, bound {bound}"
                worst <- max worst (loss / bound)
            // The bound is not idle: some perturbation reaches a fair part of it.
            Expect.isGreaterThan worst 0.05 "worst ratio"

        testCase "property 10 and Thm 4: a plan's loss is the sum of |D| over its wrong decisions, hence at most error times their number" <| fun () ->
            let random = Random 92
            for _ in 1 .. 500 do
                let chain = JumpTests.randomChain random 3 3
                let costs, means, initial, steps = chain
                let w, d = chainPlan chain 0.2
                let policy = means |> Array.map (Array.map (fun _ -> random.NextDouble() < 0.5))
                let mutable reach, byDecisions = initial, 0.0
                for k in 0 .. 1 do
                    for s in 0 .. 2 do
                        if policy[k].[s] <> (d[k].[s] >= 0.0) then byDecisions <- byDecisions + reach[s] * abs (d[k].[s])
                    reach <-
                        Array.init 3 (fun t -> Seq.sum (seq { for s in 0 .. 2 do if not (policy[k].[s]) then reach[s] * steps[k].[s].[t] }))
                let best = (Array.map2 (*) initial w[0] |> Array.sum) - 0.2 * costs[0]
                within 1e-12 (best - chainValue chain 0.2 policy) byDecisions "performance difference"
            within 1e-15 (Miscalibration.decisionLoss (0.02, 0.03, 1.5)) 0.075 "certificate"

        testCase "the smaller of the two stopping terms counts, errors of stages add, and the bound never exceeds B" <| fun () ->
            within 1e-15 (Miscalibration.valueLoss ([| 0.1; 0.05 |], [| 0.02; 0.03 |], [||], 1.0)) 0.1 "ECEs"
            within 1e-15 (Miscalibration.valueLoss ([| 0.04; 0.01 |], [| 0.04; 0.03 |], [| 0.01 |], 1.5)) 0.11 "sup and kernel"
            Expect.equal (Miscalibration.valueLoss ([| 1.0 |], [| 1.0 |], [||], 1.2)) 1.2 "vacuous"
            rejects (fun () -> Miscalibration.valueLoss ([| 0.1 |], [||], [||], 1.0) |> ignore) "lengths"
    ]
