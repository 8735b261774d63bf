/// Outcomes of a made-up cascade with a hidden ease per query, for tests of the experiments. Nothing here is a result.
module Support.SyntheticOutcomes

open System
open System.IO
open System.Threading
open OptimalStopping.Experiments
open OptimalStopping.Theory.Policies

/// Stages 1 to n with costs 1, 2, 4, ...; right answers grow with ease and stage, confidences lean on being right.
let part (stages: int) (count: int) (seed: int) : RecordedCascade =
    let random = Random seed
    let size = count * stages
    let cost, confidence, quality = Array.zeroCreate size, Array.zeroCreate size, Array.zeroCreate size
    let answer = Array.zeroCreate size
    for q in 0 .. count - 1 do
        let ease = random.NextDouble()
        for k in 0 .. stages - 1 do
            let i = q * stages + k
            let chance = 1.0 / (1.0 + exp -(6.0 * (ease - 0.6) + 4.0 * float k / float stages))
            let right = random.NextDouble() < chance
            cost[i] <- float (1 <<< k)
            quality[i] <- if right then 1.0 else 0.0
            answer[i] <- if right then 0 else random.Next(1, 4)
            let centre = if right then 0.5 + 0.5 * chance else 0.5 * chance
            confidence[i] <- Math.Clamp(centre + 0.2 * (random.NextDouble() - 0.5), 0.0, 1.0)
    RecordedCascade.Create(count, stages, cost, confidence, quality, answer, 0, [||])

/// Two parts as one set of outcomes: the first calibrates, the second tests.
let join (models: string[]) (calibration: RecordedCascade) (test: RecordedCascade) =
    let both (values: RecordedCascade -> 'a[]) = Array.append (values calibration) (values test)
    let all =
        RecordedCascade.Create(
            calibration.Queries + test.Queries,
            calibration.Stages,
            both _.Cost,
            both _.Confidence,
            both _.Quality,
            (if calibration.HasAnswers then both _.Answer else [||]),
            0,
            [||]
        )
    RecordedOutcomes(models, all, [| 0 .. calibration.Queries - 1 |], [| calibration.Queries .. all.Queries - 1 |])

/// The calibration queries and the test queries as cascades of their own.
let calibrationOf, testOf =
    let part (rows: RecordedOutcomes -> int[]) (outcomes: RecordedOutcomes) =
        let all, rows = outcomes.All, rows outcomes
        let pick (values: float[]) = rows |> Array.collect (fun q -> values[q * all.Stages .. (q + 1) * all.Stages - 1])
        RecordedCascade.Create(rows.Length, all.Stages, pick all.Cost, pick all.Confidence, pick all.Quality)
    part _.CalibrationRows, part _.TestRows

let names = [| "small"; "middle"; "large, the last" |]

let outcomes = lazy (join names (part 3 300 1) (part 3 250 2))

let options = ExperimentOptions(Seed = 7, Resamples = 200, Horizon = 2000, Runs = 3, ConfidenceBins = 5)

let silent = Action<string, float>(fun _ _ -> ())

/// Runs experiments on the outcomes into the folder.
let run (which: string) (folder: string) = ExperimentSuite.Run(which, outcomes.Value, options, folder, silent, CancellationToken.None)

/// A result file as its header and rows of cells (quoted cells may hold commas).
let table (folder: string) (name: string) =
    let cells (line: string) =
        let result, cell = ResizeArray<string>(), Text.StringBuilder()
        let mutable quoted = false
        for c in line + "," do
            if c = '"' then
                quoted <- not quoted
            elif c = ',' && not quoted then
                result.Add(cell.ToString())
                cell.Clear() |> ignore
            else
                cell.Append c |> ignore
        result.ToArray()
    let lines = File.ReadAllLines(Path.Combine(folder, name))
    lines[0], lines[1..] |> Array.map cells
