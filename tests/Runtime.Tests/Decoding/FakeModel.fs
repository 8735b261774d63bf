/// A token model whose logits are a known function of the tokens before, so that a decoder can be checked exactly.
module Runtime.Tests.Decoding.FakeModel

open System
open OptimalStopping.Runtime.Models

type Distribution = int[] -> float32[]

type FakeSequence(distribution: Distribution, capacity: int, onDispose: unit -> unit) =
    let tokens = ResizeArray<int>()
    member _.Tokens = tokens

    interface ITokenSequence with
        member _.Length = tokens.Count
        member _.Capacity = capacity
        member _.Forward(fed: ReadOnlySpan<int>, lastLogits: Span<float32>) =
            if fed.Length = 0 then failwith "no tokens were fed"
            for i in 0 .. fed.Length - 1 do
                tokens.Add fed[i]
            if tokens.Count > capacity then failwith "more tokens than the capacity"
            (distribution (tokens.ToArray())).AsSpan().CopyTo lastLogits
        member this.ForwardAll(fed: ReadOnlySpan<int>, allLogits: Span<float32>) =
            let width = allLogits.Length / fed.Length
            for i in 0 .. fed.Length - 1 do
                (this :> ITokenSequence).Forward(fed.Slice(i, 1), allLogits.Slice(i * width, width))
        member _.Truncate length = tokens.RemoveRange(length, tokens.Count - length)
        member _.Fork() = raise (NotSupportedException())
        member _.Dispose() = onDispose ()

type FakeModel(vocabulary: int, maxPositions: int, distribution: Distribution) =
    let mutable live = 0
    let mutable widest = 0
    /// Sequences that were made and not disposed yet.
    member _.Live = live
    /// The most sequences that one batch held.
    member _.WidestBatch = widest

    interface ITokenModel with
        member _.Name = "fake"
        member _.VocabularySize = vocabulary
        member _.MaxPositions = maxPositions
        member _.NewSequence capacity =
            if capacity < 1 || capacity > maxPositions then failwith $"capacity {capacity}"
            live <- live + 1
            new FakeSequence(distribution, capacity, fun () -> live <- live - 1)
        member _.ForwardBatch(steps: ReadOnlySpan<SequenceStep>, logits: Span<float32>) =
            widest <- max widest steps.Length
            for i in 0 .. steps.Length - 1 do
                steps[i].Sequence.Forward(steps[i].Tokens.Span, logits.Slice(i * vocabulary, vocabulary))
        member _.Dispose() = ()

/// Logits that look random and depend on every token before; token 0, the end, leads about one time in `vocabulary`.
let scrambled (vocabulary: int) : Distribution =
    fun tokens ->
        let seed = (17, tokens) ||> Array.fold (fun h t -> (h * 31 + t + 1) % 1_000_003)
        let random = Random seed
        Array.init vocabulary (fun _ -> float32 (8.0 * random.NextDouble()))

/// Counts upwards: after token t comes t + 1, and after `last` comes the end.
let counting (vocabulary: int) (last: int) : Distribution =
    fun tokens ->
        let t = Array.last tokens
        let next = if t >= last then 0 else t + 1
        Array.init vocabulary (fun i -> if i = next then 5.0f else 0.0f)
