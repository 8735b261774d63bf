module Torch.Tests.TrainingPlanTests

open System.Collections.Generic
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Torch

let private root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, "..", ".."))

/// A changed copy of the tiny plan, in a folder of its own.
let private plan (change: string -> string) (run: string -> string -> unit) =
    Recipes.inFolder (fun folder ->
        let path = Path.Combine(folder, "plan.yaml")
        File.WriteAllText(path, change (File.ReadAllText(Path.Combine(root, "configs", "tiny_training.yaml"))))
        run folder path)

[<Tests>]
let tests =
    testList
        "TrainingPlan"
        [ testCase "the nano plan describes the models that are shipped"
          <| fun _ ->
              let recipes = TrainingPlan.Load(Path.Combine(root, "configs", "nano_training.yaml")).Recipes
              Expect.equal recipes.Count 4 "models"
              recipes
              |> Seq.iteri (fun i recipe ->
                  let config = Qwen3Config.Read(Path.Combine(root, "models", "nano", string (i + 1), "config.json"))
                  Expect.equal
                      (recipe.Hidden, recipe.Layers, recipe.Heads, recipe.KeyValueHeads, recipe.HeadDimension, recipe.Intermediate)
                      (config.HiddenSize, config.Layers, config.Heads, config.KeyValueHeads, config.HeadDimension, config.IntermediateSize)
                      recipe.Name)

          testCase "faults name the place"
          <| fun _ ->
              let fault (before: string) (after: string) (part: string) =
                  plan (fun text -> text.Replace(before, after)) (fun _ path ->
                      try
                          TrainingPlan.Load path |> ignore
                          failtest $"expected a fault: {part}"
                      with :? ToolkitException as error ->
                          Expect.stringContains error.Message part "message")
              fault "hidden: 32" "hidden: x" "key 'models[0].hidden'"
              fault "tiny-2" "tiny-1" "key 'models[1].name'"
              fault "tiny-2" "../up" "key 'models[1].name'"
              fault "[copy" "[nope" "key 'models[0].families'"
              fault "heads: 4" "heads: 3" "key 'models[1].key_value_heads'"
              fault "seed: 1" "sead: 1" "key 'models[0].seed'"

          testCase "a plan is trained, exported, and recognised as finished"
          <| fun _ ->
              plan (fun text -> text.Replace("steps: 300", "steps: 2").Replace("steps: 600", "steps: 2")) (fun folder path ->
                  let out = Path.Combine(folder, "out")
                  let run () =
                      let lines = List<string>()
                      TrainingCommand.Run(path, out, 1, (fun line -> lines.Add line))
                      lines |> Seq.filter (fun line -> line.Contains "step 2 of 2") |> Seq.length
                  Expect.equal (run ()) 2 "both are trained"
                  for name in [ "tiny-1"; "tiny-2" ] do
                      use model = CpuModel.Load(Path.Combine(out, name))
                      Expect.equal model.VocabularySize 64 name
                  Expect.equal (run ()) 0 "none is trained again") ]
