namespace OptimalStopping.Reports

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json
open Giraffe.ViewEngine
open Plotly.NET
open OptimalStopping.Experiments
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades

/// One headline number of the report: the number, what it is, and the fine print that makes it honest.
type HeadlineCard = { Value: string; Meaning: string; Detail: string }

/// The numbers that a reader wants first. Each is computed from the tables of the run; where a table is missing, or the
/// number is not defined, there is no headline.
module Headlines =

    let private percent (x: float) = Numbers.decimals (1, 100.0 * x) + " %"

    /// The point that headline.csv holds, which the README quotes too. A point read off the test curve would look better
    /// than it is, and would contradict it.
    let private saving (data: RunData) =
        let number metric = data.Headline metric |> Option.ofObj
        let accuracy, cost = "chosen share of the largest model's accuracy", "chosen share of the largest model's cost"
        match number accuracy, number cost, number "chosen accuracy", number "chosen cost" with
        | Some share, Some price, Some quality, Some spent ->
            let interval (n: HeadlineNumber) =
                if Double.IsNaN n.Low || Double.IsNaN n.High then
                    ""
                else
                    $" [{Numbers.decimals (1, 100.0 * n.Low)}, {Numbers.decimals (1, 100.0 * n.High)}]"
            let largest = data.ModelName data.HeadlineModels.Length
            Some
                { Value = percent price.Value
                  Meaning = $"of the cost of {largest} keeps {percent share.Value}{interval share} of its quality"
                  Detail =
                    $"quality {Numbers.decimals (3, quality.Value)} of {Numbers.decimals (3, quality.Value / share.Value)} at cost "
                    + $"{Numbers.decimals (2, spent.Value)} of {Numbers.decimals (2, spent.Value / price.Value)}; test queries, "
                    + "at a point chosen on calibration queries" }
        | _ -> None

    let private comparisons (data: RunData) =
        if data.Table<PolicyComparison>().Length = 0 then
            None
        else
            let tested = data.Table<PolicyComparison>() |> Array.filter _.Tested
            let count wanted = tested |> Array.filter (fun row -> row.Verdict = wanted) |> Array.length
            Some
                { Value = $"{count 1} of {tested.Length}"
                  Meaning = "comparisons with baselines won significantly"
                  Detail =
                    $"{count -1} lost significantly, {count 0} undecided; permutation tests on "
                    + $"{Table1.pairs (data.Table<PolicyComparison>())} pairs, Holm-adjusted p below {Numbers.parameter PolicyComparison.Level}" }

    let private regret (data: RunData) =
        data.Table<RegretGrowth>()
        |> Array.filter (fun s -> not (RegretPoint.IsSimulated s.Instance))
        |> Array.sortBy (fun s -> if Style.isNest s.Learner then 0 else 1)
        |> Array.tryHead
        |> Option.map (fun s ->
            let bound =
                if Double.IsNaN s.BoundFinal then
                    ""
                else
                    $"; bound {Numbers.decimals (0, s.BoundFinal)}" + (if s.Theorem = "" then "" else $" ({s.Theorem})")
            let slope =
                if Double.IsNaN s.Slope then
                    ""
                else
                    $"; log-log slope {Numbers.decimals (2, s.Slope)} "
                    + $"[{Numbers.decimals (2, s.SlopeLow)}, {Numbers.decimals (2, s.SlopeHigh)}]"
            { Value = Numbers.decimals (4, s.RegretFinal / s.TFinal)
              Meaning = $"regret per query after {Numbers.grouped s.TFinal} recorded queries ({s.Learner})"
              Detail = $"cumulative regret {Numbers.decimals (1, s.RegretFinal)}{bound}{slope}" })

    /// All headlines that the run allows.
    let all (data: RunData) : HeadlineCard[] = [| saving data; comparisons data; regret data |] |> Array.choose id

