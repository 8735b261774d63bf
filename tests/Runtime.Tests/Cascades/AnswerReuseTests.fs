/// When a stage verifies the answer that is there: by the times of its forwards, and by what was accepted before.
module Runtime.Tests.Cascades.AnswerReuseTests

open System
open Expecto
open OptimalStopping.Runtime.Cascades
open Runtime.Tests.Decoding

let private vocabulary = 50

/// A model that counts on from the last token of the prompt up to 40, and its answer to [| 1 |].
let private counting () = new FakeModel.FakeModel(vocabulary, 200, FakeModel.counting vocabulary 40)
let private answer = [| 2..40 |]

let private reuse mode = new AnswerReuse(counting (), [| 0 |], 60, mode)

/// Tells of answers whose prompt tokens took the given share of a decoded token each.
let private tell (reuse: AnswerReuse) share count =
    for _ in 1..count do
        reuse.Observe(11, 1e-3 * (1.0 + 10.0 * share), 20, 20e-3)

/// Decodes as a stage would and returns how many of the requests verified, and forwards per answer where they did.
let private run (reuse: AnswerReuse) (draft: int[]) requests =
    let forwards = ResizeArray()
    for _ in 1..requests do
        match reuse.Next() with
        | null -> ()
        | verifier ->
            let generation = verifier.Decode(ReadOnlySpan [| 1 |], answer = ReadOnlyMemory draft)
            Expect.equal generation.Generation.Tokens answer "the same answer"
            let target = generation.Metrics.Target
            reuse.Charge(target.Forwards, target.TokensFed - 1L, answer.Length + 1) |> ignore
            forwards.Add target.Forwards
    forwards

[<Tests>]
let tests =
    testList
        "AnswerReuse"
        [ test "nothing is verified before the stage's times are known" {
              use reuse = reuse AnswerReuseMode.Auto
              Expect.isNull (box (reuse.Next())) "no times"
              tell reuse 0.02 7
              Expect.isNull (box (reuse.Next())) "too few"
              tell reuse 0.02 1
              Expect.isNotNull (box (reuse.Next())) "enough"
          }
          test "where more tokens hardly take longer and are accepted, each answer is verified, in ever longer drafts" {
              use reuse = reuse AnswerReuseMode.Auto
              tell reuse 0.02 16
              let forwards = run reuse [| yield! answer; 0 |] 300
              Expect.equal forwards.Count 300 "all of them"
              Expect.isLessThan forwards[299] 5L "39 tokens in so few forwards"
          }
          test "where a token of a forward takes as long as a forward, only trials are verified" {
              use reuse = reuse AnswerReuseMode.Auto
              tell reuse 1.2 16
              let forwards = run reuse [| yield! answer; 0 |] 1500
              Expect.isLessThan forwards.Count 60 "of 1,500"
              Expect.isGreaterThan forwards.Count 15 "but some: load changes"
          }
          test "where drafts are refused, only trials are verified" {
              use reuse = reuse AnswerReuseMode.Auto
              tell reuse 0.3 16
              let forwards = run reuse [| for i in 0..39 -> 45 + i % 3 |] 1500
              Expect.isLessThan forwards.Count 120 "of 1,500"
          }
          test "when the times change, the decision does" {
              use reuse = reuse AnswerReuseMode.Auto
              tell reuse 1.2 16
              run reuse [| yield! answer; 0 |] 100 |> ignore
              Expect.isNull (box (reuse.Next())) "does not pay"
              tell reuse 0.02 16
              Expect.equal (run reuse [| yield! answer; 0 |] 100).Count 100 "pays now"
          }
          test "always and never are always and never" {
              use always = reuse AnswerReuseMode.Always
              Expect.equal (run always [| yield! answer; 0 |] 3).Count 3 "always"
              use never = reuse AnswerReuseMode.Never
              tell never 0.001 16
              Expect.isNull (box (never.Next())) "never"
          }
          test "times that cannot be are not believed" {
              use reuse = reuse AnswerReuseMode.Auto
              Expect.isTrue (Double.IsNaN reuse.TokenShare) "nothing known"
              reuse.Observe(1, 1.0, 5, 1.0) // one token is no prompt to learn from
              reuse.Observe(10, 1.0, 0, 0.0)
              Expect.isTrue (Double.IsNaN reuse.TokenShare) "still nothing"
              for _ in 1..16 do
                  reuse.Observe(10, 0.0, 5, 0.0)
              Expect.isTrue (reuse.TokenShare > 0.0 && Double.IsFinite reuse.TokenShare) "a clock that stands still"
          } ]
