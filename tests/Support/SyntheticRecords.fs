/// Records with made-up signals whose relation to being right is known. Nothing here is a result.
module Support.SyntheticRecords

open System
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Cascades

let sigmoid (x: float) = 1.0 / (1.0 + exp -x)

/// The chance of being right that the distribution gives to signals of a stage: less sure than the raw confidence says, and
/// longer answers fail more often.
let chance (stage: int) (s: ConfidenceFeatures) =
    let worst = exp s.MinLogProbability
    sigmoid (-0.5 + 0.4 * float stage + 0.9 * log (worst / (1.0 - worst)) - 0.5 * log (float s.Length))

let signals (random: Random) =
    let length = random.Next(2, 30)
    let worst = 0.02 + 0.97 * Math.Sqrt(random.NextDouble())
    let min = log worst
    let mean = min * (0.1 + 0.6 * random.NextDouble())
    ConfidenceFeatures(mean * float length, mean, min, 4.0 * random.NextDouble(), 0.5 * random.NextDouble(), length)

let names (models: int) = [| for k in 1..models -> $"m{k}" |]

/// Records of the split with qualities by `right`: stage, signals and a uniform number to 0 or 1.
let make (models: int) (split: string) (count: int) (seed: int) (right: int -> ConfidenceFeatures -> float -> float) : CascadeRecords =
    let random = Random seed
    let records =
        Array.init count (fun i ->
            let own = Array.init models (fun _ -> signals random)
            let quality = own |> Array.mapi (fun k s -> right k s (random.NextDouble()))
            let answers = quality |> Array.mapi (fun k q -> if q = 1.0 then "right" else $"wrong {random.Next 3}")
            CascadeRecord(
                split,
                (if i % 2 = 0 then "add" else "sort"),
                1 + i % 3,
                [| for k in 1..models -> float (1 <<< (k - 1)) |],
                quality,
                answers,
                own
            ))
    CascadeRecords(names models, records)

/// Right with the chance of the distribution.
let lawful: int -> ConfidenceFeatures -> float -> float = fun k s u -> if u < chance k s then 1.0 else 0.0

/// Calibration and test records together.
let both (a: CascadeRecords) (b: CascadeRecords) = CascadeRecords(a.Models, [| yield! a.Records; yield! b.Records |])
