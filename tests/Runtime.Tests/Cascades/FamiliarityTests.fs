/// Questions that are unlike all calibration questions are told, and few others are.
module Runtime.Tests.Cascades.FamiliarityTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tasks.Miniature
open Support

let private questions =
    lazy
        (let mix = QuestionMix(Knowledge.Load(Path.Combine(Repository.root, "models", "miniature", "knowledge")))
         let prompts split count = MiniatureQuestions(mix, 1, split).Distinct count |> Array.map _.Prompt
         prompts QuerySplit.Calibration 4000, prompts QuerySplit.Test 4000)

let private fitted = lazy (nonNull (Familiarity.Fit(fst questions.Value)))

let private outside = lazy (File.ReadAllLines(Path.Combine(Repository.root, "tests", "Runtime.Tests", "Cascades", "outside.txt")))

[<Tests>]
let tests =
    testList
        "Familiarity"
        [ test "100 questions of other kinds are outside, and new questions of the same kind are not" {
              let missed = outside.Value |> Array.filter fitted.Value.Covers
              let false' = snd questions.Value |> Array.filter (fitted.Value.Covers >> not)
              printfn "outside: %d of %d found; of %d held-out questions %d called outside" (100 - missed.Length) 100 4000 false'.Length
              Expect.isLessThanOrEqual missed.Length 5 $"missed: {missed |> List.ofArray}"
              // One in 200 is allowed; held-out operands and wordings cost a little.
              Expect.isLessThanOrEqual false'.Length 60 $"called outside: {false' |> Array.truncate 10 |> List.ofArray}"
          }
          test "p-values of new questions are uniform where it matters: at or below x no more often than x, nearly" {
              let values = snd questions.Value |> Array.map fitted.Value.PValue
              for x in [ 0.02; 0.05; 0.1; 0.25 ] do
                  let share = (values |> Array.filter (fun p -> p <= x) |> Array.length |> float) / float values.Length
                  Expect.isLessThan share (1.5 * x + 0.01) $"at {x}"
              Expect.isTrue (values |> Array.forall (fun p -> p > 0.0 && p <= 1.0)) "in (0,1]"
          }
          test "what is saved is read back; anything else is refused" {
              let copy = Familiarity.Load(fitted.Value.Save())
              for prompt in Array.append outside.Value (Array.truncate 200 (snd questions.Value)) do
                  Expect.equal (copy.PValue prompt) (fitted.Value.PValue prompt) prompt
              for text in [ ""; "AAAA"; "not base 64!"; Convert.ToBase64String [| 1uy .. 200uy |] ] do
                  Expect.throwsT<FormatException> (fun () -> Familiarity.Load text |> ignore) text
          }
          test "few questions tell nothing; empty and very long ones are questions too" {
              Expect.isNull (Familiarity.Fit(Array.truncate 399 (fst questions.Value))) "too few"
              for prompt in [ ""; "x"; String('a', 1_000_000) ] do
                  Expect.isTrue (fitted.Value.PValue prompt > 0.0) "a number"
          } ]
