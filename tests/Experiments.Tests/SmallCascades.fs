/// Cascades of any number of stages and a fitted bench, for tests that recompute what an experiment wrote. Nothing here is
/// a result.
module Experiments.Tests.SmallCascades

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Threading
open OptimalStopping.Experiments
open OptimalStopping.Theory.Policies

/// Queries with a hidden ease; later stages are right more often, confidences are noisy chances of being right.
let cascade stages count (seed: int) : RecordedCascade =
    let random = Random seed
    let cost, confidence, quality =
        Array.zeroCreate (count * stages), Array.zeroCreate (count * stages), Array.zeroCreate (count * stages)
    for q in 0 .. count - 1 do
        let ease = random.NextDouble()
        for k in 0 .. stages - 1 do
            let chance = 1.0 / (1.0 + exp (-(6.0 * (ease - 0.6) + 4.0 * float k / float stages)))
            let right = random.NextDouble() < chance
            let e = q * stages + k
            cost[e] <- Math.Pow(2.0, float k)
            quality[e] <- if right then 1.0 else 0.0
            // Inside (0, 1), so that no two are equal.
            confidence[e] <- 0.1 + 0.8 * (if right then 0.5 + 0.5 * chance else 0.5 * chance) + 0.2 * (random.NextDouble() - 0.5)
    RecordedCascade.Create(count, stages, cost, confidence, quality)

let outcomesOf (calibration: RecordedCascade) (test: RecordedCascade) =
    Support.SyntheticOutcomes.join [| for k in 1 .. calibration.Stages -> $"model-{k}" |] calibration test

let outcomes stages count = outcomesOf (cascade stages count 1) (cascade stages count 2)

let options = ExperimentOptions(Resamples = 200, Horizon = 1000, Runs = 3)

let quiet = Action<string, float>(fun _ _ -> ())

/// What a policy earns: a cascade's queries with some qualities replaced.
let withQuality (change: int -> int -> float -> float) (data: RecordedCascade) =
    let n = data.Stages
    RecordedCascade.Create(data.Queries, n, data.Cost, data.Confidence, data.Quality |> Array.mapi (fun i v -> change (i / n) (i % n) v))

/// The rows of a result file, by column.
let rows folder name : IReadOnlyDictionary<string, string>[] =
    let lines = File.ReadAllLines(Path.Combine(folder, name))
    let header = lines[0].Split ','
    [| for line in lines[1..] ->
           let cells = line.Split ','
           if cells.Length <> header.Length then failwith $"{name}: {cells.Length} cells under {header.Length} columns: {line}"
           Seq.zip header cells |> Seq.map KeyValuePair |> Dictionary :> IReadOnlyDictionary<_, _> |]

/// A cell as a number; the test fails where it is empty.
let number (column: string) (row: IReadOnlyDictionary<string, string>) = Double.Parse(row[column], CultureInfo.InvariantCulture)

/// Runs an experiment in a fresh folder and reads what it wrote.
let inFolder (which: string) (options: ExperimentOptions) (outcomes: RecordedOutcomes) (read: string -> 'a) : 'a =
    Support.TraceFiles.withFolder (fun folder ->
        ExperimentSuite.Run(which, outcomes, options, folder, quiet, CancellationToken.None)
        read folder)

/// One bench for the tests that only read it.
let bench = lazy (PolicyBench.Fit(outcomes 4 500, quiet, CancellationToken.None))

/// Mean cost and quality of always asking one stage, straight from the record.
let single (data: RecordedCascade) k =
    let of' (values: float[]) = Array.init data.Queries (fun q -> values[q * data.Stages + k]) |> Array.average
    of' data.Cost, of' data.Quality
