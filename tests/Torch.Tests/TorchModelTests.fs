/// The Torch engine against the managed one, and its guarantee: the same bits however tokens are fed.
module Torch.Tests.TorchModelTests

open Support
open System
open System.IO
open Expecto
open TorchSharp
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Torch.Inference
open Support.RandomCheckpoint

/// Widths that are no multiple of 8, so that the padding for CUDA's INT8 product is at work; grouped and single key
/// heads; both kinds of output head.
let private configs =
    [ "plain", config 32 2 2 2 16 48 40 true
      "grouped, separate head", config 48 3 6 2 16 80 64 false
      "one key head, wide heads", config 40 2 3 1 24 56 33 true
      "odd sizes", config 70 2 4 2 8 85 19 false ]

let private cpu = [| "cpu" |]

let private forwardAll (sequence: ITokenSequence) (vocabulary: int) (tokens: int[]) : float32[][] =
    let all = Array.zeroCreate<float32>(tokens.Length * vocabulary)
    sequence.ForwardAll(ReadOnlySpan tokens, Span all)
    Array.chunkBySize vocabulary all

let private last (sequence: ITokenSequence) (vocabulary: int) (tokens: int[]) : float32[] =
    let row = Array.zeroCreate<float32> vocabulary
    sequence.Forward(ReadOnlySpan tokens, Span row)
    row

let private bits (row: float32[]) = Array.map BitConverter.SingleToInt32Bits row

/// Both engines on the same folder; the Torch engine with activations in groups of 64 or, as on CUDA, by whole rows (0).
let private withBoth (group: int) (c: Qwen3Config) (seed: int) (action: TorchModel -> CpuModel -> unit) =
    use folder = new TemporaryFolder()
    save folder.Path c (tensors c (weights c seed))
    use model = TorchModel.Load(folder.Path, cpu, Nullable(), Nullable group)
    use managed = CpuModel.Load folder.Path
    action model managed

let private errors (a: float32[][]) (b: float32[][]) =
    Array.map2 (fun x (y: float32[]) -> ReferenceQwen3.relativeError x (Array.map float y)) a b |> Array.sort

let private against =
    testList
        "against the managed engine and the reference"
        [ for i, (name, c) in List.indexed configs do
              let seed, tokens = 200 + i, randomTokens c i 100
              let reference precision = ReferenceQwen3.logits c (weights c seed) precision tokens[..19] |> Array.map (Array.map float32)
              testCase $"{name}: the managed engine's logits, but for the last bits" (fun () ->
                  withBoth 64 c seed (fun model managed ->
                      use own = model.NewSequence 128
                      use other = managed.NewSequence 128
                      let got = forwardAll own c.VocabularySize tokens
                      let e, r =
                          errors got (forwardAll other c.VocabularySize tokens), errors got[..19] (reference ReferenceQwen3.Rounded)
                      printfn
                          $"{name}: relative error of the logits to the managed engine: median {e[50]:E1}, greatest {e[99]:E1}; to the reference {r[10]:E1}"
                      // A value within float error of a tie may round the other way, which shows in that token and, weakly, later.
                      Expect.isLessThan e[0] 1e-4 "least over tokens, managed engine"
                      Expect.isLessThan e[50] 2e-2 "median over tokens, managed engine"
                      Expect.isLessThan e[99] 6e-2 "greatest over tokens, managed engine"
                      Expect.isLessThan r[0] 1e-4 "least over tokens, rounded reference"
                      Expect.isLessThan r[10] 2e-2 "median over tokens, rounded reference"))
              testCase $"{name}: activations by whole rows, as on CUDA" (fun () ->
                  withBoth 0 c seed (fun model _ ->
                      use own = model.NewSequence 128
                      let got = forwardAll own c.VocabularySize tokens[..19]
                      let e = errors got (reference ReferenceQwen3.Exact)
                      printfn $"{name}: by whole rows, relative error to the exact reference: median {e[10]:E1}, greatest {e[19]:E1}"
                      Expect.isLessThan e[10] 0.05 "median over tokens, exact reference"
                      Expect.isLessThan e[19] 0.15 "greatest over tokens, exact reference"
                      // No row of this one is wider than 64, so that both kinds of rounding are the same.
                      if name = "plain" then
                          Expect.isLessThan ((errors got (reference ReferenceQwen3.Rounded)).[0]) 1e-4 "rounded reference")) ]

