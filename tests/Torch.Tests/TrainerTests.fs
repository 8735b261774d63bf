module Torch.Tests.TrainerTests

open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Torch

let private fresh recipe = Recipes.inFolder (Recipes.train recipe)

[<Tests>]
let tests =
    testList
        "Trainer"
        [ testCase "a short run lowers the loss"
          <| fun _ ->
              let first, _ = fresh (Recipes.small 1 1)
              let last, _ = fresh (Recipes.small 150 1)
              Expect.isGreaterThan first.Loss 3.5 "an untrained model guesses among 64 characters"
              Expect.isLessThan last.Loss (0.75 * first.Loss) "loss (a running mean) after 150 steps"

          testCase "the same seed gives the same weights, another seed others"
          <| fun _ ->
              let _, a = fresh (Recipes.small 30 1)
              let _, b = fresh (Recipes.small 30 1)
              let _, c = fresh (Recipes.small 30 2)
              Expect.isTrue (a.AsSpan().SequenceEqual(ReadOnlySpan b)) "same seed"
              Expect.isFalse (a.AsSpan().SequenceEqual(ReadOnlySpan c)) "other seed"

          testCase "a run resumed from its checkpoints ends with the weights of an uninterrupted one"
          <| fun _ ->
              let recipe = Recipes.small 120 3
              let _, whole = fresh recipe
              Recipes.inFolder (fun folder ->
                  // Each slice is longer than the last, so that the run ends on any machine.
                  let rec slices milliseconds interruptions =
                      use trainer = new Trainer(recipe, Recipes.texts recipe, 1)
                      use timer = new CancellationTokenSource(milliseconds: int)
                      let finished =
                          try
                              trainer.Run(folder, ignore, timer.Token)
                              true
                          with :? OperationCanceledException ->
                              false
                      if finished then interruptions else slices (2 * milliseconds) (interruptions + 1)
                  Expect.isGreaterThan (slices 40 0) 0 "interruptions"
                  let _, resumed = Recipes.train recipe folder
                  Expect.isTrue (whole.AsSpan().SequenceEqual(ReadOnlySpan resumed)) "weights")

          testCase "a longer plan goes on from where the rate was flat, and not from where it fell"
          <| fun _ ->
              Recipes.inFolder (fun folder ->
                  let short, long = Recipes.small 20 1, Recipes.small 40 1
                  let _, whole = fresh long
                  Recipes.train short folder |> ignore
                  Expect.throwsT<ToolkitException> (fun () -> Recipes.train long folder |> ignore) "the rate has fallen"
                  File.Move(Path.Combine(folder, "checkpoint-flat.bin"), Path.Combine(folder, "checkpoint.bin"), true)
                  let report, continued = Recipes.train long folder
                  Expect.equal report.Step 40 "steps"
                  Expect.isTrue (whole.AsSpan().SequenceEqual(ReadOnlySpan continued)) "the weights of the long plan")

          testCase "the checkpoint of another recipe is refused"
          <| fun _ ->
              Recipes.inFolder (fun folder ->
                  Recipes.train (Recipes.small 1 1) folder |> ignore
                  Expect.throwsT<ToolkitException> (fun () -> Recipes.train (Recipes.small 1 2) folder |> ignore) "other seed") ]