/// The parts of report.html.
module ReportSections =

    let private grid kind (items: XmlNode list) = div [ _class $"grid {kind}" ] items

    let private titled (heading: XmlNode list) chart = div [] [ h3 [] heading; chart ]

    let private hasCalibration (data: RunData) = data.Table<ReliabilityPoint>().Length + data.Table<FeatureQuality>().Length > 0

    /// Stages that have a reliability diagram, in order.
    let reliabilityStages (data: RunData) : int[] = ReliabilityFigure.stages data |> Array.map (fun (struct (stage, _)) -> stage)

    /// Stages that have a map of accuracies, in order.
    let mapStages (data: RunData) : int[] = data.Table<StageAccuracy>() |> Array.map _.Stage |> Array.distinct |> Array.sort

    /// The headline numbers as cards.
    let headlines (data: RunData) : XmlNode list =
        let card (h: HeadlineCard) =
            article [ _class "card" ] [ b [] [ str h.Value ]; span [] [ str h.Meaning ]; small [] [ str h.Detail ] ]
        match Headlines.all data with
        | [||] -> []
        | all ->
            div [ _class "cards" ] [ for h in all -> card h ]
            :: [ for sentence in Option.toList (Table1.rules data) -> p [ _class "rules" ] (ReportTables.prose sentence) ]

    /// What of the page was measured, and what was simulated.
    let provenance (data: RunData) : XmlNode list =
        let regretOn instance = [ str "regret on "; i [] [ str (Figure1a.heading instance) ] ]
        let commas (items: XmlNode list list) =
            items |> List.mapi (fun index item -> if index = 0 then item else str ", " :: item) |> List.concat
        let simulated, recorded = Figure1a.instances data |> List.ofArray |> List.partition RegretPoint.IsSimulated
        let measured =
            [ if data.Table<OperatingPoint>().Length > 0 then [ str "quality against cost" ]
              if data.Table<PolicyComparison>().Length > 0 then [ str "the comparisons" ]
              if hasCalibration data then [ str "calibration" ]
              if data.Table<StageAccuracy>().Length > 0 then [ str "accuracy by task" ]
              for instance in recorded do
                  regretOn instance ]
        let unit =
            match data.CostUnit with
            | "" -> "Costs are per query, in the unit of the recorded costs."
            | _ -> "Costs are per query, in units of the cheapest model."
        [ if not measured.IsEmpty then
              p
                  []
                  [ strong [] [ str "Measured" ]
                    str " on recorded answers of the models: "
                    yield! commas measured
                    str $". Intervals are 95 %% intervals. {unit}" ]
          if simulated.IsEmpty then
              Page.paragraph "Nothing on this page is simulated."
          else
              p
                  []
                  [ strong [] [ str "Simulated" ]
                    str ", with queries drawn from a known distribution by a seeded generator: "
                    yield! commas (List.map regretOn simulated)
                    str ". These check the theory and say nothing about real models." ] ]

    let private tradeoff =
        [ Page.paragraph (
              "Up and to the left is better. Move the slider: a larger λ makes cost count more. Tap a name in the legend to "
              + "hide its curve; the oracle looks at the qualities before it chooses, so no policy can reach it."
          )
          Page.slider [ flag "hidden" ] [ div [ _id "stops" ] [] ]
          Page.chart "tradeoff" "Quality against cost for each policy" ]

    let private regret (data: RunData) =
        let chart index instance =
            let heading = Figure1a.heading instance
            let kind, word = if RegretPoint.IsSimulated instance then "badge", "simulated" else "badge measured", "recorded"
            titled
                [ str heading; str " "; span [ _class kind ] [ str word ] ]
                (Page.chart $"regret-{index}" $"Cumulative regret, {heading}")
        [ Page.paragraph (
              "Both axes are logarithmic. Solid lines are means over seeds with 95 % bands, dashed lines the a-priori bounds, "
              + "dotted lines certificates computed from the run itself."
          )
          grid "wide" (Figure1a.instances data |> Seq.mapi chart |> List.ofSeq)
          if data.Table<RegretGrowth>().Length > 0 then ReportTables.slopes data ]

    let private perStage (data: RunData) prefix what (stages: int[]) =
        grid
            "narrow"
            [ for stage in stages ->
                  let name = data.ModelName stage
                  titled [ str $"{stage}: {name}" ] (Page.chart $"{prefix}-{stage}" $"{what} of {name}") ]

    let private calibration (data: RunData) =
        [ Page.paragraph "On the dashed diagonal a confidence of 0.8 is right 80 times in 100."
          if data.Table<ReliabilityPoint>().Length > 0 then perStage data "reliability" "Reliability" (reliabilityStages data)
          if data.Table<FeatureQuality>().Length > 0 then ReportTables.features data ]

    let private accuracy (data: RunData) =
        [ Page.paragraph "Share of queries answered right; tap a cell for the number of queries and of tokens."
          perStage data "accuracy" "Accuracy" (mapStages data) ]

    /// Every section for which the run has data: id, title and content.
    let all (data: RunData) : (string * string * XmlNode list) list =
        [ if data.Table<OperatingPoint>().Length > 0 then "tradeoff-section", "Quality against cost", tradeoff
          if data.Table<RegretPoint>().Length > 0 then "regret-section", "Regret", regret data
          if data.Table<PolicyComparison>().Length > 0 then
              "comparisons", "Comparison with baselines", [ p [] (ReportTables.prose (Table1.caption data)); ReportTables.comparisons data ]
          if hasCalibration data then "calibration", "Calibration", calibration data
          if data.Table<StageAccuracy>().Length > 0 then "accuracy", "Accuracy by task and level", accuracy data
          if data.Table<LookPoint>().Length > 0 then "looks", "Looking before asking", ReportTables.looks data
          if data.Table<Saving>().Length > 0 then "savings", "What it saves on the clock", ReportTables.savings data
          if data.Table<SpeculationTime>().Length + data.Table<DraftFeatures>().Length > 0 then
              "speculative", "Speculative decoding", ReportTables.speculation data
          if data.Settings.Length > 0 then "manifest", "How it was run", [ ReportTables.manifest data ] ]

