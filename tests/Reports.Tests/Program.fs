module Reports.Tests.Program

open Expecto

let tests =
    testList
        "Reports"
        [ CsvTests.tests
          RunDataTests.tests
          PainterTests.tests
          ExportTests.tests
          PanelTests.tests
          LabelsTests.tests
          Table1Tests.tests
          HeadlinesTests.tests
          ReportTests.tests
          EvaluationPageTests.tests
          FiguresTests.tests ]

[<EntryPoint>]
let main argv = Support.Runner.run argv tests
