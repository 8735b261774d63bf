module Theory.Tests.Program

open Expecto

let private properties =
    testList "Properties" [ StoppingProperties.tests; LearningProperties.tests; GuaranteeProperties.tests; StatisticsProperties.tests ]

let private examples =
    testList
        "Examples"
        [ SplitMix64Tests.tests
          PairedTestsTests.tests
          MultipleTestingTests.tests
          EffectSizesTests.tests
          BootstrapTests.tests
          PowerTests.tests
          ComparisonTests.tests
          ErrorRatesTests.tests
          IsotonicTests.tests
          LogisticTests.tests
          PlattTests.tests
          TemperatureTests.tests
          HistogramBinningTests.tests
          CalibrationMetricsTests.tests
          JointDistributionTests.tests
          SingleCrossingTests.tests
          ChainTests.tests
          JumpTests.tests
          RecallTests.tests
          PandoraTests.tests
          SampleComplexityTests.tests
          RiskControlTests.tests
          ConfidenceSequencesTests.tests
          MiscalibrationTests.tests
          EmpiricalModelTests.tests
          ReferenceThresholdsTests.tests
          CascadeGuaranteesTests.tests
          DraftLengthTests.tests
          DraftStoppingTests.tests
          DraftPlanningTests.tests
          SpeculationHierarchyTests.tests
          SpeculativeSamplingTests.tests
          PolicyClassTests.tests
          NestTests.tests
          ConfidenceBoundsTests.tests
          OptimisticPlanTests.tests
          SamplingTests.tests
          RegretTests.tests
          EnvironmentTests.tests
          SimulationTests.tests
          ReferenceTests.tests
          ReplayTests.tests
          FrontierTests.tests
          BaselinesTests.tests
          Policies.CascadeRouterTests.tests
          RegressionTests.tests
          PlannerTests.tests
          JudgeTests.tests
          PlannedFamilyTests.tests ]

let tests =
    let all = testList "Theory" [ examples; properties ]
    testList "Theory" [ examples; properties; IndexTests.tests all properties ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
