module Theory.Tests.StructureTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Backward induction for the chain action set, written out: W and D = mu - Q (+infinity last), from kappas = lambda costs.
let internal chainPlan (costs: float[], means: float[][], _initial: float[], steps: float[][][]) lambda =
    let n = costs.Length
    let w, d = Array.map Array.copy means, means |> Array.map (Array.map (fun _ -> infinity))
    for k in n - 2 .. -1 .. 0 do
        for s in 0 .. means[k].Length - 1 do
            let q = (Array.map2 (*) (steps[k].[s]) w[k + 1] |> Array.sum) - lambda * costs[k + 1]
            d[k].[s] <- means[k].[s] - q
            w[k].[s] <- max means[k].[s] q
    w, d

/// The value of the policy that stops where `stops` says, on the chain, first cost included.
let internal chainValue (costs: float[], means: float[][], initial: float[], steps: float[][][]) lambda (stops: bool[][]) =
    let n = costs.Length
    let v = Array.map Array.copy means
    for k in n - 2 .. -1 .. 0 do
        for s in 0 .. means[k].Length - 1 do
            if not stops[k].[s] then
                v[k].[s] <- (Array.map2 (*) (steps[k].[s]) v[k + 1] |> Array.sum) - lambda * costs[k + 1]
    (Array.map2 (*) initial v[0] |> Array.sum) - lambda * costs[0]

/// A chain that satisfies T1 and T2: kernels that mix two increasing laws with weights rising in s, and means made so that
/// every one-step gain falls in s.
let private structuredChain (random: Random) n m =
    let costs, means, initial, _ = JumpTests.randomChain random n m
    let steps =
        Array.init (n - 1) (fun _ ->
            let a = JumpTests.randomDistribution random m
            let tilt = Array.init m (fun s -> float (s + 1))
            let high = let w = Array.map2 (*) a tilt in w |> Array.map (fun x -> x / Array.sum w)
            let weights = Array.init m (fun _ -> random.NextDouble()) |> Array.sort
            weights |> Array.map (fun u -> Array.map2 (fun x y -> (1.0 - u) * x + u * y) a high))
    for k in n - 2 .. -1 .. 0 do
        let gains = Array.init m (fun _ -> 0.5 * random.NextDouble()) |> Array.sortDescending
        for s in 0 .. m - 1 do
            means[k].[s] <- (Array.map2 (*) (steps[k].[s]) means[k + 1] |> Array.sum) - gains[s]
    costs, means, initial, steps

let private nondecreasing (xs: float[]) = Array.pairwise xs |> Array.forall (fun (a, b) -> a <= b + 1e-12)

let tests =
    testList "Structure" [
        testCase "property 3: the (star) identity holds to 1e-12 on random chains" <| fun () ->
            let random = Random 51
            for _ in 1 .. 300 do
                let chain = JumpTests.randomChain random 4 3
                let costs, means, _, steps = chain
                let _, d = chainPlan chain 0.3
                for k in 0 .. 2 do
                    let gain = Structure.oneStepGain (means[k], steps[k], means[k + 1])
                    allWithin 1e-12 (Structure.starIdentity (0.3 * costs[k + 1], gain, steps[k], d[k + 1])) d[k] "D_k"

        testCase "property 4, Thm 1: T1 and T2 make every D_k non-decreasing, hence single-crossing" <| fun () ->
            let random = Random 52
            for _ in 1 .. 300 do
                let chain = structuredChain random 4 4
                let _, means, _, steps = chain
                Expect.isTrue (Structure.thresholdsAreOptimal (means, steps)) "conditions"
                let _, d = chainPlan chain (random.NextDouble())
                Expect.all d[..2] nondecreasing "D_k"
                Expect.all d SingleCrossing.holds "single crossing"

        testCase "property 5: (ii) without T1 a constant gain still gives a decreasing D_1" <| fun () ->
            // D_2 = (-1, 0): stage 3 gains 2 from low and 1 from high at cost 1; P_1 sends low to high and high to low.
            let swap, stay = [| [| 0.0; 1.0 |]; [| 1.0; 0.0 |] |], [| [| 1.0; 0.0 |]; [| 0.0; 1.0 |] |]
            let means = [| [| 0.0; 0.0 |]; [| 0.0; 0.0 |]; [| 2.0; 1.0 |] |]
            let _, d = chainPlan ([| 0.0; 0.5; 1.0 |], means, [| 0.5; 0.5 |], [| swap; stay |]) 1.0
            allWithin 1e-15 d[1] [| -1.0; 0.0 |] "D_2"
            allWithin 1e-15 d[0] [| 0.5; -0.5 |] "D_1 decreases"
            Expect.isFalse (Structure.isStochasticallyMonotone swap) "T1 fails"
            Expect.isFalse (Structure.thresholdsAreOptimal (means, [| swap; stay |])) "not promised"
            Expect.isFalse (SingleCrossing.holds d[0]) "no threshold"

        testCase "stochastic monotonicity, by its definition: means of all increasing functions increase" <| fun () ->
            let random = Random 53
            for _ in 1 .. 500 do
                let kernel = Array.init 2 (fun _ -> JumpTests.randomDistribution random 3)
                // Indicators of upper sets generate all increasing functions.
                let increasing = [ [| 0.0; 0.0; 1.0 |]; [| 0.0; 1.0; 1.0 |] ]
                let mean f row = Array.map2 (*) f row |> Array.sum
                let expected = increasing |> List.forall (fun f -> mean f kernel[0] <= mean f kernel[1])
                Expect.equal (Structure.isStochasticallyMonotone kernel) expected "T1"

        testCase "property 6: best threshold <= V*, with equality under T1 and T2" <| fun () ->
            let random = Random 54
            let bestThreshold chain lambda m =
                Seq.allPairs [ 0 .. m ] [ 0 .. m ]
                |> Seq.map (fun (a, b) ->
                    chainValue chain lambda [| Array.init m (fun s -> s >= a); Array.init m (fun s -> s >= b) |])
                |> Seq.max
            let optimum chain lambda =
                let costs, _, initial, _ = chain
                let w: float[][] = fst (chainPlan chain lambda)
                (Array.map2 (*) initial w[0] |> Array.sum) - lambda * (costs: float[])[0]
            for _ in 1 .. 100 do
                let free, structured = JumpTests.randomChain random 3 3, structuredChain random 3 3
                Expect.isTrue (bestThreshold free 0.2 3 <= optimum free 0.2 + 1e-12) "at most V*"
                within 1e-12 (bestThreshold structured 0.2 3) (optimum structured 0.2) "equality"
                within 1e-12 (optimum free 0.2) (JointLaw.solve (JumpTests.asJointLaw free, 0.2, ActionSet.Chain)).Value "exact solver"

        testCase "property 7, Thm 2a: D_k(s) is non-decreasing in lambda, without T1 or T2" <| fun () ->
            let random = Random 55
            for _ in 1 .. 100 do
                let chain = JumpTests.randomChain random 4 3
                let tables = [ for i in 0 .. 10 -> snd (chainPlan chain (0.1 * float i)) ]
                for low, high in List.pairwise tables do
                    Array.iter2 (Array.iter2 (fun a b -> Expect.isTrue (a <= b + 1e-12) "D rises")) low high
    ]
