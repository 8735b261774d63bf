namespace OptimalStopping.Reports

open OxyPlot
open Plotly.NET
open Plotly.NET.LayoutObjects
open Plotly.NET.TraceObjects

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
