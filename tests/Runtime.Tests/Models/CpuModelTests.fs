/// The engine against an independent reference, and its guarantee: the same bits however tokens are fed.
module Runtime.Tests.Models.CpuModelTests

open Support
open System
open System.Threading.Tasks
open Expecto
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

/// Widths that are no multiple of 16, grouped and single key heads, head width apart from hidden / heads, both heads.
let private configs =
    [ "plain", config 32 2 2 2 16 48 40 true
      "grouped, separate head", config 48 3 6 2 16 80 64 false
      "one key head, wide heads", config 40 2 3 1 24 56 33 true
      "odd sizes", config 30 2 4 2 6 21 19 false ]

let private forwardAll (sequence: ITokenSequence) (vocabulary: int) (tokens: int[]) : float32[][] =
    let all = Array.zeroCreate<float32>(tokens.Length * vocabulary)
    sequence.ForwardAll(tokens, all)
    Array.chunkBySize vocabulary all

let private last (sequence: ITokenSequence) (vocabulary: int) (tokens: int[]) : float32[] =
    let row = Array.zeroCreate<float32> vocabulary
    sequence.Forward(tokens, row)
    row

let private batch (model: CpuModel) (steps: SequenceStep[]) (logits: float32[]) = model.ForwardBatch(steps, logits)

let private step (sequence: ITokenSequence) (tokens: int[]) = SequenceStep(sequence, ReadOnlyMemory tokens)

let private bits (row: float32[]) = Array.map BitConverter.SingleToInt32Bits row

let private reference =
    testList
        "against the reference"
        [ for i, (name, c) in List.indexed configs do
              testCase $"{name}: 1e-4 from the rounded reference, within quantisation error of the exact one" (fun () ->
                  let seed = 100 + i
                  use model = load c seed KernelSets.Best
                  use sequence = model.NewSequence 24
                  let tokens = randomTokens c seed 20
                  let got = forwardAll sequence c.VocabularySize tokens
                  let values = weights c seed
                  let rounded = ReferenceQwen3.logits c values ReferenceQwen3.Rounded tokens
                  let exact = ReferenceQwen3.logits c values ReferenceQwen3.Exact tokens
                  let errors (other: float[][]) = Array.map2 ReferenceQwen3.relativeError got other
                  // A value that lies within float error of a tie may round the other way: a step of 1/127 for one value,
                  // which shows in that token and, weakly, in later ones. The median is free of such accidents.
                  Expect.isLessThan (errors rounded |> Array.sort |> Array.item 10) 1e-4 "median over tokens, rounded"
                  Expect.isLessThan (errors rounded |> Array.max) 1e-2 "greatest over tokens, rounded"
                  Expect.isLessThan (errors exact |> Array.sort |> Array.item 10) 0.05 "median over tokens, exact"
                  Expect.isLessThan (errors exact |> Array.max) 0.15 "greatest over tokens, exact"
                  Expect.isGreaterThan (errors exact |> Array.max) 1e-4 "rounding is really there") ]

