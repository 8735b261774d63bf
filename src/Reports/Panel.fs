namespace OptimalStopping.Reports

open System
open OxyPlot
open OxyPlot.Axes
open OxyPlot.Series

/// One line of a legend: a sample of the curve and its name.
type LegendEntry =
    {
        Style: CurveStyle
        /// Draws the sample's marker filled (true) or open.
        Filled: bool
        /// Draws the interval's band behind the sample.
        Band: bool
    }

/// What all static figures share: type sizes, axes, series, legends, and panels side by side on one sheet.
module Panel =

    /// Widths of one and of both columns of a two-column paper, in points.
    let oneColumn, twoColumns = 252.0, 504.0

    let textSize, titleSize = 7.0, 8.0

    let private ink = OxyColor.Parse Style.black
    let private faint = OxyColor.FromRgb(226uy, 226uy, 226uy)

    /// An empty plot with a frame on the left and at the bottom only.
    let create (title: string) : PlotModel =
        PlotModel(
            Title = title,
            TitleFontSize = titleSize,
            TitleFontWeight = 700.0,
            TitlePadding = 2.0,
            DefaultFontSize = textSize,
            TextColor = ink,
            PlotAreaBorderThickness = OxyThickness(0.7, 0.0, 0.0, 0.7),
            PlotAreaBorderColor = ink,
            Padding = OxyThickness(2.0, 2.0, 4.0, 2.0),
            PlotMargins = OxyThickness(34.0, nan, nan, nan)
        )

    let private dress (axis: Axis) position (title: string) =
        axis.Position <- position
        axis.Title <- title
        axis.TitleFontSize <- textSize + 0.5
        axis.FontSize <- textSize
        axis.AxisTitleDistance <- 6.0
        axis.AxisTickToLabelDistance <- 2.0
        axis.MajorTickSize <- 3.0
        axis.MinorTickSize <- 1.5
        axis.TickStyle <- TickStyle.Outside
        axis.TicklineColor <- ink
        axis.MinorTicklineColor <- ink
        axis.MajorGridlineStyle <- LineStyle.Solid
        axis.MajorGridlineColor <- faint
        // OxyPlot draws the ticks as thick as the grid.
        axis.MajorGridlineThickness <- 0.5
        axis.MinorGridlineThickness <- 0.4

    /// A linear axis; a step of NaN lets the ticks be chosen.
    let addLinear (model: PlotModel, position: AxisPosition, title: string, low: float, high: float, step: float) =
        let axis = LinearAxis(Minimum = low, Maximum = high, MajorStep = step)
        dress axis position title
        axis.MinorTickSize <- 0.0
        axis.IntervalLength <- 30.0
        model.Axes.Add axis

    /// A logarithmic axis of about the given length in points; both ends get room for half a marker.
    let addLogarithmic (model: PlotModel, position: AxisPosition, title: string, low: float, high: float, length: float) =
        let room = (high / low) ** 0.03
        let axis = LogarithmicAxis(Minimum = low / room, Maximum = high * room, UseSuperExponentialFormat = true)
        dress axis position title
        // One label for each decade, or fewer where they would touch.
        axis.IntervalLength <- max 20.0 (length / max 1.0 (log10 (high / low)))
        model.Axes.Add axis

    let private points (xs: float[]) (ys: float[]) = Array.map2 (fun x y -> DataPoint(x, y)) xs ys

    let addLine (model: PlotModel, style: CurveStyle, dash: LineStyle, width: float, xs: float[], ys: float[]) =
        let series = LineSeries(Color = style.Color, LineStyle = dash, StrokeThickness = width)
        series.Points.AddRange(points xs ys)
        model.Series.Add series

    /// The area between two curves over the same xs, in the style's transparent colour.
    let addBand (model: PlotModel, style: CurveStyle, xs: float[], lows: float[], highs: float[]) =
        let area = AreaSeries(Color = OxyColors.Transparent, Fill = style.BandColor, StrokeThickness = 0.0)
        area.Points.AddRange(points xs lows)
        area.Points2.AddRange(points xs highs)
        model.Series.Add area

    /// Markers alone, filled or open.
    let addMarkers (model: PlotModel, style: CurveStyle, size: float, filled: bool, xs: float[], ys: float[]) =
        let series =
            ScatterSeries(
                MarkerType = style.Marker,
                MarkerSize = size,
                MarkerStroke = style.Color,
                MarkerStrokeThickness = 0.8,
                MarkerOutline = style.Outline,
                MarkerFill = if filled then style.Color else OxyColors.White
            )
        series.Points.AddRange(Array.map2 (fun (x: float) (y: float) -> ScatterPoint(x, y)) xs ys)
        model.Series.Add series

    /// Moves labels apart: the nearest positions at least `gap` from each other that keep the order of the wanted ones.
    let spread (wanted: float[], gap: float) : float[] =
        let order = wanted |> Array.indexed |> Array.sortBy snd |> Array.map fst
        // Subtracting the gaps turns the problem into monotone least squares, solved by pooling neighbours.
        let blocks = Collections.Generic.List<struct (float * int)>()
        order
        |> Array.iteri (fun rank index ->
            blocks.Add(struct (wanted[index] - gap * float rank, 1))
            let mutable merging = true
            while merging && blocks.Count > 1 do
                let struct (below, n), struct (above, m) = blocks[blocks.Count - 2], blocks[blocks.Count - 1]
                if below > above then
                    blocks.RemoveAt(blocks.Count - 1)
                    blocks[blocks.Count - 1] <- struct ((below * float n + above * float m) / float (n + m), n + m)
                else
                    merging <- false)
        let placed = Array.zeroCreate wanted.Length
        let mutable rank = 0
        for struct (mean, count) in blocks do
            for _ in 1..count do
                placed[order[rank]] <- mean + gap * float rank
                rank <- rank + 1
        placed

    let private legendLine = 10.0
    let private sampleWidth = 22.0

    let private widest (rc: IRenderContext) (entries: LegendEntry[]) =
        entries |> Array.map (fun e -> rc.MeasureText(e.Style.Label, "", textSize, 400.0).Width) |> Array.max

    /// Columns in which the entries fit a width, at most one per entry.
    let private legendColumns (rc: IRenderContext) (entries: LegendEntry[]) width =
        max 1 (min entries.Length (int ((width + 8.0) / (widest rc entries + sampleWidth + 12.0))))

    /// Height that `drawLegend` needs at most, for entries in the given number of columns.
    let legendHeight (entries: int, columns: int) : float = legendLine * ceil (float entries / float columns) + 2.0

    /// Draws a legend, row by row, centred in the given width, with y at its top.
    let drawLegend (rc: IRenderContext, entries: LegendEntry[], x: float, y: float, width: float) =
        let columns = legendColumns rc entries width
        let rows = (entries.Length + columns - 1) / columns
        let widths =
            [| for column in 0 .. columns - 1 ->
                   let inColumn = entries |> Array.skip (column * rows |> min entries.Length) |> Array.truncate rows
                   if inColumn.Length = 0 then 0.0 else sampleWidth + 14.0 + widest rc inColumn |]
        let left = x + max 0.0 ((width - (Array.sum widths - 10.0)) / 2.0)
        entries
        |> Array.iteri (fun i entry ->
            let column, row = i / rows, i % rows
            let x0 = left + Array.sum widths[.. column - 1]
            let yc = y + legendLine * (float row + 0.5)
            let middle = ScreenPoint(x0 + sampleWidth / 2.0, yc)
            if entry.Band then
                let box = OxyRect(x0, yc - 3.0, sampleWidth, 6.0)
                rc.DrawRectangle(box, entry.Style.BandColor, OxyColors.Undefined, 0.0, EdgeRenderingMode.Automatic)
            if entry.Style.Dash <> LineStyle.None then
                rc.DrawLine(
                    [| ScreenPoint(x0, yc); ScreenPoint(x0 + sampleWidth, yc) |],
                    entry.Style.Color,
                    entry.Style.Width,
                    EdgeRenderingMode.Automatic,
                    entry.Style.Dash.GetDashArray(),
                    LineJoin.Miter
                )
            if entry.Style.Marker <> MarkerType.None then
                rc.DrawMarker(
                    middle,
                    entry.Style.Marker,
                    entry.Style.Outline,
                    2.6,
                    (if entry.Filled then entry.Style.Color else OxyColors.White),
                    entry.Style.Color,
                    0.8,
                    EdgeRenderingMode.Automatic
                )
            rc.DrawText(
                ScreenPoint(x0 + sampleWidth + 4.0, yc),
                entry.Style.Label,
                ink,
                "",
                textSize,
                400.0,
                0.0,
                HorizontalAlignment.Left,
                VerticalAlignment.Middle,
                Nullable()
            ))

    /// Writes a text at a point of a plot that was drawn, moved dx points to the right; it may lie outside the axes.
    let write (rc: IRenderContext, model: PlotModel, style: CurveStyle, text: string, x: float, y: float, dx: float) =
        let at = ScreenPoint(model.DefaultXAxis.Transform x + dx, model.DefaultYAxis.Transform y)
        rc.DrawText(at, text, style.Color, "", textSize - 0.5, 400.0, 0.0, HorizontalAlignment.Left, VerticalAlignment.Middle, Nullable())

    /// Draws a plot into a rectangle of the sheet.
    let draw (rc: IRenderContext, model: PlotModel, x: float, y: float, width: float, height: float) =
        let plot = model :> IPlotModel
        plot.Update true
        plot.Render(rc, OxyRect(x, y, width, height))
        match model.GetLastPlotException() with
        | null -> ()
        | error -> raise (InvalidOperationException($"drawing '{model.Title}' failed: {error.Message}", error))

