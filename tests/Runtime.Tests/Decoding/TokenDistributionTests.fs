module Runtime.Tests.Decoding.TokenDistributionTests

open System
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Theory

let private distribution (options: SamplingOptions) (logits: float[]) =
    let result, scratch = Array.zeroCreate logits.Length, Array.zeroCreate logits.Length
    TokenDistribution.Fill(ReadOnlySpan(Array.map float32 logits), &options, Span result, Span scratch)
    result

let private logs (p: float[]) = Array.map log p

let private near (expected: float[]) (actual: float[]) =
    Array.iter2 (fun e a -> Expect.isLessThan (abs (e - a)) 1e-6 $"expected {expected}, got {actual}") expected actual

[<Tests>]
let tests =
    testList
        "TokenDistribution"
        [ test "temperature, top-k, top-p and min-p by hand" {
              let p = [| 0.5; 0.3; 0.15; 0.05 |]
              near p (distribution (SamplingOptions 1.0) (logs p))
              let flat = p |> Array.map sqrt
              near (flat |> Array.map (fun x -> x / Array.sum flat)) (distribution (SamplingOptions 2.0) (logs p))
              near [| 0.625; 0.375; 0.0; 0.0 |] (distribution (SamplingOptions(1.0, TopK = 2)) (logs p))
              near p (distribution (SamplingOptions(1.0, TopK = 9)) (logs p))
              near [| 0.625; 0.375; 0.0; 0.0 |] (distribution (SamplingOptions(1.0, TopP = 0.7)) (logs p))
              near [| 1.0; 0.0; 0.0; 0.0 |] (distribution (SamplingOptions(1.0, TopP = 0.01)) (logs p))
              near [| 0.5 / 0.95; 0.3 / 0.95; 0.15 / 0.95; 0.0 |] (distribution (SamplingOptions(1.0, MinP = 0.2)) (logs p))
              // One after another: of the two that top-k leaves, 0.625 alone reaches 0.6.
              near [| 1.0; 0.0; 0.0; 0.0 |] (distribution (SamplingOptions(1.0, TopK = 2, TopP = 0.6)) (logs p))
          }
          testProperty "a distribution sums to 1, keeps the most probable token and the order"
          <| fun (seed: int) ->
              let random = Random seed
              let logits = Array.init (random.Next(1, 80)) (fun _ -> 12.0 * random.NextDouble())
              let options =
                  SamplingOptions(0.1 + 2.0 * random.NextDouble(), random.Next 5, 1.0 - 0.9 * random.NextDouble(), random.NextDouble())
              let p = distribution options logits
              Expect.floatClose Accuracy.high (Array.sum p) 1.0 "sum"
              let best = Array.IndexOf(logits, Array.max logits)
              Expect.equal p[best] (Array.max p) "most probable"
              for i in 0 .. logits.Length - 1 do
                  for j in 0 .. logits.Length - 1 do
                      if float32 logits[i] > float32 logits[j] then Expect.isGreaterThanOrEqual p[i] p[j] "order"

          test "accept or replace puts out the target's distribution for random pairs of distributions, and accepts at 1 - TV" {
              let random = Random 5
              for certain in [ false; true ] do
                  for _ in 1..5 do
                      let simplex () =
                          let x = Array.init 5 (fun _ -> random.NextDouble() ** 3.0) in x |> Array.map (fun v -> v / Array.sum x)
                      let p = simplex ()
                      let q = if certain then Array.init 5 (fun i -> if i = 2 then 1.0 else 0.0) else simplex ()
                      let source, scratch, draws = SplitMix64 7UL, Array.zeroCreate 5, 40_000
                      let counts, accepted = Array.zeroCreate 5, ref 0
                      for _ in 1..draws do
                          let drafted = if certain then 2 else TokenDistribution.Draw(ReadOnlySpan q, source)
                          let struct (token, kept) =
                              TokenDistribution.AcceptOrReplace(
                                  ReadOnlySpan p,
                                  (if certain then ReadOnlySpan.Empty else ReadOnlySpan q),
                                  drafted,
                                  Span scratch,
                                  source
                              )
                          counts[token] <- counts[token] + 1
                          if kept then accepted.Value <- accepted.Value + 1
                      let frequencies = counts |> Array.map (fun c -> float c / float draws)
                      let radius = SpeculativeSampling.totalVariationRadius (5, int64 draws, 1e-7)
                      Expect.isLessThan (SpeculativeSampling.totalVariation (frequencies, p)) radius "distribution"
                      Expect.isLessThan
                          (abs (float accepted.Value / float draws - SpeculativeSampling.acceptanceRate (p, q)))
                          0.02
                          "acceptance"
          }
          test "options outside their domains are faults that name them" {
              for options, expected in
                  [ SamplingOptions(-1.0), "temperature: expected a number of at least 0, got -1"
                    SamplingOptions(nan), "temperature"
                    SamplingOptions(1.0, -1), "top-k: expected at least 0, got -1"
                    SamplingOptions(1.0, 0, 0.0), "top-p: expected a number above 0 and at most 1, got 0"
                    SamplingOptions(1.0, 0, 1.0, 1.5), "min-p: expected a number from 0 to 1, got 1.5" ] do
                  let e = Expect.throwsC (fun () -> options.Check()) id
                  Expect.isTrue (e :? ToolkitException) "kind"
                  Expect.stringStarts e.Message expected "message"
          } ]
