/// Small cascades with a known distribution, shared by the tests of the policies.
module Theory.Tests.SyntheticCascade

open System
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies

/// The confidence that stands for a signal bin of m.
let confidenceOf m bin = (float bin + 0.5) / float m

/// A cascade with one query per atom of a distribution: replaying a policy on it and weighting by the probabilities gives the
/// policy's exact value.
let ofAtoms (distribution: JointDistribution) m =
    let n = distribution.Costs.Length
    RecordedCascade.Create(
        distribution.Probabilities.Length,
        n,
        Array.concat (Array.replicate distribution.Probabilities.Length distribution.Costs),
        distribution.Signals |> Array.collect (Array.map (confidenceOf m)),
        Array.concat distribution.Qualities
    )

/// A policy's exact value under the distribution: expected quality - lambda * expected cost.
let exactValue (distribution: JointDistribution) m lambda (policy: IStoppingPolicy) =
    let atoms = ofAtoms distribution m
    let outcome = Replay.run (policy, atoms, [| 0 .. atoms.Queries - 1 |])
    Array.fold2 (fun sum p (q, c) -> sum + p * (q - lambda * c)) 0.0 distribution.Probabilities (Array.zip outcome.Quality outcome.Cost)

/// A distribution in which queries have a hidden ease in four levels; each stage is right with a probability that grows with
/// ease and stage, and its signal bin leans on both ease and being right. Atoms: ease x signals x right answers.
let hiddenEase (seed: int) n m : JointDistribution =
    let random = Random seed
    let costs = Array.init n (fun k -> Math.Pow(2.2, float k) * (0.8 + 0.4 * random.NextDouble()))
    let skill = Array.init n (fun k -> 0.3 + 0.5 * float k / float n + 0.2 * random.NextDouble())
    let atoms = ResizeArray()
    let rec build ease k p signals rights =
        if k = n then
            atoms.Add(p, List.rev signals |> List.toArray, List.rev rights |> List.toArray)
        else
            let right = min 0.97 (skill[k] * (0.35 + 0.3 * float ease))
            for correct in [ 0.0; 1.0 ] do
                let weights =
                    Array.init m (fun s ->
                        let x = float s / float (m - 1)
                        0.15 + (if correct = 1.0 then x * x else (1.0 - x)) + 0.2 * x * float ease / 3.0)
                for s in 0 .. m - 1 do
                    let chance = (if correct = 1.0 then right else 1.0 - right) * weights[s] / Array.sum weights
                    build ease (k + 1) (p * chance) (s :: signals) (correct :: rights)
    for ease in 0..3 do
        build ease 0 0.25 [] []
    { Probabilities = atoms |> Seq.map (fun (p, _, _) -> p) |> Seq.toArray
      Signals = atoms |> Seq.map (fun (_, s, _) -> s) |> Seq.toArray
      Qualities = atoms |> Seq.map (fun (_, _, q) -> q) |> Seq.toArray
      Costs = costs }

/// Queries drawn from a distribution.
let draw (distribution: JointDistribution) m (count: int) (seed: int) =
    let random = Random seed
    let cumulative = distribution.Probabilities |> Array.scan (+) 0.0 |> Array.tail
    let atom () =
        let i = Array.BinarySearch(cumulative, random.NextDouble() * Array.last cumulative)
        min (distribution.Probabilities.Length - 1) (if i < 0 then ~~~i else i)
    let atoms = Array.init count (fun _ -> atom ())
    RecordedCascade.Create(
        count,
        distribution.Costs.Length,
        Array.concat (Array.replicate count distribution.Costs),
        atoms |> Array.collect (fun a -> distribution.Signals[a] |> Array.map (confidenceOf m)),
        atoms |> Array.collect (fun a -> distribution.Qualities[a])
    )

/// A cascade of n stages with continuous confidences: a hidden ease, right answers that grow with ease and stage,
/// confidences that are noisy chances of being right.
let continuous n (count: int) (seed: int) =
    let random = Random seed
    let cost, confidence, quality = Array.zeroCreate (count * n), Array.zeroCreate (count * n), Array.zeroCreate (count * n)
    for q in 0 .. count - 1 do
        let ease = random.NextDouble()
        for k in 0 .. n - 1 do
            let chance = 1.0 / (1.0 + exp (-(6.0 * (ease - 0.6) + 4.0 * float k / float n)))
            let right = random.NextDouble() < chance
            let e = q * n + k
            cost[e] <- Math.Pow(2.0, float k)
            quality[e] <- if right then 1.0 else 0.0
            let center = if right then 0.5 + 0.5 * chance else 0.5 * chance
            confidence[e] <- min 1.0 (max 0.0 (center + 0.2 * (random.NextDouble() - 0.5)))
    RecordedCascade.Create(count, n, cost, confidence, quality)

let allRows (data: RecordedCascade) = [| 0 .. data.Queries - 1 |]
