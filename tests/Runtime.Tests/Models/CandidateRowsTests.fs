#nowarn "9"
/// The search for the greatest logit finds what computing all logits finds, whatever the weights and activations.
module Runtime.Tests.Models.CandidateRowsTests

open System
open System.IO
open Microsoft.FSharp.NativeInterop
open Expecto
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tokenization
open Support.RandomCheckpoint

/// Weights by row; the last 5 rows are copies of earlier ones, so that logits are equal now and then.
let private matrix (random: Random) rows columns (weight: unit -> int) (scale: unit -> float32) kernels =
    let head = new Int8Matrix(rows, columns, kernels)
    let values = Array.init rows (fun _ -> Array.init columns (fun _ -> sbyte (weight ())), scale ())
    for r in 0 .. rows - 1 do
        let from, s = if r < rows - 5 then values[r] else values[random.Next rows]
        head.SetRow(r, ReadOnlySpan from, s)
    head

/// Activations as the engine quantises them, in segments of 64.
let private activations (x: float32[]) =
    let padded = Padding.ToLanes x.Length
    let row, segments = new AlignedBuffer<float32>(int64 padded), new AlignedBuffer<ActivationSegment>(int64 (padded + 63) / 64L)
    x |> Array.iteri (fun i v -> NativePtr.set row.Pointer i v)
    VectorMath.Quantise(row.Pointer, padded, segments.Pointer)
    row.Dispose()
    segments

let private logits (head: Int8Matrix) (inputs: ActivationRows) =
    let all = Array.zeroCreate<float32>(Padding.ToBlock head.Rows)
    use target = fixed all
    head.Multiply(0, head.Blocks, &inputs, 1, target, all.Length)
    all[.. head.Rows - 1]

/// What a search in this head finds, and what there is to find.
let private searched (head: Int8Matrix) (halved: SplitHead) (search: CandidateRows) (x: float32[]) =
    use segments = activations x
    let inputs = ActivationRows(segments.Pointer, int segments.Length)
    let all = logits head inputs
    search.Choose(&inputs), Greedy.Choose(ReadOnlySpan all), all, inputs

let private normal (random: Random) = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())