let private formats =
    testList
        "every format of checkpoint gives both engines the same logits"
        [ for title, c in [ "tied head", config 64 2 4 2 16 96 64 true; "separate head", config 64 2 4 2 16 96 64 false ] do
              for format in CheckpointFormats.all c 41 do
                  testCase $"{format.Title}, {title}" (fun () ->
                      use folder = new TemporaryFolder()
                      let path = format.Write folder.Path
                      use model = TorchModel.Load(path, cpu)
                      use managed = CpuModel.Load path
                      use own = model.NewSequence 40
                      use other = managed.NewSequence 40
                      let tokens = randomTokens c 5 40
                      let e = errors (forwardAll own c.VocabularySize tokens) (forwardAll other c.VocabularySize tokens)
                      // Until a value rounds at a tie the other way, only the last bits differ.
                      Expect.isLessThan e[0] 1e-4 "least over tokens"
                      Expect.isLessThan e[20] 3e-2 "median over tokens"
                      Expect.isLessThan e[39] 6e-2 "greatest over tokens") ]

let private sameBits =
    testList
        "the same bits"
        [ for name, c, group in
              [ for name, c in configs do
                    (name, c, 0)
                    (name, c, 64) ] do
              testCase $"{name}, activations by {group}: alone, together, in a batch, after truncation and fork" (fun () ->
                  withBoth group c 7 (fun model _ ->
                      let v = c.VocabularySize
                      let tokens = randomTokens c 8 128
                      use whole = model.NewSequence 128
                      let expected = forwardAll whole v tokens |> Array.map bits
                      use single = model.NewSequence 128
                      for i in 0 .. tokens.Length - 1 do
                          Expect.equal (bits (last single v [| tokens[i] |])) expected[i] $"one at a time, token {i}"
                      for length in [ 1; 2; 16; 17; 31; 32; 33; 63; 64; 65; 127; 128 ] do
                          use prompt = model.NewSequence length
                          Expect.equal (bits (last prompt v tokens[.. length - 1])) expected[length - 1] $"prompt of {length}"
                      // A batch in which sequence b already holds b tokens and takes 1 + b % 3 more.
                      let sequences =
                          Array.init 40 (fun b ->
                              let s = model.NewSequence 128
                              if b > 0 then last s v tokens[.. b - 1] |> ignore
                              s)
                      let logits = Array.zeroCreate<float32>(40 * v)
                      let steps = sequences |> Array.mapi (fun b s -> SequenceStep(s, ReadOnlyMemory tokens[b .. b + b % 3]))
                      model.ForwardBatch(ReadOnlySpan steps, Span logits)
                      for b in 0..39 do
                          Expect.equal (bits logits[b * v .. (b + 1) * v - 1]) expected[b + b % 3] $"batch, sequence {b}"
                      for s in sequences do
                          s.Dispose()
                      // Verification: eight tokens at once, a rejection, another continuation.
                      whole.Truncate 60
                      last whole v [| for t in tokens[60..67] -> (t + 1) % v |] |> ignore
                      whole.Truncate 60
                      Expect.equal (forwardAll whole v tokens[60..67] |> Array.map bits) expected[60..67] "after truncation"
                      use fork = whole.Fork()
                      last whole v [| 0 |] |> ignore
                      Expect.equal (fork.Length, bits (last fork v [| tokens[68] |])) (68, expected[68]) "fork"))
          testCase "across blocks of the cache, with attention in float32 and, as on CUDA, in bfloat16" (fun () ->
              let c = configs |> List.item 1 |> snd
              use folder = new TemporaryFolder()
              File.WriteAllText(
                  folder.File "config.json",
                  c.ToJson().Replace("\"max_position_embeddings\": 128", "\"max_position_embeddings\": 512")
              )
              let long = Qwen3Config.Read(folder.File "config.json")
              save folder.Path long (tensors long (weights long 3))
              let tokens = randomTokens long 3 300
              let run (wide: bool) =
                  use model = TorchModel.Load(folder.Path, cpu, Nullable wide, Nullable 0)
                  use whole = model.NewSequence 512
                  let expected = forwardAll whole long.VocabularySize tokens
                  use single = model.NewSequence 512
                  last single long.VocabularySize tokens[..119] |> ignore
                  for i in 120..140 do
                      Expect.equal (bits (last single long.VocabularySize [| tokens[i] |])) (bits expected[i]) $"token {i}"
                  expected
              let full, half = run true, run false
              let e = errors half full
              printfn $"attention in bfloat16: median relative error {e[150]:E1}, greatest {e[299]:E1}"
              Expect.isLessThan e[150] 0.05 "median, bfloat16"
              Expect.isGreaterThan e[299] 0.0 "bfloat16 is really there") ]