/// report.html: the whole run on one page, with interactive charts.
module Report =

    let private charts (data: RunData) =
        let charts = Dictionary<string, JsonElement>()
        let add id (chart: GenericChart) =
            use document = JsonDocument.Parse(GenericChart.toFigureJson chart)
            charts[id] <- document.RootElement.Clone()
        if data.Table<OperatingPoint>().Length > 0 then add "tradeoff" (ReportCharts.tradeoff data)
        for i, instance in Array.indexed (Figure1a.instances data) do
            add $"regret-{i}" (ReportCharts.regret (data, instance))
        for stage in ReportSections.reliabilityStages data do
            add $"reliability-{stage}" (ReportCharts.reliability (data, stage))
        for stage in ReportSections.mapStages data do
            add $"accuracy-{stage}" (ReportCharts.heatMap (data, stage))
        charts

    /// What the slider shows: the default's operating points by lambda, with the stages' shares and thresholds where known.
    let private settings (data: RunData) =
        let orNull x = if Double.IsFinite x then Nullable x else Nullable()
        data.Table<OperatingPoint>()
        |> Array.filter (fun p -> p.Policy = PolicyRegistry.Default && Double.IsFinite p.Lambda)
        |> Array.sortBy _.Lambda
        |> Array.map (fun p ->
            let threshold stage =
                data.Table<StageThreshold>()
                |> Array.tryFind (fun t -> t.Lambda = p.Lambda && t.Stage = stage)
                |> Option.map (fun t -> orNull t.Threshold)
                |> Option.defaultValue (Nullable())
            {| lambda = Numbers.parameter p.Lambda
               cost = p.Cost
               quality = p.Quality
               costRange = $"{Numbers.decimals (2, p.CostLow)} to {Numbers.decimals (2, p.CostHigh)}"
               qualityRange = $"{Numbers.decimals (3, p.QualityLow)} to {Numbers.decimals (3, p.QualityHigh)}"
               stops =
                data.Table<StopShare>()
                |> Array.filter (fun s -> s.Lambda = p.Lambda)
                |> Array.sortBy _.Stage
                |> Array.map (fun s -> {| model = data.ModelName s.Stage; share = s.Share; threshold = threshold s.Stage |}) |})

    /// The page as text.
    let html (data: RunData) : string =
        let sections = ReportSections.all data
        let links = [ for id, title, _ in sections -> a [ _href $"#{id}" ] [ str title ] ]
        Page.render
            "Optimal Stopping Toolkit: report"
            "Optimal stopping on a cascade of language models"
            [ "report.css" ]
            [ nav [ attr "aria-label" "Sections" ] links ]
            [ yield! ReportSections.headlines data
              section [ _class "provenance" ] (ReportSections.provenance data)
              noscript [] [ Page.paragraph "The charts need JavaScript; the same figures lie beside this page as SVG, PDF and PNG." ]
              for id, title, content in sections do
                  Page.titled id title content ]
            " from the CSV files beside this page."
            [ "figures", charts data; "settings", settings data ]
            [ "theme.js"; "report.js" ]

/// Turns the result files of a run folder into figures, a LaTeX table and a report.
module Figures =

    /// Reads the tables and the manifest of a run folder and writes what they allow beside them: the figures of
    /// `RunFigures.all` (each as svg, pdf and png), table1.tex and report.html. Parts whose table is missing are left out.
    /// Returns the paths of the files written. The same inputs give the same bytes.
    /// A missing folder, a folder without any result file or a malformed file is a ToolkitException.
    let drawAll (dir: string) : string[] =
        let data = RunData.Load dir
        if data.IsEmpty then
            let expected = "result files (figure1b.csv, figure1a.csv, table1.csv, ...)"
            raise (ToolkitException $"{dir}: expected {expected}, got none with a data line")
        let text name (content: string) = Export.write (Path.Combine(dir, name), Encoding.UTF8.GetBytes content)
        [| for name, drawing in RunFigures.all do
               match drawing data with
               | Some figure -> yield! Export.writeAll (dir, name, figure)
               | None -> ()
           yield! Table1.latex data |> Option.map (text "table1.tex") |> Option.toArray
           text "report.html" (Report.html data) |]
