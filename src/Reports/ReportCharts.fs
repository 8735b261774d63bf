namespace OptimalStopping.Reports

open OptimalStopping.Runtime.Cascades
open System
open OxyPlot
open Plotly.NET
open Plotly.NET.LayoutObjects
open Plotly.NET.TraceObjects
open OptimalStopping.Experiments

/// What the interactive charts of the report share: styles in Plotly's terms, curves, bands, axes and the frame.
/// Colours of text and background are left to the page, which knows whether it is light or dark; `Style.black` and
/// `Style.grey` stand for its strong and its quiet ink.
module internal PlotlyParts =

    let color (hex: string) = Color.fromHex hex

    let faded (hex: string) =
        let c = OxyColor.Parse hex
        Color.fromString $"rgba({c.R}, {c.G}, {c.B}, 0.16)"

    let dash =
        function
        | LineStyle.Solid -> StyleParam.DrawingStyle.Solid
        | LineStyle.Dot -> StyleParam.DrawingStyle.Dot
        | LineStyle.Dash
        | LineStyle.LongDash -> StyleParam.DrawingStyle.Dash
        | _ -> StyleParam.DrawingStyle.DashDot

    let symbol (style: CurveStyle) =
        match style.Marker, style.Outline.Length with
        | MarkerType.Triangle, _ -> StyleParam.MarkerSymbol.TriangleUp
        | MarkerType.Square, _ -> StyleParam.MarkerSymbol.Square
        | MarkerType.Diamond, _ -> StyleParam.MarkerSymbol.Diamond
        | _, 3 -> StyleParam.MarkerSymbol.TriangleDown
        | _, 5 -> StyleParam.MarkerSymbol.Pentagon
        | _, 6 -> StyleParam.MarkerSymbol.Hexagon
        | _ -> StyleParam.MarkerSymbol.Circle

    let axis (title: string) (kind: StyleParam.AxisType) = LinearAxis.init (Title = Title.init title, AxisType = kind, ZeroLine = false)

    /// Curves in one frame of a height in pixels, with the legend below.
    let finish height (charts: GenericChart seq) =
        // Plotly.NET combines one chart or more.
        let none = Array.empty<float>
        let nothing = Chart.Scatter(x = none, y = none, mode = StyleParam.Mode.Lines, UseDefaults = false)
        Chart.combine (if Seq.isEmpty charts then Seq.singleton nothing else charts)
        |> Chart.withLayout (
            Layout.init (
                Height = height,
                HoverMode = StyleParam.HoverMode.Closest,
                Margin = Margin.init (Left = 56, Right = 12, Top = 12, Bottom = 48)
            )
        )
        |> Chart.withLegend (
            Legend.init (Orientation = StyleParam.Orientation.Horizontal, Y = -0.2, YAnchor = StyleParam.YAnchorPosition.Top)
        )

    /// One curve. Curves, bands and bounds of one name share a legend group, so that they are hidden together.
    let line (style: CurveStyle) dashStyle width mode name (xs: float[]) (ys: float[]) (hover: string[]) =
        Chart.Scatter(
            x = xs,
            y = ys,
            mode = mode,
            Name = name,
            MultiText = hover,
            Line = Line.init (Color = color style.Hex, Dash = dashStyle, Width = width),
            Marker = Marker.init (Color = color style.Hex, Symbol = symbol style, Size = 7),
            UseDefaults = false
        )
        |> GenericChart.mapTrace (Trace2DStyle.Scatter(HoverInfo = StyleParam.HoverInfo.Text, LegendGroup = style.Label))

    /// The area between two curves, as a closed outline without a legend entry.
    let band (style: CurveStyle) (xs: float[]) (lows: float[]) (highs: float[]) =
        Chart.Scatter(
            x = Array.append xs (Array.rev xs),
            y = Array.append lows (Array.rev highs),
            mode = StyleParam.Mode.Lines,
            ShowLegend = false,
            Line = Line.init (Width = 0.0),
            UseDefaults = false
        )
        |> GenericChart.mapTrace (
            Trace2DStyle.Scatter(
                Fill = StyleParam.Fill.ToSelf,
                FillColor = faded style.Hex,
                HoverInfo = StyleParam.HoverInfo.Skip,
                LegendGroup = style.Label
            )
        )

open PlotlyParts

