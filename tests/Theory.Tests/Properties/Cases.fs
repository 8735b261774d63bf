/// Random instances for the properties: FsCheck draws the shapes and a seed, the models' own generators the numbers. A
/// failure prints the instance and the seed that repeats it.
module Theory.Tests.Cases

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open OptimalStopping.Theory

/// A chain of up to 4 stages and 4 bins.
type Chain = Chain of ChainModel
/// A chain small enough for enumeration of all reactive policies.
type SmallChain = SmallChain of ChainModel
/// A chain that obeys T1 and T2.
type RegularChain = RegularChain of ChainModel
/// The parts of a Markov cascade, for jumps, and a price.
type MarkovCascade = MarkovCascade of parts: (float[] * float[][] * float[] * float[][][]) * lambda: float
/// Any joint distribution of up to 3 stages and 3 bins, and a price.
type AnyDistribution = AnyDistribution of JointDistribution * lambda: float
/// Independent boxes with costs above 0.
type Boxes = Boxes of DiscreteDistribution[] * costs: float[]
/// Numbers in [0,1], and a sample of at least two.
type Unit = Unit of float
type Sample = Sample of float[]
type Distributions = Distributions of p: float[] * q: float[]
/// A seed for whatever the property draws itself.
type Seed = Seed of int

let private seeded (shape: Gen<'a>) (make: Random -> 'a -> 'b) : Arbitrary<'b> =
    gen {
        let! s = shape
        let! seed = Gen.choose (0, Int32.MaxValue - 1)
        return make (Random seed) s
    }
    |> Arb.fromGen

let private pair a b = Gen.map2 (fun x y -> x, y) (Gen.choose a) (Gen.choose b)

let randomDistribution (random: Random) size : DiscreteDistribution =
    { Values = Array.init size (fun _ -> random.NextDouble()); Probabilities = ChainTests.randomSimplex random size }

/// One instance in three lies on a grid of quarters: ties, zero probabilities, free stages, and costs above 0.3.
let private either (random: Random) (grid: unit -> 'a) (smooth: unit -> 'a) = if random.Next 3 = 0 then grid () else smooth ()

let private anyChain (random: Random) n m =
    either random (fun () -> TieTests.chain random n m) (fun () -> ChainTests.randomChain random n m)

let private anyCascade (random: Random) n m =
    either
        random
        (fun () ->
            let model = TieTests.chain random n m
            Array.append [| 0.25 |] model.ContinueCosts, model.Means, model.Initial, model.Kernels)
        (fun () -> JumpTests.randomChain random n m)

let private anyDistribution (random: Random) n m =
    let smooth = JointDistributionTests.randomDistribution random n m
    either
        random
        (fun () ->
            { smooth with
                Probabilities = TieTests.quarters random smooth.Probabilities.Length
                Qualities = smooth.Qualities |> Array.map (Array.map (fun q -> Math.Round(4.0 * q) / 4.0))
                Costs = smooth.Costs |> Array.map (fun c -> Math.Round(4.0 * c) / 4.0) })
        (fun () -> smooth)

type Arbitraries =
    static member Chain() = seeded (pair (1, 4) (1, 4)) (fun random (n, m) -> Chain(anyChain random n m))
    static member SmallChain() =
        seeded (Gen.elements [ 1, 3; 2, 1; 2, 3; 2, 5; 3, 2; 3, 3; 4, 2 ]) (fun random (n, m) -> SmallChain(anyChain random n m))
    static member RegularChain() = seeded (pair (2, 4) (2, 4)) (fun random (n, m) -> RegularChain(ChainTests.regularChain random n m))
    static member MarkovCascade() =
        seeded (Gen.elements [ 1, 3; 2, 3; 3, 2; 3, 3; 4, 2 ]) (fun random (n, m) ->
            MarkovCascade(
                anyCascade random n m,
                either random (fun () -> 0.25 * float (random.Next 5)) (fun () -> 0.5 * random.NextDouble())
            ))
    static member AnyDistribution() =
        seeded (pair (1, 3) (1, 3)) (fun random (n, m) ->
            AnyDistribution(
                anyDistribution random n m,
                either random (fun () -> 0.25 * float (random.Next 5)) (fun () -> 0.6 * random.NextDouble())
            ))
    static member Boxes() =
        seeded (Gen.choose (1, 4)) (fun random n ->
            Boxes(
                Array.init n (fun _ -> randomDistribution random (random.Next(1, 4))),
                Array.init n (fun _ -> 0.005 + 0.4 * random.NextDouble())
            ))
    static member Unit() =
        gen {
            let! x = Gen.choose (0, 1_000_000)
            return Unit(float x / 1e6)
        }
        |> Arb.fromGen
    static member Sample() =
        // Zeros and ties are common in the utilities that the statistics see.
        seeded (Gen.choose (2, 40)) (fun random size ->
            Sample(Array.init size (fun _ -> if random.Next 3 = 0 then 0.0 else Math.Round(random.NextDouble() - 0.4, random.Next(1, 4)))))
    static member Distributions() =
        seeded (Gen.choose (1, 12)) (fun random size ->
            Distributions(ChainTests.randomSimplex random size, ChainTests.randomSimplex random size))
    static member Seed() = seeded (Gen.constant ()) (fun random () -> Seed(random.Next()))

/// A run of the suite draws the same instances every time, so that a failure is the code's; TOOLKIT_FRESH_SEEDS=1 draws new ones.
let private replay (name: string) =
    match Environment.GetEnvironmentVariable "TOOLKIT_FRESH_SEEDS" with
    | "1" -> None
    | _ ->
        let hash = name |> Seq.fold (fun h c -> (h ^^^ uint64 c) * 1099511628211UL) 14695981039346656037UL
        Some(hash, hash ||| 1UL, None)

/// A property of `cases` random instances, under its name in docs/theory.md.
let property cases name (test: 'case -> 'rest) : Test =
    let config = { FsCheckConfig.defaultConfig with maxTest = cases; arbitrary = [ typeof<Arbitraries> ]; replay = replay name }
    testPropertyWithConfig config name test

let atMost slack (low: float) (high: float) message = Expect.isTrue (low <= high + slack) $"{message}: {low} <= {high}"
