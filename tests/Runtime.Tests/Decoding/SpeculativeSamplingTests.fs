/// The distribution of sampled answers, for every level of a hierarchy. The long form, 100,000 draws and 50 seeds, is this file's
/// with TOOLKIT_LONG_TESTS=1 (docs/speculation.md).
module Runtime.Tests.Decoding.SpeculativeSamplingTests

open System
open System.Collections.Generic
open Expecto
open MathNet.Numerics.Distributions
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Models
open Runtime.Tests.Decoding.FakeModel

let private vocabulary, private length = 4, 3
let private long = Environment.GetEnvironmentVariable "TOOLKIT_LONG_TESTS" = "1"
let private draws, private seeds = if long then 100_000, 50 else 4_000, 12

/// Logits of an ordinary size that depend on every token before, another distribution for each salt; 0 ends an answer. A table,
/// because a test asks for the same few contexts millions of times.
let private distribution (salt: int) : Distribution =
    let known = Dictionary<int, float32[]>()
    fun tokens ->
        let key = (1, tokens) ||> Array.fold (fun h t -> h * (vocabulary + 1) + t + 1)
        match known.TryGetValue key with
        | true, logits -> logits
        | _ ->
            let random = Random(key * 31 + salt)
            let logits = Array.init vocabulary (fun _ -> float32 (2.5 * random.NextDouble()))
            known[key] <- logits
            logits

let private probabilities (options: SamplingOptions) (logits: float32[]) =
    let p, scratch = Array.zeroCreate vocabulary, Array.zeroCreate vocabulary
    TokenDistribution.Fill(ReadOnlySpan logits, &options, Span p, Span scratch)
    p

/// The target's probability of every answer of at most `length` tokens (the end token, 0, is the last where it comes).
let rec private answers options (target: Distribution) (prompt: int list) (written: int list) p : (int list * float) list =
    if List.length written = length || (not written.IsEmpty && written.Head = 0) then
        [ List.rev written, p ]
    else
        let next = probabilities options (target (List.toArray (prompt @ List.rev written)))
        [ for token in 0 .. vocabulary - 1 do
              if next[token] > 0.0 then yield! answers options target prompt (token :: written) (p * next[token]) ]

/// Pearson's p-value of observed answers, cells of expectation below 5 merged into one.
let private pearson (expected: (int list * float) list) (counts: Dictionary<int list, int>) draws =
    let cells = expected |> List.map (fun (answer, p) -> counts.GetValueOrDefault(answer, 0), p * float draws)
    let large, small = cells |> List.partition (fun (_, e) -> e >= 5.0)
    let merged = if small.IsEmpty then large else (List.sumBy fst small, List.sumBy snd small) :: large
    let statistic = merged |> List.sumBy (fun (o, e) -> (float o - e) ** 2.0 / e)
    1.0 - ChiSquared.CDF(float (merged.Length - 1), statistic)

/// Kolmogorov and Smirnov's p-value that values come from the uniform distribution (the asymptotic series with Stephens' correction).
let private uniformity (values: float[]) =
    let n = float values.Length
    let sorted = Array.sort values
    let d = sorted |> Array.mapi (fun i v -> max (float (i + 1) / n - v) (v - float i / n)) |> Array.max
    let t = (sqrt n + 0.12 + 0.11 / sqrt n) * d
    let sum = 2.0 * List.sum [ for k in 1..100 -> (if k % 2 = 1 then 1.0 else -1.0) * exp (-2.0 * float (k * k) * t * t) ]
    if t < 0.2 then 1.0 else Math.Clamp(sum, 0.0, 1.0)

let private fake salt = new FakeModel(vocabulary, 12, distribution salt) :> ITokenModel
let private verifyCosts = [| for g in 0..4 -> 1.0 + 0.05 * float g |]

