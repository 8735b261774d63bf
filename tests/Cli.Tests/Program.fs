module Cli.Tests.Program

open Expecto

let tests =
    testList "Cli" [
        testList "Figures" [
            Cli.Tests.CsvTests.tests
            Cli.Tests.RunDataTests.tests
            Cli.Tests.PainterTests.tests
            Cli.Tests.ExportTests.tests
            Cli.Tests.PanelTests.tests
            Cli.Tests.LabelsTests.tests
            Cli.Tests.Table1Tests.tests
            Cli.Tests.HeadlinesTests.tests
            Cli.Tests.ReportTests.tests
            Cli.Tests.EvaluationPageTests.tests
            Cli.Tests.FiguresTests.tests
        ]
        Cli.Tests.ServeTests.tests
        Cli.Tests.ProgramTests.tests
        Cli.Tests.PaperTests.tests
        Cli.Tests.ReferenceTests.tests
        Cli.Tests.TutorialTests.tests
        Cli.Tests.TheoryTests.tests
        Cli.Tests.RealModelsTests.tests
        testList "Faults" [
            Cli.Tests.Faults.KillTests.tests
            Cli.Tests.Faults.ResourceTests.tests
            Cli.Tests.Faults.ReproductionTests.tests
        ]
    ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
