/// Trace files for the tests: temporary files with given lines, and a random cascade as lines.
module Support.TraceFiles

open System
open System.IO

/// Runs the action with the path of a file that holds the text, and removes it afterwards.
let withText (text: string) (action: string -> 'a) : 'a =
    let path = Path.Combine(Path.GetTempPath(), $"trace-{Guid.NewGuid():N}.jsonl")
    File.WriteAllText(path, text)
    try
        action path
    finally
        File.Delete path

let withLines (lines: string seq) (action: string -> 'a) : 'a = withText (String.Join("\n", lines) + "\n") action

/// Runs the action with a fresh folder, and removes it afterwards.
let withFolder (action: string -> 'a) : 'a =
    let path = Path.Combine(Path.GetTempPath(), $"toolkit-{Guid.NewGuid():N}")
    Directory.CreateDirectory path |> ignore
    try
        action path
    finally
        Directory.Delete(path, true)

let stage (model: string) (cost: float) (confidence: float option) (quality: float) =
    let c =
        match confidence with
        | Some x -> string x
        | None -> "null"
    $"""{{"model":"{model}","cost":{cost},"confidence":{c},"quality":{quality}}}"""

let line (id: string) (stages: string list) =
    let all = String.Join(",", stages)
    $"""{{"id":"{id}","dataset":"d","split":"s","stages":[{all}]}}"""

/// A cascade of four stages with informative confidences.
let cascade (count: int) (seed: int) =
    let random = Random seed
    [| for q in 1..count do
           let ease = random.NextDouble()
           line
               $"q{q}"
               [ for k in 0..3 do
                     let right = random.NextDouble() < 0.25 + 0.5 * ease + 0.07 * float k
                     let confidence = Math.Round(0.3 * ease + (if right then 0.5 else 0.2) * random.NextDouble(), 4)
                     stage $"m{k}" (Math.Pow(2.0, float k)) (Some confidence) (if right then 1.0 else 0.0) ] |]
