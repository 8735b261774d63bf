namespace OptimalStopping.Reports

open OptimalStopping.Runtime.Cascades
open System
open OxyPlot
open OxyPlot.Axes
open OptimalStopping.Experiments

/// Figure 1b: quality against cost on the test queries. The default policy is a thick line with its 95 % band, baselines are
/// thin, single models are labelled points, the oracle is dotted; filled markers lie on the Pareto front.
module Figure1b =

    /// Points of each policy, ordered by cost; policies in the order of the legend.
    let curves (data: RunData) : struct (string * OperatingPoint[])[] =
        data.Table<OperatingPoint>()
        |> Array.groupBy _.Policy
        |> Array.sortBy (fun (policy, _) -> PolicyRegistry.Rank policy)
        |> Array.map (fun (policy, points) -> struct (policy, points |> Array.sortBy (fun p -> p.Cost, p.Quality)))

    let private plotHeight = 200.0
    let private labelSize = 6.5

    let private padded (values: float[]) =
        let low, high = Array.min values, Array.max values
        let pad = max 1e-3 (0.05 * (high - low))
        // Twice as much below: the labels of single models hang under their points.
        low - 2.0 * pad, high + pad

    let private xs (points: OperatingPoint[]) = points |> Array.map _.Cost
    let private ys (points: OperatingPoint[]) = points |> Array.map _.Quality

    let private markers (model: PlotModel) (style: CurveStyle) size (points: OperatingPoint[]) =
        for filled in [ false; true ] do
            let some = points |> Array.filter (fun p -> p.Pareto = filled)
            Panel.addMarkers (model, style, size, filled, xs some, ys some)

    /// Points that are at least a distance apart in the drawn plot (in points), from the cheapest on, so that markers of
    /// a curve with many operating points do not run into each other; the line goes through all of them.
    let private thin (data: RunData) distance (points: OperatingPoint[]) =
        let span (values: float[]) = max 1e-9 (Array.max values - Array.min values)
        let perCost, perQuality = 200.0 / span (xs (data.Table<OperatingPoint>())), 150.0 / span (ys (data.Table<OperatingPoint>()))
        let far (a: OperatingPoint) (b: OperatingPoint) =
            (perCost * (a.Cost - b.Cost)) ** 2.0 + (perQuality * (a.Quality - b.Quality)) ** 2.0 >= distance * distance
        let kept = ResizeArray<OperatingPoint>()
        for p in points do
            if kept.Count = 0 || far kept[kept.Count - 1] p then kept.Add p
        kept.ToArray()

    let private singleModel (model: PlotModel) (style: CurveStyle) (p: OperatingPoint) =
        if Double.IsFinite p.QualityLow && Double.IsFinite p.QualityHigh then
            Panel.addLine (model, style, LineStyle.Solid, 0.6, [| p.Cost; p.Cost |], [| p.QualityLow; p.QualityHigh |])
        markers model style 2.4 [| p |]

    /// Names the single models, each where it covers the fewest curves and points. The plot must have been drawn.
    let private nameModels (data: RunData) (rc: IRenderContext) (model: PlotModel) =
        let screen (p: OperatingPoint) = ScreenPoint(model.DefaultXAxis.Transform p.Cost, model.DefaultYAxis.Transform p.Quality)
        let curves = curves data
        let mutable obstacles =
            [| for struct (policy, points) in curves do
                   let corners = points |> Array.map screen
                   // A marker hides more than a piece of a line.
                   for _ in 1..3 do
                       yield! corners
                   if not (PolicyRegistry.IsSingle policy) then yield! Labels.sample (corners, 2.0) |]
        for struct (policy, points) in curves do
            if PolicyRegistry.IsSingle policy then
                for p in points do
                    let name = data.ModelName(PolicyRegistry.StageOf policy)
                    let size = rc.MeasureText(name, "", labelSize, 400.0)
                    let box = Labels.place (screen p, size, model.PlotArea, obstacles)
                    let line = Labels.leader (screen p, box)
                    if line.Length > 0 then
                        let color = (Style.policy policy).Color
                        rc.DrawLine(line, color, 0.4, EdgeRenderingMode.Automatic, null, LineJoin.Miter)
                    let write (dx, dy) color =
                        let at = ScreenPoint(box.Center.X + dx, box.Center.Y + dy)
                        rc.DrawText(
                            at,
                            name,
                            color,
                            "",
                            labelSize,
                            400.0,
                            0.0,
                            HorizontalAlignment.Center,
                            VerticalAlignment.Middle,
                            Nullable()
                        )
                    // A white rim keeps the name readable where it crosses a line.
                    for rim in [ -0.7, 0.0; 0.7, 0.0; 0.0, -0.7; 0.0, 0.7 ] do
                        write rim OxyColors.White
                    write (0.0, 0.0) (Style.policy policy).Color
                    obstacles <- Array.append obstacles (Labels.outline box)

    let private plot (data: RunData) =
        let points = data.Table<OperatingPoint>()
        let model = Panel.create ""
        // A random mixture may cost twice the largest model; the axis ends where every other policy does.
        let inside =
            match points |> Array.filter (fun p -> p.Policy <> "random") with
            | [||] -> points
            | others -> others
        let costs, qualities = padded (xs inside), padded (ys points)
        Panel.addLinear (model, AxisPosition.Bottom, $"mean cost per query{data.CostUnit}", max 0.0 (fst costs), snd costs, nan)
        Panel.addLinear (model, AxisPosition.Left, "mean quality on test queries", max 0.0 (fst qualities), min 1.0 (snd qualities), nan)
        let main = points |> Array.filter (fun p -> p.Policy = PolicyRegistry.Default) |> Array.sortBy _.Cost
        let known = main |> Array.filter (fun p -> Double.IsFinite p.QualityLow && Double.IsFinite p.QualityHigh)
        Panel.addBand (
            model,
            Style.policy PolicyRegistry.Default,
            xs known,
            known |> Array.map _.QualityLow,
            known |> Array.map _.QualityHigh
        )
        // The baselines over the band, then the single models, and the default on top.
        let layer policy =
            if policy = PolicyRegistry.Default then 2
            elif PolicyRegistry.IsSingle policy then 1
            else 0
        let layered = curves data |> Array.rev |> Array.sortBy (fun (struct (policy, _)) -> layer policy)
        for struct (policy, points) in layered do
            let style = Style.policy policy
            if PolicyRegistry.IsSingle policy then
                points |> Array.iter (singleModel model style)
            else
                Panel.addLine (model, style, style.Dash, style.Width, xs points, ys points)
                if style.Marker <> MarkerType.None then
                    if policy = PolicyRegistry.Default then
                        markers model style 2.6 (thin data 6.0 points)
                    else
                        markers model style 1.9 (thin data 9.0 points)
        model

    let private legend (data: RunData) : LegendEntry[] =
        let named = [| for struct (policy, _) in curves data -> policy |]
        [| for policy in named do
               if not (PolicyRegistry.IsSingle policy) then
                   { Style = Style.policy policy; Filled = (policy = PolicyRegistry.Default); Band = (policy = PolicyRegistry.Default) }
           if named |> Array.exists PolicyRegistry.IsSingle then
               { Style = Style.policy (PolicyRegistry.SingleName 1); Filled = false; Band = false }
           let bare = Style.line ("filled: on the Pareto front", Style.grey, LineStyle.None, 0.0)
           { Style = { bare with Marker = MarkerType.Circle }; Filled = true; Band = false } |]

    /// The figure, or None where the run has no trade-off experiment.
    let drawing (data: RunData) : Drawing option =
        if data.Table<OperatingPoint>().Length = 0 then
            None
        else
            let entries = legend data
            let width = Panel.oneColumn
            Some
                { Title = "Figure 1b: quality against cost"
                  Description =
                    $"Mean quality against mean cost per query on the test queries for {(curves data).Length} policies; "
                    + "the shaded band is the 95 % interval of the default policy, filled markers lie on the Pareto front, "
                    + "the dotted oracle is not attainable."
                  Width = width
                  Height = plotHeight + 6.0 + Panel.legendHeight (entries.Length, 2)
                  Draw =
                    fun rc ->
                        let model = plot data
                        Panel.draw (rc, model, 0.0, 0.0, width, plotHeight)
                        nameModels data rc model
                        Panel.drawLegend (rc, entries, 4.0, plotHeight + 4.0, width - 8.0) }
