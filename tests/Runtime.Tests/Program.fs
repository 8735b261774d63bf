module Runtime.Tests.Program

open Expecto

let tests =
    testList "Runtime" [
        Configuration.YamlReaderTests.tests
        Tasks.GraderTests.tests
        Tasks.QueryGeneratorTests.tests
        Tasks.AnswerGraderTests.tests
        Tasks.QueryFilesTests.tests
        Tokenization.CharacterTokenizerTests.tests
        Tokenization.QwenTokenizerTests.tests
        Models.Qwen3ConfigTests.tests
        Models.SafeTensorsTests.tests
        Models.KernelTests.tests
        Models.VectorMathTests.tests
        Models.CheckpointFormatsTests.tests
        Models.CpuWeightsTests.tests
        Models.CpuModelTests.tests
        Models.ModelBenchmarkTests.tests
        Models.WorkerTeamTests.tests
        Models.GreedyTests.tests
        Models.GreedySearchTests.tests
        Models.GgufTests.tests
        Models.QuantisationReportTests.tests
        TraceReaderTests.tests
        Decoding.AnswerSignalsTests.tests
        Decoding.GreedyDecoderTests.tests
        Decoding.TokenLawTests.tests
        Decoding.DraftControllerTests.tests
        Decoding.SpeculativeDecoderTests.tests
        Decoding.SpeculativeSamplingTests.tests
        Ladder.LadderFileTests.tests
        Ladder.ModelLadderTests.tests
        Ladder.CpuStageTests.tests
        Ladder.CollectorTests.tests
        Ladder.LadderRecordsTests.tests
        Ladder.SignalCalibrationTests.tests
        Ladder.AdaptiveLadderTests.tests
        Ladder.PolicyFileTests.tests
        EvaluationTests.tests
        Experiments.PolicyCalibrationTests.tests
        Experiments.RealLogsTests.tests
        Experiments.CsvFileTests.tests
        Experiments.TradeoffExperimentTests.tests
        Experiments.HeadlineTests.tests
        Experiments.StatisticalExperimentTests.tests
        Experiments.RegretExperimentTests.tests
        Experiments.ExperimentSuiteTests.tests
        Experiments.LadderReportTests.tests
        Experiments.SpeculativeTimesTests.tests
        Experiments.SpeculativeExperimentTests.tests
        Experiments.ExperimentRunTests.tests
        Serving.ProtocolTests.tests
        Serving.RemoteStageTests.tests
        Serving.ClientTests.tests
        Serving.FeedbackTests.tests
        Chat.CascadeChatClientTests.tests
    ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
