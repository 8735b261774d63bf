module Runtime.Tests.Decoding.GreedyDecoderTests

open System
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Models
open Runtime.Tests.Decoding.FakeModel

let private prompts (seed: int) count vocabulary =
    let random = Random seed
    Array.init count (fun _ -> Array.init (random.Next(1, 9)) (fun _ -> random.Next vocabulary))

/// Everything of a generation that can be compared.
let private plain (g: Generation) = g.Tokens, g.Features, g.Ended

let private message action =
    try
        action ()
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

[<Tests>]
let tests =
    testList
        "GreedyDecoder"
        [ test "stops at the end token, which is not in the answer but in the signals" {
              use model = new FakeModel(10, 100, counting 10 7)
              let seen = ResizeArray()
              let g = GreedyDecoder(model, 0, 50).Decode(ReadOnlySpan [| 3 |], Action<int> seen.Add)
              Expect.equal (g.Tokens, g.Ended) ([| 4; 5; 6; 7 |], true) "answer"
              Expect.sequenceEqual seen g.Tokens "told"
              Expect.equal g.Features.Length 5 "the end token counts"
              let logP = -(log (1.0 + 9.0 * exp -5.0))
              Expect.floatClose Accuracy.veryHigh g.Features.SumLogProbability (5.0 * logP) "known logits"
              Expect.floatClose Accuracy.veryHigh g.Features.MinMargin 5.0 "margin"
              Expect.equal model.Live 0 "sequences left"
          }
          test "an end at once is an empty answer" {
              let g = GreedyDecoder(new FakeModel(10, 100, counting 10 7), 0, 50).Decode(ReadOnlySpan [| 1; 9 |])
              Expect.equal (g.Tokens, g.Ended, g.Features.Length) ([||], true, 1) "empty"
          }
          test "stops at the limit of tokens" {
              for limit in 1..3 do
                  let g = GreedyDecoder(new FakeModel(10, 100, counting 10 7), 0, limit).Decode(ReadOnlySpan [| 3 |])
                  Expect.equal (g.Tokens, g.Ended, g.Features.Length) ([| 4 .. 3 + limit |], false, limit) $"limit {limit}"
          }
          test "stops where the model's positions end" {
              for decode in [ (fun (d: GreedyDecoder) (p: int[]) -> d.Decode(ReadOnlySpan p)); (fun d p -> d.DecodeAll([| p |])[0]) ] do
                  let g = decode (GreedyDecoder(new FakeModel(10, 5, counting 10 9), 0, 50)) [| 1; 2; 3 |]
                  // Positions 4 and 5 hold the tokens 4 and 5; 6 is the last that could still be chosen.
                  Expect.equal (g.Tokens, g.Ended) ([| 4; 5; 6 |], false) "three tokens"
          }
          testProperty "a batch gives what one prompt at a time gives"
          <| fun (seed: int) ->
              let random = Random seed
              let vocabulary, limit = random.Next(3, 12), random.Next(1, 20)
              use model = new FakeModel(vocabulary, 24, scrambled vocabulary)
              let decoder = GreedyDecoder(model, 0, limit)
              let all = prompts seed (random.Next 30) vocabulary
              let single = all |> Array.map (fun p -> plain (decoder.Decode(ReadOnlySpan p)))
              for batch in [ 1; 2; 7; 64 ] do
                  Expect.equal (decoder.DecodeAll(all, batch) |> Array.map plain) single $"batch {batch}"
              Expect.equal model.Live 0 "sequences left"

          test "the batch is refilled and never wider than asked" {
              use model = new FakeModel(6, 40, scrambled 6)
              GreedyDecoder(model, 0, 12).DecodeAll(prompts 1 50 6, 8) |> ignore
              Expect.equal model.WidestBatch 8 "width"
              Expect.throwsT<ArgumentOutOfRangeException>
                  (fun () -> GreedyDecoder(model, 0, 12).DecodeAll(prompts 1 5 6, 0) |> ignore)
                  "no batch"
          }
          test "cancellation ends it and leaves no sequence behind" {
              use model = new FakeModel(6, 40, scrambled 6)
              let decoder = GreedyDecoder(model, 5, 30)
              let endless = GreedyDecoder(new FakeModel(10, 100, (fun _ -> Array.init 10 float32)), 0, 90)
              use source = new CancellationTokenSource()
              let told = ref 0
              let stop _ =
                  told.Value <- told.Value + 1
                  if told.Value = 3 then source.Cancel()
              Expect.throwsT<OperationCanceledException>
                  (fun () -> endless.Decode(ReadOnlySpan [| 1 |], Action<int> stop, source.Token) |> ignore)
                  "one"
              Expect.equal told.Value 3 "stopped at once"
              Expect.throwsT<OperationCanceledException> (fun () -> decoder.DecodeAll(prompts 1 9 6, 4, source.Token) |> ignore) "many"
              Expect.equal model.Live 0 "sequences left"
          }
          test "empty and too long prompts are faults" {
              use model = new FakeModel(10, 8, counting 10 9)
              let decoder = GreedyDecoder(model, 0, 4)
              Expect.equal
                  (message (fun () -> decoder.Decode(ReadOnlySpan [||]) |> ignore))
                  "prompt: expected at least one character, got none"
                  "empty"
              let long = Array.create 8 1
              let expected = "prompt: expected fewer than 8 tokens (the limit of fake), got 8"
              Expect.equal (message (fun () -> decoder.Decode(ReadOnlySpan long) |> ignore)) expected "one"
              Expect.equal (message (fun () -> decoder.DecodeAll([| [| 1 |]; long |], 2) |> ignore)) expected "in a batch"
              Expect.equal model.Live 0 "sequences left"
              Expect.equal (decoder.Decode(ReadOnlySpan long[1..]).Tokens) [| 2; 3 |] "one less fits"
          } ]
