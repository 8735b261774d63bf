/// The team runs every part once, whoever calls, and models that are large enough to be shared keep their bits.
module Runtime.Tests.Models.WorkerPoolTests

open System
open System.Threading
open System.Threading.Tasks
open Expecto
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

/// Counts how often each part ran, and how many ran with one worker's number at the same time.
type private Counting(parts: int, size: int) =
    let runs = Array.zeroCreate<int> parts
    let inside = Array.zeroCreate<int> size
    let mutable collisions = 0
    member _.Runs = runs
    member _.Collisions = collisions
    interface IPartedWork with
        member _.RunPart(part, worker) =
            if Interlocked.Increment(&inside[worker]) > 1 then Interlocked.Increment(&collisions) |> ignore
            Interlocked.Increment(&runs[part]) |> ignore
            if part % 7 = 0 then Thread.SpinWait 50
            Interlocked.Decrement(&inside[worker]) |> ignore

let private bits (row: float32[]) = Array.map BitConverter.SingleToInt32Bits row

[<Tests>]
let tests =
    testList
        "WorkerPool"
        [ testCase "every part runs once, also when workers sleep between pieces" (fun () ->
              for size in [ 1; 2; 3; 5 ] do
                  let team = WorkerPool size
                  for round in 0..300 do
                      if round % 50 = 49 then Thread.Sleep 2 // long enough for the workers to sleep
                      let parts = round % 40
                      let work = Counting(parts, size)
                      team.Run(work, parts)
                      Expect.equal work.Runs (Array.create parts 1) $"{size} threads, {parts} parts"
                      Expect.equal work.Collisions 0 "a worker runs one part at a time")
          testCase "several callers at once each get all of their parts" (fun () ->
              let team = WorkerPool 2
              let call () =
                  for parts in 1..200 do
                      let runs = Array.zeroCreate<int> parts
                      team.Run(
                          { new IPartedWork with
                              member _.RunPart(part, _) = Interlocked.Increment(&runs[part]) |> ignore },
                          parts
                      )
                      Expect.equal runs (Array.create parts 1) $"{parts} parts"
              Task.WaitAll(Array.init 4 (fun _ -> Task.Run call)))
          testCase "the parts of a worker that is held back are run by the others" (fun () ->
              let team = WorkerPool 2
              for _ in 1..5 do
                  let runs = Array.zeroCreate<int> 2
                  let work =
                      { new IPartedWork with
                          member _.RunPart(_, worker) =
                              if worker = 1 then Thread.Sleep 30
                              Interlocked.Increment(&runs[worker]) |> ignore }
                  team.Run(work, 40)
                  Expect.equal (Array.sum runs) 40 "every part"
                  Expect.isLessThanOrEqual runs[1] 2 "the sleeper's own half went to the other")
          testCase "a worker prepares what comes next while it waits" (fun () ->
              let team = WorkerPool 2
              let prepared = Array.zeroCreate<int> 2
              let work =
                  { new IPartedWork with
                      member _.RunPart(_, worker) = if worker = 0 then Thread.Sleep 1 else Thread.Sleep 2
                      member _.Prepare worker = Interlocked.Increment(&prepared[worker]) <= 5 }
              let mutable rounds = 0
              while Array.exists (fun times -> times < 6) prepared && rounds < 2000 do
                  team.Run(work, 3)
                  rounds <- rounds + 1
              Expect.all prepared (fun times -> times >= 6) $"five times, and once more to hear that there is nothing left: {prepared}")
          testCase "a piece of work allocates nothing" (fun () ->
              let team = WorkerPool 2
              let work = Counting(16, 2)
              team.Run(work, 16)
              let before = GC.GetAllocatedBytesForCurrentThread()
              for _ in 1..100 do
                  team.Run(work, 16)
              Expect.equal (GC.GetAllocatedBytesForCurrentThread() - before) 0L "bytes")
          testCase "a model large enough to be shared: one long prompt, pieces of it, single tokens, a batch: the same bits" (fun () ->
              let c = configOf 700 256 2 8 2 32 576 300 true
              use model = load c 5 KernelSets.Best
              let tokens, v = randomTokens c 6 600, c.VocabularySize
              let feed (sequence: ITokenSequence) first last =
                  let logits = Array.zeroCreate<float32>((last - first + 1) * v)
                  sequence.ForwardAll(ReadOnlySpan(tokens, first, last - first + 1), logits)
                  Array.chunkBySize v logits |> Array.map bits
              use whole = model.NewSequence 700
              let expected = feed whole 0 599
              use pieces = model.NewSequence 700
              for first, last in [ 0, 0; 1, 7; 8, 39; 40, 299; 300, 304; 305, 599 ] do
                  Expect.equal (feed pieces first last) expected[first..last] $"tokens {first} to {last}"
              use single = model.NewSequence 700
              for t in 0..99 do
                  Expect.equal (feed single t t) [| expected[t] |] $"token {t}"
              let sequences =
                  Array.init 20 (fun b ->
                      let s = model.NewSequence 700
                      if b > 0 then feed s 0 (b * 17 - 1) |> ignore
                      s)
              let logits = Array.zeroCreate<float32>(20 * v)
              let steps = sequences |> Array.mapi (fun b s -> SequenceStep(s, ReadOnlyMemory(tokens, b * 17, 1 + b)))
              model.ForwardBatch(ReadOnlySpan steps, Span logits)
              Array.chunkBySize v logits |> Array.iteri (fun b row -> Expect.equal (bits row) expected[b * 17 + b] $"sequence {b}")
              for s in sequences do
                  s.Dispose()) ]
