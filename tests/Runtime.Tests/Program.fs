module Runtime.Tests.Program

open Expecto

let tests =
    testList
        "Runtime"
        [ Configuration.YamlReaderTests.tests
          Tasks.GraderTests.tests
          Tasks.QueryGeneratorTests.tests
          Tasks.AnswerGraderTests.tests
          Tasks.QueryFilesTests.tests
          Tokenization.CharacterTokenizerTests.tests
          Tokenization.QwenTokenizerTests.tests
          Models.Qwen3ConfigTests.tests
          Models.PositionScalingTests.tests
          Models.SafeTensorsTests.tests
          Models.KernelTests.tests
          Models.VectorMathTests.tests
          Models.CheckpointFormatsTests.tests
          Models.CpuWeightsTests.tests
          Models.CpuModelTests.tests
          Models.ModelBenchmarkTests.tests
          Models.WorkerPoolTests.tests
          Models.GreedyTests.tests
          Models.CandidateRowsTests.tests
          Models.GgufTests.tests
          Models.QuantisationReportTests.tests
          TraceReaderTests.tests
          Decoding.ConfidenceFeaturesTests.tests
          Decoding.GreedyDecoderTests.tests
          Decoding.TokenDistributionTests.tests
          Decoding.DraftControllerTests.tests
          Decoding.SpeculativeDecoderTests.tests
          Decoding.SpeculativeSamplingTests.tests
          Cascades.CascadeFileTests.tests
          Cascades.CascadeTests.tests
          Cascades.AnswerReuseTests.tests
          Cascades.LocalStageTests.tests
          Cascades.CollectorTests.tests
          Cascades.CascadeRecordsTests.tests
          Cascades.ConfidenceCalibrationTests.tests
          Cascades.AdaptiveCascadeTests.tests
          Cascades.PolicyFileTests.tests ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