let private boundary =
    testList
        "at the boundary"
        [ testCase "wrong calls are refused and change nothing" (fun () ->
              let c = snd configs[0]
              withBoth 64 c 2 (fun model managed ->
                  let v = c.VocabularySize
                  use s = model.NewSequence 4
                  use t = model.NewSequence 4
                  use stranger = managed.NewSequence 4
                  let row = Array.zeroCreate<float32>(2 * v)
                  let feed (tokens: int[]) = s.Forward(ReadOnlySpan tokens, Span row)
                  let batch (steps: SequenceStep[]) = model.ForwardBatch(ReadOnlySpan steps, Span row)
                  let step (sequence: ITokenSequence) (tokens: int[]) = SequenceStep(sequence, ReadOnlyMemory tokens)
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
                  refused "no room for logits" (fun () -> s.ForwardAll(ReadOnlySpan(Array.create 3 1), Span row))
                  refused "truncated to more" (fun () -> s.Truncate 1)
                  refused "twice" (fun () -> batch [| step s [| 1 |]; step s [| 1 |] |])
                  refused "second step wrong" (fun () -> batch [| step s [| 1 |]; step t [| v |] |])
                  refused "other model" (fun () -> batch [| step stranger [| 1 |] |])
                  refused "no capacity" (fun () -> model.NewSequence 0 |> ignore)
                  refused "too much capacity" (fun () -> model.NewSequence 129 |> ignore)
                  feed [| 1; 2 |]
                  Expect.equal s.Length 2 "still usable"
                  s.Dispose()
                  Expect.throwsT<ObjectDisposedException> (fun () -> feed [| 1 |]) "disposed"))
          testCase "native memory is given back" (fun () ->
              let c = snd configs[1]
              withBoth 64 c 2 (fun model _ ->
                  use s = model.NewSequence 128
                  let row = Array.zeroCreate<float32> c.VocabularySize
                  let run () =
                      for _ in 1..20 do
                          s.Forward(ReadOnlySpan [| 3 |], Span row)
                          (s.Fork()).Dispose()
                      s.Truncate 0
                      DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount
                  let before = run ()
                  Expect.equal (run ()) before "live tensors"))
          testCase "devices that are not there, and models that do not fit, are refused before anything is loaded" (fun () ->
              let share = DeviceShare("cuda:1", 0, 2, 3L <<< 30, 1L <<< 30, 1L <<< 29)
              let fault (devices: int) (free: int64) =
                  try
                      TorchDevices.Check("m", [| share |], devices, (fun _ -> Nullable free))
                      "(no fault)"
                  with :? ToolkitException as e ->
                      e.Message
              Expect.stringContains (fault 0 0L) "m: device cuda:1: expected one of this machine's 0 CUDA devices (none:" "no device"
              Expect.stringContains (fault 1 0L) "expected one of this machine's 1 CUDA devices" "too few"
              Expect.stringContains
                  (fault 2 (4L <<< 30))
                  "expected 4.50 GiB of free memory (weights 3.00 GiB, a sequence's cache 1.00 GiB, work 0.50 GiB), got 4.00 GiB"
                  "too small"
              Expect.equal (fault 2 (5L <<< 30)) "(no fault)" "fits"
              use folder = new TemporaryFolder()
              let c = snd configs[0]
              save folder.Path c (tensors c (weights c 1))
              Expect.throwsT<ToolkitException> (fun () -> (TorchModel.Load(folder.Path, [| "cuda:63" |])).Dispose()) "no such GPU")
          testCase "layers over two names of one device give the same logits" (fun () ->
              // The processor is one device however often it is named; what is tested is the hand-over between layers.
              let c = snd configs[1]
              use folder = new TemporaryFolder()
              save folder.Path c (tensors c (weights c 4))
              use one = TorchModel.Load(folder.Path, cpu)
              use two = TorchModel.Load(folder.Path, [| "cpu"; "cpu" |])
              let run (model: TorchModel) =
                  use s = model.NewSequence 40
                  forwardAll s c.VocabularySize (randomTokens c 1 40) |> Array.map bits
              Expect.equal (run two) (run one) "logits") ]

[<Tests>]
let tests = testList "TorchModel" [ against; formats; sameBits; boundary ]