[<Tests>]
let tests =
    testList
        "CandidateRows"
        [ for kernels in [ KernelSets.Best; KernelSets.Named "scalar" ] do // weights stored with and without an offset
              for wide in [ true; false ] do
                  if SplitHead.Supported && (not wide || System.Runtime.Intrinsics.X86.Avx512BW.IsSupported) then
                      testCase
                          $"""finds the first of the greatest logits ({kernels.Name} weights, {if wide then 512 else 256} bits)"""
                          (fun () ->
                              let random = Random 21
                              for rows, columns in [ 6, 16; 33, 64; 100, 80; 700, 200; 1500, 256; 40, 1000 ] do
                                  for weight in
                                      [ (fun () -> random.Next(-128, 128))
                                        (fun () -> Math.Clamp(int (38.0 * normal random), -127, 127))
                                        (fun () -> random.Next(-1, 2)) ] do
                                      use head =
                                          matrix
                                              random
                                              rows
                                              columns
                                              weight
                                              (fun () -> float32 (random.NextDouble() + 0.5) * (if random.Next 4 = 0 then -1f else 1f))
                                              kernels
                                      use halved = new SplitHead(head, Wide = wide)
                                      for threads in [ 1; 3 ] do
                                          let team = WorkerPool threads
                                          for size in [ 1.0; 1e-3; 1e4 ] do
                                              use search = new CandidateRows(halved, team) // a fresh one never rests
                                              let x =
                                                  Array.init columns (fun i ->
                                                      float32 (size * normal random * (if i % 64 = 0 then 20.0 else 1.0)))
                                              let found, expected, _, _ = searched head halved search x
                                              Expect.equal found expected $"{rows} rows, {columns} columns, {threads} threads, size {size}")
          testCase "no logit is above its bound, and the bounds of both widths agree" (fun () ->
              if SplitHead.Supported then
                  let random = Random 22
                  for rows, columns in [ 64, 64; 96, 336; 32, 1024 ] do
                      use head =
                          matrix
                              random
                              rows
                              columns
                              (fun () -> random.Next(-128, 128))
                              (fun () -> float32 (random.NextDouble()))
                              KernelSets.Best
                      use narrow = new SplitHead(head, Wide = false)
                      use wide = new SplitHead(head)
                      for _ in 1..20 do
                          use segments = activations (Array.init columns (fun _ -> float32 (normal random)))
                          let inputs = ActivationRows(segments.Pointer, int segments.Length)
                          let all = logits head inputs
                          let value i = // of activation i, as the head sees it
                              let segment = NativePtr.toNativeInt segments.Pointer + nativeint (72 * (i / 64))
                              let bytes: byte[] = Array.init 72 (fun b -> NativePtr.get (NativePtr.ofNativeInt<byte> segment) b)
                              float (sbyte bytes[i % 64]) * float (BitConverter.ToSingle(bytes, 64))
                          let sum, size = Seq.sum (Seq.init columns value), sqrt (Seq.sumBy (fun v -> v * v) (Seq.init columns value))
                          let bounds (halved: SplitHead) =
                              let most = Array.zeroCreate<float32> rows
                              use target = fixed most
                              for block in 0 .. halved.Blocks - 1 do
                                  halved.Bound(block, segments.Pointer, float32 sum, float32 size, NativePtr.add target (32 * block))
                                  |> ignore
                              most
                          let most = bounds narrow
                          Expect.equal (bounds wide) most "512 and 256 bits"
                          for r in 0 .. rows - 1 do
                              Expect.isTrue (all[r] <= most[r]) $"row {r}: {all[r]} is above {most[r]}"
                              let looked = most[r] - narrow.Error r * float32 size + narrow.Correction(r, segments.Pointer, float32 sum)
                              Expect.isLessThanOrEqual
                                  (abs (looked - all[r]))
                                  (narrow.Rounding * narrow.Scale r * float32 size)
                                  $"row {r}, looked at"
                      for r in 0 .. rows - 1 do // no greater than it has to be: low halves are spread evenly, with variance (16^2 - 1) / 12
                          let expected = sqrt (255.0 / 12.0 * float columns)
                          Expect.isTrue
                              (abs (float (narrow.Error r / narrow.Scale r) / expected - 1.0) < 2.0 / sqrt (float columns))
                              $"row {r}: error")
          testCase "a search that had to look at many rows rests, and one without finite activations leaves it to others" (fun () ->
              if SplitHead.Supported then
                  let random = Random 23
                  use head = matrix random 640 64 (fun () -> random.Next(-128, 128)) (fun () -> 1f) KernelSets.Best
                  use halved = new SplitHead(head)
                  use search = new CandidateRows(halved, WorkerPool 1)
                  let choose x = let found, expected, _, _ = searched head halved search x in found, expected
                  let found, expected = choose (Array.zeroCreate 64) // all logits are zero: every row reaches the greatest
                  Expect.equal (found, search.Looked) (0, 640) "all are equal"
                  Expect.equal expected 0 "the first of them"
                  let later = List.init 16 (fun _ -> fst (choose (Array.init 64 (fun _ -> float32 (normal random)))))
                  Expect.equal (later |> List.take 15) (List.replicate 15 -1) "it rests"
                  Expect.notEqual later[15] -1 "and comes back")
          testCase "trained models: the same tokens, and hardly more than the chosen row is looked at" (fun () ->
              if SplitHead.Supported then
                  let queries = QueryGenerator(2024, QuerySplit.Test).Distinct 60
                  for stage in 1..4 do
                      let folder = Path.Combine(Support.Repository.root, "models", "nano", string stage)
                      use model = CpuModel.Load folder
                      model.WorthHalving <- 0L
                      let tokenizer = CharacterTokenizer.Load(Path.Combine(folder, "tokenizer.json"))
                      let row = Array.zeroCreate<float32> model.VocabularySize
                      let mutable tokens, looked = 0, 0
                      for query in queries do
                          use whole = model.NewSequence 200
                          use greedy = model.NewSequence 200
                          let rec go (next: int[]) left =
                              whole.Forward(ReadOnlySpan next, row)
                              let expected = Greedy.Choose(ReadOnlySpan row)
                              Expect.equal (greedy.ForwardGreedily(ReadOnlySpan next, row)) expected $"nano-{stage}: {query.Prompt}"
                              if model.LookedAt > 0 then tokens <- tokens + 1 // otherwise the search rests
                              looked <- looked + model.LookedAt
                              if expected <> tokenizer.EndOfText && left > 0 then go [| expected |] (left - 1)
                          go (tokenizer.Encode query.Prompt) 40
                      Expect.isLessThan (float looked / float tokens) 2.0 $"rows of nano-{stage} per token")
          testCase "a model chooses the same with and without all logits, and allocates nothing" (fun () ->
              // Just large enough for the head to be halved.
              let c = configOf 700 256 1 2 1 32 64 33000 false
              use model = CpuModel.Random("wide", c)
              if SplitHead.Supported then Expect.isLessThan model.BytesPerGreedyToken (model.BytesPerToken * 6L / 10L) "it reads less"
              use whole = model.NewSequence 700
              use greedy = model.NewSequence 700
              let row = Array.zeroCreate<float32> c.VocabularySize
              let tokens = randomTokens c 7 700
              let expected first count =
                  whole.Forward(ReadOnlySpan(tokens, first, count), row)
                  Greedy.Choose(ReadOnlySpan row)
              for first, count in [ 0, 256; 256, 1; 257, 40; 297, 300 ] do // 256: as many as fill a pass
                  let e = expected first count
                  Expect.equal (greedy.ForwardGreedily(ReadOnlySpan(tokens, first, count), row)) e $"tokens {first} to {first + count - 1}"
              for t in 597..650 do
                  let e = expected t 1
                  Expect.equal (greedy.ForwardGreedily(ReadOnlySpan(tokens, t, 1), row)) e $"token {t}"
              Expect.equal greedy.Length whole.Length "tokens held"
              let before = GC.GetAllocatedBytesForCurrentThread()
              for t in 651..680 do
                  greedy.ForwardGreedily(ReadOnlySpan(tokens, t, 1), row) |> ignore
              Expect.equal (GC.GetAllocatedBytesForCurrentThread() - before) 0L "bytes"
              Expect.throwsT<ArgumentException>
                  (fun () -> greedy.ForwardGreedily(ReadOnlySpan(tokens, 0, 1), Span(row, 0, 9)) |> ignore)
                  "no room for logits") ]