/// Finds places for labels beside their points, where they hide as little of the figure as possible.
module Labels =

    /// Points along a polyline, at most `step` apart, so that lines count as obstacles between their corners too.
    let sample (corners: ScreenPoint[], step: float) : ScreenPoint[] =
        [| if corners.Length > 0 then corners[0]
           for a, b in Array.pairwise corners do
               let pieces = max 1 (int (ceil (a.DistanceTo b / step)))
               for i in 1..pieces do
                   let share = float i / float pieces
                   ScreenPoint(a.X + share * (b.X - a.X), a.Y + share * (b.Y - a.Y)) |]

    // Right of the point and below it first: curves of quality against cost rise to the upper left.
    let private directions = [| 1.0, 1.0; 1.0, 0.0; 0.0, 1.0; 1.0, -1.0; -1.0, 1.0; 0.0, -1.0; -1.0, -1.0; -1.0, 0.0 |]

    /// The box, of the given size, beside an anchor: inside the area where that is possible, covering few obstacles and
    /// close to its anchor (a point of distance weighs as much as one obstacle), else in the first direction.
    let place (anchor: ScreenPoint, size: OxySize, area: OxyRect, obstacles: ScreenPoint[]) : OxyRect =
        let candidates =
            [| for distance in [| 4.0; 8.0; 14.0; 22.0 |] do
                   for dx, dy in directions do
                       let x = anchor.X + dx * (distance + size.Width / 2.0)
                       let y = anchor.Y + dy * (distance - 2.0 + size.Height / 2.0)
                       distance, OxyRect(x - size.Width / 2.0, y - size.Height / 2.0, size.Width, size.Height) |]
        let inside (box: OxyRect) = box.Left >= area.Left && box.Right <= area.Right && box.Top >= area.Top && box.Bottom <= area.Bottom
        let covered (box: OxyRect) =
            obstacles
            |> Array.filter (fun p -> p.X > box.Left - 1.5 && p.X < box.Right + 1.5 && p.Y > box.Top - 0.5 && p.Y < box.Bottom + 0.5)
            |> Array.length
        match candidates |> Array.filter (fun (_, box) -> inside box) with
        | [||] -> snd candidates[0]
        | fitting -> fitting |> Array.minBy (fun (distance, box) -> distance + float (covered box)) |> snd

    /// The line that leads from an anchor to a box so far away that one could take it for another point's label;
    /// no points where it is close enough to need none.
    let leader (anchor: ScreenPoint, box: OxyRect) : ScreenPoint[] =
        let nearest = ScreenPoint(Math.Clamp(anchor.X, box.Left, box.Right), Math.Clamp(anchor.Y, box.Top, box.Bottom))
        let distance = anchor.DistanceTo nearest
        if distance < 8.0 then
            [||]
        else
            let start = 3.5 / distance
            [| ScreenPoint(anchor.X + start * (nearest.X - anchor.X), anchor.Y + start * (nearest.Y - anchor.Y)); nearest |]

    /// The corners and the middle of a box, as obstacles for the labels that follow.
    let outline (box: OxyRect) : ScreenPoint[] =
        sample (
            [| ScreenPoint(box.Left, box.Top)
               ScreenPoint(box.Right, box.Top)
               ScreenPoint(box.Right, box.Bottom)
               ScreenPoint(box.Left, box.Bottom)
               ScreenPoint(box.Left, box.Top)
               box.Center |],
            2.0
        )
