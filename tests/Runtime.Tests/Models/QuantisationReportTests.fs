/// The report of rounding errors: the float model against the reference in double precision, and errors of the expected size.
module Runtime.Tests.Models.QuantisationReportTests

open Support
open Expecto
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Models.Accuracy
open Support.RandomCheckpoint

[<Tests>]
let tests =
    testList
        "QuantisationReport"
        [ testCase "errors are there, grow from nothing, and stay of the size of INT8 rounding" (fun () ->
              let c = config 64 3 4 2 16 96 50 true
              use folder = new TemporaryFolder()
              save folder.Path c (tensors c (weights c 4))
              use model = CpuModel.Load folder.Path
              use reference = FloatModel.Load folder.Path
              let texts = Array.init 4 (fun i -> struct (randomTokens c i 5, randomTokens c (10 + i) 20))
              let report = QuantisationReport.Measure(model, reference, texts)
              Expect.equal report.Tokens 80 "tokens"
              Expect.equal report.LayerErrors.Length 3 "layers"
              for e in report.LayerErrors do
                  Expect.isTrue (e > 1e-4 && e < 0.03) $"layer error {e}"
              Expect.isTrue (report.LogitError > 1e-4 && report.LogitError < 0.05) $"logit error {report.LogitError}"
              Expect.isLessThan (abs (report.Perplexity / report.FloatPerplexity - 1.0)) 0.05 "perplexity"
              Expect.isGreaterThan report.SameChoice 0.8 "choice")
          testCase "the float model is the reference without rounding of activations" (fun () ->
              let c = config 48 2 6 2 16 80 64 false
              let values = weights c 9
              use folder = new TemporaryFolder()
              save folder.Path c (tensors c values)
              use model = FloatModel.Load folder.Path
              use sequence = model.NewSequence 20
              let tokens = randomTokens c 3 20
              let all = Array.zeroCreate<float32>(20 * c.VocabularySize)
              sequence.ForwardAll(tokens, all)
              let exact = ReferenceQwen3.logits c values ReferenceQwen3.Weights tokens
              // A weight within float error of a tie may round the other way, which shows in every token.
              for got, expected in Array.zip (Array.chunkBySize c.VocabularySize all) exact do
                  Expect.isLessThan (ReferenceQwen3.relativeError got expected) 1e-3 "logits")
          testCase "perplexity: the second half of each chunk, by the reference's logits" (fun () ->
              let c = config 48 2 6 2 16 80 64 false
              use model = load c 9 KernelSets.Best
              let tokens = randomTokens c 3 110
              let got = TextPerplexity.Measure(model, System.ReadOnlySpan tokens, 50)
              // Of 110 tokens two chunks; of each the tokens 26 to 49 are judged, by the logits before them.
              Expect.equal (got.Tokens, got.Chunks) (48, 2) "tokens"
              let losses =
                  [ for chunk in 0..1 do
                        let text = tokens[50 * chunk .. 50 * chunk + 49]
                        let rows = ReferenceQwen3.logits c (weights c 9) ReferenceQwen3.Rounded text
                        for at in 25..48 do
                            let total = rows[at] |> Array.sumBy exp |> log
                            total - rows[at][text[at + 1]] ]
              Expect.floatClose Accuracy.low (log got.Perplexity) (List.average losses) "mean loss"
              Expect.isGreaterThan got.StandardError 0.0 "error"
              Expect.throwsT<OptimalStopping.Runtime.ToolkitException>
                  (fun () -> TextPerplexity.Measure(model, System.ReadOnlySpan tokens, 120) |> ignore)
                  "a text shorter than a chunk") ]
