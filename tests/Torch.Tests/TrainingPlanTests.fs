module Torch.Tests.TrainingPlanTests

open System.Collections.Generic
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tokenization
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
                  Expect.equal (run ()) 0 "none is trained again")

          testCase "a model of the miniature plan is a Qwen3 folder: tokenizer, template, stops, INT8"
          <| fun _ ->
              Recipes.inFolder (fun folder ->
                  let path = Path.Combine(folder, "plan.yaml")
                  let models = Path.Combine(root, "models", "miniature")
                  let knowledge, template = Path.Combine(models, "knowledge"), Path.Combine(models, "chat_template.jinja")
                  File.WriteAllText(
                      path,
                      $"knowledge: {knowledge}\nchat_template: {template}\nvocabulary: 500\nmodels:\n"
                      + "  - { name: m, hidden: 32, layers: 1, heads: 2, key_value_heads: 1, head_dimension: 16, intermediate: 48, "
                      + "steps: 2, learning_rate: 0.006, seed: 1, rows: 4, row_length: 160, prompt_weight: 0.1 }\n"
                  )
                  TrainingCommand.Run(path, folder, 1, ignore, "m")
                  Expect.throwsT<ToolkitException> (fun () -> TrainingCommand.Run(path, folder, 1, ignore, "n")) "no such model"
                  use model = CpuModel.Load(Path.Combine(folder, "m"))
                  let tokenizer = TokenizerFiles.Load(Path.Combine(folder, "m")) :?> QwenTokenizer
                  Expect.equal (model.VocabularySize, tokenizer.VocabularySize) (500, 500) "vocabulary"
                  Expect.equal
                      (List.ofSeq tokenizer.StopTokens)
                      [ for t in [ "<|im_end|>"; "<|endoftext|>" ] -> (tokenizer.TokenOf t).Value ]
                      "stops"
                  let config = File.ReadAllText(Path.Combine(folder, "m", "tokenizer_config.json"))
                  use json = System.Text.Json.JsonDocument.Parse config
                  Expect.equal (json.RootElement.GetProperty("chat_template").GetString()) (File.ReadAllText template) "template"
                  let prompt = tokenizer.Encode(ChatTemplate.Qwen3.Render("What is 2+2?", ChatMode.Direct))
                  Expect.equal prompt.[0] (tokenizer.TokenOf "<|im_start|>").Value "the template's marks are tokens") ]
