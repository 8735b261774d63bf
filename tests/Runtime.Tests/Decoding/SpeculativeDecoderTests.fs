module Runtime.Tests.Decoding.SpeculativeDecoderTests

open Support
open System
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Models
open OptimalStopping.Theory
open Runtime.Tests.Decoding.FakeModel

let private plain (g: Generation) = g.Tokens, g.Features, g.Ended

/// A distribution that follows another one except where a hash of the tokens says so: about `share` of the contexts.
let private unlike (share: float) (distribution: Distribution) : Distribution =
    fun tokens ->
        let logits = distribution tokens
        let hash = (91, tokens) ||> Array.fold (fun h t -> (h * 37 + t + 5) % 999_983)
        if float (hash % 1000) < 1000.0 * share then Array.rev logits else logits

let private message action =
    try
        action ()
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

let private verifyCosts = [| for g in 0..8 -> 1.0 + 0.1 * float g |]

let private randomController (random: Random) =
    if random.Next 2 = 0 then
        DraftController.Fixed(random.Next(1, 9))
    else
        DraftController.Adaptive(0.2 * random.NextDouble(), verifyCosts)

/// A chain of fakes that agree more or less, with its decoder, for a seed.
let private randomChain (random: Random) =
    let vocabulary = random.Next(3, 12)
    let target = scrambled vocabulary
    let length = random.Next(1, 4)
    let positions () = random.Next(16, 40)
    let models =
        [| for k in 1..length ->
               let distribution = if k = length then target else unlike (random.NextDouble()) target
               new FakeModel(vocabulary, positions (), distribution) |]
    let lowest: Func<IDraftSource> | null =
        match random.Next 3 with
        | 0 -> null
        | 1 -> Func<IDraftSource>(fun () -> new LookupDraft(4, 1))
        | _ -> Func<IDraftSource>(fun () -> new AnswerDraft())
    let steps = length - (if isNull lowest then 1 else 0)
    vocabulary,
    models,
    (fun maxTokens ->
        new SpeculativeDecoder(
            models |> Array.map (fun m -> m :> ITokenModel),
            [| 0 |],
            maxTokens,
            [| for _ in 1..steps -> randomController random |],
            lowest
        ))

