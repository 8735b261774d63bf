/// The same cascade file with backend cpu and backend torch: the same decisions.
module Torch.Tests.DecisionsTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Torch.Inference

let private root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, "..", ".."))

/// TOOLKIT_DECISIONS=500 runs the number that docs/qwen3.md reports.
let private queries =
    match Environment.GetEnvironmentVariable "TOOLKIT_DECISIONS" with
    | null -> 40
    | text -> int text

let private answers (backend: string) (prompts: string[]) =
    let file = Path.Combine(root, "configs", $"nano-{Guid.NewGuid():N}.yaml")
    File.WriteAllText(file, File.ReadAllText(Path.Combine(root, "configs", "nano.yaml")) + $"\nbackend: {backend}\n")
    try
        let cascadeFile = CascadeFile.Load file
        use cascade = Cascade.Load cascadeFile
        Expect.all cascade.Models (fun m -> (m :? TorchModel) = (backend = "torch")) "engine"
        let adaptive = AdaptiveCascade.Fit(cascade, CascadeRecords.Load(nonNull cascadeFile.CalibrationTrace), 0.01)
        prompts
        |> Array.map (fun prompt ->
            let answer = adaptive.Answer prompt
            [ for turn in answer.Turns -> turn.Stage ], answer.Chosen.Stage, answer.Chosen.Text, answer.Chosen.Confidence)
    finally
        File.Delete file

[<Tests>]
let tests =
    testList
        "Decisions"
        [ testCase $"{queries} nano queries: the same stages are asked, and the same stage answers" (fun () ->
              TorchModel.Register()
              let prompts = [| for q in QueryGenerator(77, QuerySplit.Test).Distinct queries -> q.Prompt |]
              let cpu, torch = answers "cpu" prompts, answers "torch" prompts
              let all = Array.zip3 prompts cpu torch
              let differ = all |> Array.filter (fun (_, (a, b, _, _), (c, d, _, _)) -> (a, b) <> (c, d))
              // Two tokens within float error of each other may change places, in few texts.
              let texts = all |> Array.filter (fun (_, (_, _, a, _), (_, _, b, _)) -> a <> b)
              let confidence = Array.map2 (fun (_, _, _, (a: float)) (_, _, _, b) -> abs (a - b)) cpu torch
              printfn
                  $"{queries} queries: {differ.Length} decided otherwise, {texts.Length} with another text; confidences differ by {Array.max confidence:E1} at most"
              for prompt, a, b in Array.append differ texts do
                  printfn $"  {prompt}: cpu %A{a}, torch %A{b}"
              Expect.isEmpty differ "decisions"
              Expect.isLessThanOrEqual texts.Length (max 1 (queries / 100)) "texts") ]