let private sameBits =
    testList
        "the same bits"
        [ for name, c in configs do
              testCase $"{name}: alone, together, in a batch, after truncation and fork" (fun () ->
                  use model = load c 7 KernelSets.Best
                  let v = c.VocabularySize
                  let tokens = randomTokens c 8 96
                  use whole = model.NewSequence 128
                  let expected = forwardAll whole v tokens |> Array.map bits
                  use single = model.NewSequence 96
                  for i in 0 .. tokens.Length - 1 do
                      Expect.equal (bits (last single v [| tokens[i] |])) expected[i] $"one at a time, token {i}"
                  for length in 1 .. tokens.Length do
                      use prompt = model.NewSequence length
                      Expect.equal (bits (last prompt v tokens[.. length - 1])) expected[length - 1] $"prompt of {length}"
                  // A batch in which sequence b already holds b tokens and takes 1 + b % 3 more.
                  let sequences =
                      Array.init 70 (fun b ->
                          let s = model.NewSequence 96
                          if b > 0 then last s v tokens[.. b - 1] |> ignore
                          s)
                  let steps = sequences |> Array.mapi (fun b s -> SequenceStep(s, ReadOnlyMemory(tokens, b, 1 + b % 3)))
                  let logits = Array.zeroCreate<float32>(steps.Length * v)
                  model.ForwardBatch(steps, logits)
                  logits
                  |> Array.chunkBySize v
                  |> Array.iteri (fun b row ->
                      Expect.equal (bits row) expected[b + b % 3] $"batch, sequence {b}"
                      Expect.equal sequences[b].Length (b + 1 + b % 3) "length")
                  for s in sequences do
                      s.Dispose()
                  // Truncation forgets; the fork goes its own way while the original stays.
                  whole.Truncate 33
                  use fork = whole.Fork()
                  Expect.equal (fork.Length, fork.Capacity) (33, 128) "fork"
                  last fork v (Array.rev tokens[..9]) |> ignore
                  Expect.equal (bits (last whole v tokens[33..50])) expected[50] "after truncation"
                  fork.Truncate 20
                  Expect.equal (bits (last fork v tokens[20..60])) expected[60] "fork, after truncation"
                  whole.Truncate 0
                  Expect.equal (forwardAll whole v tokens[..40] |> Array.map bits) expected[..40] "after truncation to nothing")
          testCase "greedy decoding is the same alone and in a batch" (fun () ->
              let c = snd configs[1]
              use model = load c 21 KernelSets.Best
              let v = c.VocabularySize
              let greatest (row: float32[]) = Array.findIndex ((=) (Array.max row)) row
              let prompts = Array.init 9 (fun i -> randomTokens c (50 + i) (3 * i + 1))
              let alone =
                  prompts
                  |> Array.map (fun prompt ->
                      use s = model.NewSequence 60
                      let mutable next = greatest (last s v prompt)
                      [| for _ in 1..25 do
                             yield next
                             next <- greatest (last s v [| next |]) |])
              let sequences = prompts |> Array.map (fun _ -> model.NewSequence 60)
              let logits = Array.zeroCreate<float32>(prompts.Length * v)
              let mutable inputs = prompts
              let batched =
                  [| for _ in 1..25 do
                         batch model (Array.map2 step sequences inputs) logits
                         inputs <- logits |> Array.chunkBySize v |> Array.map (fun row -> [| greatest row |])
                         yield Array.concat inputs |]
              Expect.equal (Array.transpose batched) alone "tokens"
              Expect.isGreaterThan (alone |> Array.concat |> Array.distinct |> Array.length) 3 "not one token only"
              for s in sequences do
                  s.Dispose())
          testCase "two threads may drive sequences of one model" (fun () ->
              let c = snd configs[1]
              use model = load c 9 KernelSets.Best
              let tokens = randomTokens c 3 90
              let run () =
                  use s = model.NewSequence 90
                  tokens |> Array.map (fun t -> bits (last s c.VocabularySize [| t |]))
              let expected = run ()
              let both = Array.init 4 (fun _ -> Task.Run run)
              for t in both do
                  Expect.equal t.Result expected "logits") ]

let private boundary =
    testList
        "at the boundary"
        [ testCase "decoding allocates nothing once warm" (fun () ->
              let c = snd configs[1]
              use model = load c 2 KernelSets.Best
              use one = model.NewSequence 128
              let others = Array.init 5 (fun _ -> model.NewSequence 128)
              let logits = Array.zeroCreate<float32>(5 * c.VocabularySize)
              let token = [| 3 |]
              let steps = others |> Array.map (fun s -> SequenceStep(s, token))
              let run () =
                  for _ in 1..100 do
                      one.Forward(ReadOnlySpan token, Span(logits, 0, c.VocabularySize))
                      model.ForwardBatch(ReadOnlySpan steps, Span logits)
              run ()
              one.Truncate 0
              for s in others do
                  s.Truncate 0
              let before = GC.GetAllocatedBytesForCurrentThread()
              run ()
              Expect.equal (GC.GetAllocatedBytesForCurrentThread() - before) 0L "bytes"
              for s in others do
                  s.Dispose())
          testCase "wrong calls are refused and change nothing" (fun () ->
              let c = snd configs[0]
              use model = load c 2 KernelSets.Best
              use other = load c 3 KernelSets.Best
              let v = c.VocabularySize
              use s = model.NewSequence 4
              use t = model.NewSequence 4
              use stranger = other.NewSequence 4
              let row = Array.zeroCreate<float32>(2 * v)
              let feed (tokens: int[]) = s.Forward(tokens, row)
              let refused (message: string) (call: unit -> unit) =
                  let fault =
                      try
                          call ()
                          None
                      with :? ArgumentException as e ->
                          Some e
                  Expect.isSome fault message
                  Expect.equal (s.Length, t.Length) (0, 0) message
              refused "no token" (fun () -> feed [||])
              refused "token too great" (fun () -> feed [| v |])
              refused "negative token" (fun () -> feed [| -1 |])
              refused "beyond the capacity" (fun () -> feed [| 1; 1; 1; 1; 1 |])
              refused "no room for logits" (fun () -> s.ForwardAll(ReadOnlySpan(Array.create 3 1), row))
              refused "truncated to more" (fun () -> s.Truncate 1)
              refused "twice" (fun () -> batch model [| step s [| 1 |]; step s [| 1 |] |] row)
              refused "second step wrong" (fun () -> batch model [| step s [| 1 |]; step t [| v |] |] row)
              refused "other model" (fun () -> batch model [| step stranger [| 1 |] |] row)
              refused "no capacity" (fun () -> model.NewSequence 0 |> ignore)
              refused "too much capacity" (fun () -> model.NewSequence 129 |> ignore)
              feed [| 1; 2 |]
              Expect.equal s.Length 2 "still usable"
              s.Dispose()
              Expect.throwsT<ObjectDisposedException> (fun () -> feed [| 1 |]) "disposed") ]

[<Tests>]
let tests = testList "CpuModel" [ reference; sameBits; boundary ]
