module Experiments.Tests.Program

open Expecto

let tests =
    testList
        "Experiments"
        [ EvaluationTests.tests
          PolicyCalibrationTests.tests
          RealLogsTests.tests
          CsvFileTests.tests
          TradeoffExperimentTests.tests
          HeadlineTests.tests
          StatisticalExperimentTests.tests
          RegretExperimentTests.tests
          ExperimentSuiteTests.tests
          CascadeReportTests.tests
          SpeculativeTimesTests.tests
          SpeculativeExperimentTests.tests
          ExperimentRunTests.tests ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
