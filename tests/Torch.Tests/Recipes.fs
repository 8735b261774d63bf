module Torch.Tests.Recipes

open System.IO
open OptimalStopping.Runtime.Torch

/// A model that takes a few milliseconds a step: two layers, grouped heads, two easy families.
let small (steps: int) (seed: int) = TrainingRecipe("small", 32, 2, 4, 2, 8, 48, steps, 0.006, seed, 4, 96, 10, 0.4, [| "last"; "copy" |])

/// The nano families that a recipe draws from.
let texts (recipe: TrainingRecipe) : TrainingTexts = NanoTexts recipe.Families

/// Runs with a folder that is removed afterwards.
let inFolder (run: string -> 'a) : 'a =
    let folder = Directory.CreateTempSubdirectory("torch-test-").FullName
    try
        run folder
    finally
        Directory.Delete(folder, true)

/// Trains to the end; the last report, and every weight in order.
let train (recipe: TrainingRecipe) (folder: string) : TrainingReport * float32[] =
    use trainer = new Trainer(recipe, texts recipe, 1)
    let mutable last = Unchecked.defaultof<TrainingReport>
    trainer.Run(folder, fun report -> last <- report)
    let weights = [| for t in Seq.append trainer.Model.Matrices trainer.Model.Others -> t.detach().data<float32>().ToArray() |]
    last, Array.concat weights