/// The interactive charts of the report, as Plotly figures.
module ReportCharts =

    let private number (digits, x) = Numbers.decimals (digits, x)

    /// Figure 1b. The last trace, empty, is the marker that the page's lambda slider moves.
    let tradeoff (data: RunData) : GenericChart =
        let hover (p: OperatingPoint) =
            let lambda = if Double.IsNaN p.Lambda then "" else $", lambda {Numbers.parameter p.Lambda}"
            let range low high digits = $" [{number (digits, low)}, {number (digits, high)}]"
            $"{Table1.baseline data p.Policy}{lambda}<br>quality {number (4, p.Quality)}{range p.QualityLow p.QualityHigh 4}"
            + $"<br>cost {number (3, p.Cost)}{range p.CostLow p.CostHigh 3}"
            + (if p.Pareto then "<br>on the Pareto front" else "")
        let curves = Figure1b.curves data
        let draw (policy: string) (points: OperatingPoint[]) mode name =
            let style = Style.policy policy
            line
                style
                (dash style.Dash)
                (style.Width * 1.6)
                mode
                name
                (points |> Array.map _.Cost)
                (points |> Array.map _.Quality)
                (points |> Array.map hover)
        let ring = StyleParam.MarkerSymbol.Modified(StyleParam.MarkerSymbol.Circle, StyleParam.SymbolStyle.Open)
        let chosen =
            Chart.Scatter(
                x = [||],
                y = [||],
                mode = StyleParam.Mode.Markers,
                Name = "chosen lambda",
                ShowLegend = false,
                Marker = Marker.init (Size = 18, Symbol = ring, Color = color Style.black, Outline = Line.init (Width = 3.0)),
                UseDefaults = false
            )
            |> GenericChart.mapTrace (Trace2DStyle.Scatter(HoverInfo = StyleParam.HoverInfo.Skip))
        let singles = data.Table<OperatingPoint>() |> Array.filter (fun p -> PolicyRegistry.IsSingle p.Policy) |> Array.sortBy _.Cost
        seq {
            if singles.Length > 0 then draw singles[0].Policy singles StyleParam.Mode.Markers "one model alone"
            for struct (policy, points) in Array.rev curves do
                if policy = PolicyRegistry.Default then
                    let known = points |> Array.filter (fun p -> Double.IsFinite p.QualityLow && Double.IsFinite p.QualityHigh)
                    band
                        (Style.policy policy)
                        (known |> Array.map _.Cost)
                        (known |> Array.map _.QualityLow)
                        (known |> Array.map _.QualityHigh)
                if not (PolicyRegistry.IsSingle policy) then
                    let mode = if policy = PolicyRegistry.Oracle then StyleParam.Mode.Lines else StyleParam.Mode.Lines_Markers
                    draw policy points mode (Style.policy policy).Label
            chosen
        }
        |> finish 520
        // The default is drawn last, on top, and named first.
        |> Chart.withLegendStyle (TraceOrder = StyleParam.TraceOrder.Reversed)
        |> Chart.withXAxis (axis $"mean cost per query{data.CostUnit}" StyleParam.AxisType.Linear)
        |> Chart.withYAxis (axis "mean quality on test queries" StyleParam.AxisType.Linear)

    /// Figure 1a for one instance.
    let regret (data: RunData, instance: string) : GenericChart =
        let shown =
            data.Table<RegretPoint>()
            |> Array.filter (fun p -> p.Instance = instance)
            |> Array.collect (fun p -> [| p.Mean; p.Bound |])
            |> Array.filter (fun y -> y > 0.0)
        let low, high = (if shown.Length = 0 then 0.1, 1.0 else Array.min shown / 1.5, Array.max shown * 1.5)
        seq {
            for struct (learner, feedback, style) in Figure1a.learners data do
                let rows =
                    data.Table<RegretPoint>()
                    |> Array.filter (fun p -> p.Instance = instance && p.Learner = learner && p.Feedback = feedback && p.Mean > 0.0)
                    |> Array.sortBy _.T
                let ts = rows |> Array.map _.T
                let draw (value: RegretPoint -> float) dashStyle width mode name what =
                    let kept = rows |> Array.filter (fun p -> value p > 0.0)
                    let hover = kept |> Array.map (fun p -> $"{style.Label}<br>{what} {number (1, value p)} at T = {number (0, p.T)}")
                    line style dashStyle width mode name (kept |> Array.map _.T) (kept |> Array.map value) hover
                if rows.Length > 0 then
                    let lows = rows |> Array.map (fun p -> if p.Lower > low / 10.0 then p.Lower else low / 10.0)
                    if rows |> Array.forall (fun p -> p.Upper > 0.0) then band style ts lows (rows |> Array.map _.Upper)
                    let width = style.Width * 1.6
                    draw _.Mean StyleParam.DrawingStyle.Solid width StyleParam.Mode.Lines_Markers style.Label "regret"
                    for value, dashStyle, what in
                        [ (fun (p: RegretPoint) -> p.Bound), StyleParam.DrawingStyle.Dash, "bound"
                          _.Certificate, StyleParam.DrawingStyle.Dot, "certificate" ] do
                        if rows |> Array.exists (fun p -> value p > 0.0) then
                            draw value dashStyle 1.2 StyleParam.Mode.Lines $"{what}, {style.Label}" what
                            |> GenericChart.mapTrace (Trace2DStyle.Scatter(ShowLegend = false))
        }
        |> finish 520
        |> Chart.withXAxis (axis "rounds T (queries)" StyleParam.AxisType.Log)
        |> Chart.withYAxis (
            LinearAxis.init (
                Title = Title.init "cumulative regret (utility)",
                AxisType = StyleParam.AxisType.Log,
                Range = StyleParam.Range.MinMax(log10 low, log10 high)
            )
        )

    /// Reliability diagram of one stage.
    let reliability (data: RunData, stage: int) : GenericChart =
        let bins = data.Table<ReliabilityPoint>() |> Array.filter (fun b -> b.Stage = stage && b.IsFull) |> Array.sortBy _.BinLow
        let style = Style.policy PolicyRegistry.Default
        let hover (b: ReliabilityPoint) =
            $"{b.Count} queries in [{number (2, b.BinLow)}, {number (2, b.BinHigh)}]"
            + $"<br>confidence {number (3, b.Confidence)}<br>accuracy {number (3, b.Accuracy)}"
        let diagonal = Style.line ("calibrated", Style.grey, LineStyle.Dash, 1.0)
        let ends = [| 0.0; 1.0 |]
        [ line diagonal StyleParam.DrawingStyle.Dash 1.0 StyleParam.Mode.Lines "calibrated" ends ends [| ""; "" |]
          line
              style
              StyleParam.DrawingStyle.Solid
              2.0
              StyleParam.Mode.Lines_Markers
              "stage"
              (bins |> Array.map _.Confidence)
              (bins |> Array.map _.Accuracy)
              (bins |> Array.map hover) ]
        |> finish 300
        |> Chart.withLayoutStyle (ShowLegend = false)
        |> Chart.withXAxis (axis "confidence" StyleParam.AxisType.Linear)
        |> Chart.withYAxis (axis "accuracy" StyleParam.AxisType.Linear)

    /// Accuracy of one stage by task family (rows) and level (columns), on the scale 0 to 1.
    let heatMap (data: RunData, stage: int) : GenericChart =
        let cells = data.Table<StageAccuracy>() |> Array.filter (fun s -> s.Stage = stage)
        // The order of the file, over all stages, so that the maps line up.
        let families = data.Table<StageAccuracy>() |> Array.map _.Family |> Array.distinct |> Array.rev
        let levels = data.Table<StageAccuracy>() |> Array.map _.Level |> Array.distinct
        let find family level : StageAccuracy option = cells |> Array.tryFind (fun c -> c.Family = family && c.Level = level)
        let value family level =
            match find family level with
            | Some c when Double.IsFinite c.Accuracy -> c.Accuracy
            | _ -> nan
        let hover family level =
            match find family level with
            | Some c ->
                let tokens = if Double.IsNaN c.MeanTokens then "" else $"<br>{number (1, c.MeanTokens)} tokens on average"
                $"{family}, level {level}<br>accuracy {number (3, c.Accuracy)} on {c.Queries} queries{tokens}"
            | None -> ""
        // Every shade is light enough for the same dark figures.
        let shades = StyleParam.Colorscale.Custom [ 0.0, Color.fromHex "#eef2f6"; 1.0, Color.fromHex "#4f9fdc" ]
        let table cell = [| for family in families -> [| for level in levels -> cell family level |] |]
        Chart.Heatmap(zData = table value, X = levels, Y = families, ColorScale = shades, ShowScale = false, UseDefaults = false)
        |> GenericChart.mapTrace (
            Trace2DStyle.Heatmap(XGap = 1, YGap = 1, ZMin = 0.0, ZMax = 1.0, HoverInfo = StyleParam.HoverInfo.Text)
            >> fun trace ->
                // Plotly.NET has no arguments for these.
                trace.SetProperty("hovertext", table hover)
                trace.SetProperty("texttemplate", "%{z:.0%}")
                trace.SetProperty("textfont", Font.init (Color = Color.fromHex "#10141a"))
                trace
        )
        |> List.singleton
        |> finish (70 + 20 * families.Length)
        |> Chart.withXAxis (LinearAxis.init (Title = Title.init "level", AxisType = StyleParam.AxisType.Category))
        |> Chart.withYAxis (LinearAxis.init (AxisType = StyleParam.AxisType.Category))