let private chains: (string * (unit -> ITokenModel[] * DraftController[] * (Func<IDraftSource> | null))) list =
    let adaptive n = [| for _ in 1..n -> DraftController.Adaptive(0.05, verifyCosts) |]
    let lengths (each: int list) = [| for g in each -> DraftController.Fixed g |]
    [ "the target alone", fun () -> [| fake 1 |], [||], null
      "a pair", fun () -> [| fake 2; fake 1 |], lengths [ 2 ], null
      "a pair, adaptive", fun () -> [| fake 2; fake 1 |], adaptive 1, null
      "three levels", fun () -> [| fake 3; fake 2; fake 1 |], lengths [ 1; 2 ], null
      "three levels, adaptive", fun () -> [| fake 3; fake 2; fake 1 |], adaptive 2, null
      "four levels", fun () -> [| fake 4; fake 3; fake 2; fake 1 |], lengths [ 1; 2; 2 ], null
      "prompt lookup below a pair", fun () -> [| fake 2; fake 1 |], lengths [ 2; 2 ], Func<IDraftSource>(fun () -> new LookupDraft(2, 1))
      "a finished answer", fun () -> [| fake 1 |], lengths [ 3 ], Func<IDraftSource>(fun () -> new AnswerDraft()) ]

let private options: (string * (uint64 -> SamplingOptions)) list =
    [ "temperature 1", fun seed -> SamplingOptions(1.0, Seed = seed)
      "temperature 0.7, top-k 3", fun seed -> SamplingOptions(0.7, TopK = 3, Seed = seed)
      "top-p 0.8, min-p 0.1", fun seed -> SamplingOptions(1.3, TopP = 0.8, MinP = 0.1, Seed = seed) ]

let private prompt = [| 1; 2; 1; 2 |]

/// The chi-square p-value of one seed.
let private pValue make (sampling: uint64 -> SamplingOptions) (expected: (int list * float) list) seed =
    let models, controllers, lowest = make ()
    use decoder = new SpeculativeDecoder(models, [| 0 |], length, controllers, lowest)
    let counts = Dictionary<int list, int>()
    for i in 1..draws do
        let g =
            (decoder.Decode(ReadOnlySpan prompt, sampling (uint64 seed * 1_000_003UL + uint64 i), ReadOnlyMemory [| 2; 1; 3 |])).Generation
        let answer = List.ofArray g.Tokens @ (if g.Ended then [ 0 ] else [])
        counts[answer] <- counts.GetValueOrDefault(answer, 0) + 1
    pearson expected counts draws

[<Tests>]
let tests =
    testList
        "SpeculativeSampling"
        [ for name, make in chains do
              // Each chain with one of the options in turn.
              for optionName, sampling in [ options[chains |> List.findIndex (fun (n, _) -> n = name) |> fun i -> i % 3] ] do
                  test $"{name}, {optionName}: answers have the target's distribution" {
                      let expected = answers (sampling 0UL) (distribution 1) (List.ofArray prompt) [] 1.0
                      Expect.floatClose Accuracy.high (List.sumBy snd expected) 1.0 "a distribution"
                      let p = Array.init seeds (fun seed -> pValue make sampling expected (seed + 1))
                      let ks = uniformity p
                      if long then
                          printfn "%s, %s: %d draws, %d seeds: KS p = %.3f, least p = %.4f" name optionName draws seeds ks (Array.min p)
                      // All the tests of this list together fail about once in ten thousand when the distribution is right.
                      Expect.isGreaterThan ks 4e-6 $"p-values uniform: {p}"
                  }
          test "a decoder that takes every draft has another distribution, and the test sees it" {
              let expected = answers (SamplingOptions 1.0) (distribution 1) (List.ofArray prompt) [] 1.0
              // Answers of the drafter stand for those of a verifier that never rejects.
              let wrong () = [| fake 2 |], [||], null
              Expect.isLessThan (pValue wrong (fun seed -> SamplingOptions(1.0, Seed = seed)) expected 1) 1e-6 "p"
          } ]
