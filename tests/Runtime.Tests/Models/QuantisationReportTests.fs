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
                  Expect.isLessThan (ReferenceQwen3.relativeError got expected) 1e-3 "logits") ]