[<Tests>]
let tests =
    testList
        "SpeculativeDecoder"
        [ testProperty "greedy: answers, signals and ends are the target's own, for every chain, draft and length"
          <| fun (seed: int) ->
              let random = Random seed
              let vocabulary, models, decoder = randomChain random
              let maxTokens = random.Next(1, 25)
              use speculative = decoder maxTokens
              let alone = GreedyDecoder(models[models.Length - 1], 0, maxTokens)
              for _ in 1..6 do
                  let prompt = Array.init (random.Next(1, 15)) (fun _ -> random.Next vocabulary)
                  let answer = Array.init (random.Next 20) (fun _ -> random.Next vocabulary)
                  let expected = alone.Decode(ReadOnlySpan prompt)
                  // As an earlier answer also the right one, whole or with a fault.
                  let answers =
                      [ answer
                        Array.append expected.Tokens [| 0 |]
                        (if expected.Tokens.Length > 2 then Array.removeAt 1 expected.Tokens else [||]) ]
                  for earlier in answers do
                      let told, logs = ResizeArray<int>(), ResizeArray<float>()
                      let got =
                          speculative.Decode(
                              ReadOnlySpan prompt,
                              SamplingOptions.Greedy,
                              ReadOnlyMemory earlier,
                              Action<int, float>(fun token log ->
                                  told.Add token
                                  logs.Add log)
                          )
                      Expect.equal (plain got.Generation) (plain expected) $"seed {seed}"
                      Expect.sequenceEqual told expected.Tokens "told"
                      if not expected.Ended then
                          Expect.floatClose
                              Accuracy.veryHigh
                              (Array.sum (logs.ToArray()))
                              expected.Features.SumLogProbability
                              "log-probabilities"
                      let target = got.Metrics.Target
                      Expect.equal target.TokensOut (int64 expected.Features.Length) "tokens out"
                      Expect.isTrue (target.Accepted <= target.Drafted && target.Forwards <= target.TokensFed) "counts"
              speculative.Dispose()
              Expect.equal (models |> Array.sumBy _.Live) 0 "sequences left"

          test "greedy on the nano models: every pair and the full chain, fixed and adaptive" {
              let models, cascade = NanoModels.models (), NanoModels.cascade ()
              // The long form, with 10,000 prompts, is this one with TOOLKIT_LONG_TESTS=1 (docs/speculation.md).
              let long = Environment.GetEnvironmentVariable "TOOLKIT_LONG_TESTS" = "1"
              let prompts = NanoModels.prompts 41 (if long then 10_000 else 60)
              let own =
                  [| for model in models ->
                         lazy
                             (prompts
                              |> Array.map (fun p -> plain (GreedyDecoder(model, cascade.Tokenizer.EndOfText, 96).Decode(ReadOnlySpan p)))) |]
              let check (chain: ITokenModel[]) controllers =
                  use decoder = new SpeculativeDecoder(chain, [| cascade.Tokenizer.EndOfText |], 96, controllers, null)
                  let expected = own[Array.findIndex (fun m -> obj.ReferenceEquals(m, Array.last chain)) models].Value
                  prompts
                  |> Array.iteri (fun i prompt ->
                      Expect.equal (plain (decoder.Decode(ReadOnlySpan prompt)).Generation) expected[i] "the target's own")
                  let names = chain |> Array.map _.Name |> String.concat " > "
                  if long then
                      printfn
                          "%s: %d prompts, %d tokens, none different"
                          names
                          prompts.Length
                          (expected |> Array.sumBy (fun (tokens, _, _) -> tokens.Length))
              for target in 1..3 do
                  for drafter in 0 .. target - 1 do
                      check [| models[drafter]; models[target] |] [| DraftController.Fixed 5 |]
                      check [| models[drafter]; models[target] |] [| DraftController.Adaptive(0.2, verifyCosts) |]
              check models [| DraftController.Fixed 4; DraftController.Fixed 3; DraftController.Fixed 6 |]
              check models [| for _ in 1..3 -> DraftController.Adaptive(0.3, verifyCosts) |]
          }
          test "a drafter that is the target has every token accepted, and rounds have the length of the draft and one" {
              let distribution = counting 50 40
              let models: ITokenModel[] = [| new FakeModel(50, 100, distribution); new FakeModel(50, 100, distribution) |]
              use decoder = new SpeculativeDecoder(models, [| 0 |], 90, [| DraftController.Fixed 4 |], null)
              let got = decoder.Decode(ReadOnlySpan [| 1 |])
              // 39 tokens and the end: eight rounds of five.
              let target = got.Metrics.Target
              Expect.equal (target.TokensOut, target.Forwards, target.Drafted) (40L, 8L, 32L) "rounds"
              Expect.equal target.AcceptanceRate 1.0 "accepted"
              Expect.equal got.Metrics.Stages[0].TokensOut 32L "drafter"
          }
          test "i.i.d. acceptance: tokens per forward follow the formula within 3 %" {
              // Whether the drafter writes another token than the target is drawn from the position: independent of all before.
              let target = fun (tokens: int[]) -> Array.init 4 (fun i -> if i = 1 + (tokens.Length % 3) then 5.0f else 0.0f)
              let drafter: Distribution =
                  fun tokens ->
                      let next = 1 + (tokens.Length % 3)
                      let next = if SplitMix64(uint64 tokens.Length).NextDouble() < 0.75 then next else 1 + next % 3
                      Array.init 4 (fun i -> if i = next then 5.0f else 0.0f)
              let models: ITokenModel[] = [| new FakeModel(4, 30_000, drafter); new FakeModel(4, 30_000, target) |]
              for length in [ 1; 3; 6 ] do
                  use decoder = new SpeculativeDecoder(models, [| 0 |], 4_000, [| DraftController.Fixed length |], null)
                  let m = (decoder.Decode(ReadOnlySpan [| 1 |])).Metrics.Target
                  let formula = DraftLength.expectedTokens (m.AcceptanceRate, length)
                  Expect.isLessThan (abs (m.TokensPerForward / formula - 1.0)) 0.03 $"length {length}: {m.TokensPerForward} of {formula}"
          }
          test "an answer that stands is verified in few forwards, and one with a fault is taken up behind it" {
              let distribution = counting 60 50
              let model = new FakeModel(60, 200, distribution)
              use decoder =
                  new SpeculativeDecoder(
                      [| model |],
                      [| 0 |],
                      90,
                      [| DraftController.Fixed 60 |],
                      Func<IDraftSource>(fun () -> new AnswerDraft())
                  )
              let forwards answer = (decoder.Decode(ReadOnlySpan [| 1 |], answer = ReadOnlyMemory answer)).Metrics.Target.Forwards
              Expect.equal (forwards [| yield! [ 2..50 ]; 0 |]) 1L "all of it at once, the prompt too"
              Expect.equal (forwards [||]) 50L "nothing to go by"
              // 20 is missing: one forward up to there, a few until three tokens match again, one for the rest.
              Expect.isLessThanOrEqual (forwards [| yield! [ 2..19 ]; yield! [ 21..50 ]; 0 |]) 5L "one token missing"
          }
          test "adaptive: learns that a drafter is good, and that another is not worth it" {
              let distribution = scrambled 9
              let run (drafter: Distribution) =
                  let models: ITokenModel[] = [| new FakeModel(9, 60, drafter); new FakeModel(9, 60, distribution) |]
                  let controller = DraftController.Adaptive(0.1, verifyCosts)
                  use decoder = new SpeculativeDecoder(models, [| 8 |], 40, [| controller |], null)
                  let mutable last = 0.0
                  for i in 1..40 do
                      let m = (decoder.Decode(ReadOnlySpan [| i % 8; i / 8 |])).Metrics.Target
                      last <- float m.Drafted / float m.Forwards
                  last
              Expect.isGreaterThan (run distribution) 4.0 "the same distribution"
              Expect.isLessThan (run (fun tokens -> Array.rev (distribution tokens))) 0.2 "another distribution"
          }
          test "equal seeds give equal samples, other seeds others, once the lengths are frozen" {
              let models: ITokenModel[] = [| new FakeModel(9, 60, unlike 0.5 (scrambled 9)); new FakeModel(9, 60, scrambled 9) |]
              let controller = DraftController.Adaptive(0.1, verifyCosts)
              use decoder = new SpeculativeDecoder(models, [| 0 |], 40, [| controller |], null)
              let sample seed = (decoder.Decode(ReadOnlySpan [| 3; 4 |], SamplingOptions(8.0, Seed = seed))).Generation.Tokens
              for seed in 1UL .. 20UL do
                  sample seed |> ignore
              controller.Freeze()
              let first = [ for seed in 1UL .. 20UL -> sample seed ]
              Expect.equal [ for seed in 1UL .. 20UL -> sample seed ] first "again"
              Expect.isGreaterThan (List.distinct first).Length 10 "various"
          }
          test "cancellation, bad prompts and mismatched models" {
              let models: ITokenModel[] = [| new FakeModel(10, 100, fun _ -> Array.init 10 float32); new FakeModel(10, 8, counting 10 9) |]
              use decoder = new SpeculativeDecoder(models, [| 0 |], 90, [| DraftController.Fixed 2 |], null)
              Expect.throwsT<OperationCanceledException>
                  (fun () -> decoder.Decode(ReadOnlySpan [| 1 |], cancel = CancellationToken true) |> ignore)
                  "cancelled"
              Expect.equal
                  (message (fun () -> decoder.Decode(ReadOnlySpan [||]) |> ignore))
                  "prompt: expected at least one character, got none"
                  "empty"
              Expect.equal
                  (message (fun () -> decoder.Decode(ReadOnlySpan(Array.create 8 1)) |> ignore))
                  "prompt: expected fewer than 8 tokens (the limit of fake), got 8"
                  "long"
              Expect.stringStarts
                  (message (fun () -> decoder.Decode(ReadOnlySpan [| 1 |], SamplingOptions -1.0) |> ignore))
                  "temperature"
                  "options"
              let other: ITokenModel[] = [| new FakeModel(9, 100, counting 9 7); models[1] |]
              Expect.throwsT<ArgumentException>
                  (fun () -> new SpeculativeDecoder(other, [| 0 |], 9, [| DraftController.Fixed 2 |], null) |> ignore)
                  "vocabulary"
              Expect.throwsT<ArgumentException> (fun () -> new SpeculativeDecoder(models, [| 0 |], 9, [||], null) |> ignore) "lengths"
              Expect.throwsT<ArgumentOutOfRangeException> (fun () -> DraftController.Fixed 0 |> ignore) "length 0"
          }
          test "decoding allocates per request, not per token" {
              let models = NanoModels.models ()
              let allocated maxTokens =
                  // No end token among these: every answer has its full length.
                  use decoder =
                      new SpeculativeDecoder(
                          [| models[0]; models[1]; models[3] |],
                          [| -1 |],
                          maxTokens,
                          [| DraftController.Fixed 3; DraftController.Fixed 4 |],
                          null
                      )
                  let prompt = (NanoModels.prompts 1 1)[0]
                  decoder.Decode(ReadOnlySpan prompt) |> ignore
                  // The least of several: tests that run beside this one may hold the models' buffers, and new ones are made then.
                  List.min
                      [ for _ in 1..20 do
                            let before = GC.GetAllocatedBytesForCurrentThread()
                            decoder.Decode(ReadOnlySpan prompt) |> ignore
                            GC.GetAllocatedBytesForCurrentThread() - before ]
              // The answer itself is 4 bytes a token.
              Expect.isLessThanOrEqual (allocated 80 - allocated 20) 300L "60 tokens more"
          } ]
