namespace OptimalStopping.Cli.Plots

open System
open OxyPlot
open OxyPlot.Axes

/// Figure 1b: quality against cost on the test queries. Our policy is a thick line with its 95 % band, baselines are
/// thin, single models are labelled points, the oracle is dotted; filled markers lie on the Pareto front.
module Figure1b =

    /// Points of each policy, ordered by cost; policies in the order of the legend.
    let curves (data: RunData) : struct (string * OperatingPoint[])[] =
        data.Tradeoff
        |> Array.groupBy _.Policy
        |> Array.sortBy (fun (policy, _) -> Style.policyRank policy)
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

    let private singleModel (model: PlotModel) (style: CurveStyle) (p: OperatingPoint) =
        if Double.IsFinite p.QualityLow && Double.IsFinite p.QualityHigh then
            Panel.addLine (model, style, LineStyle.Solid, 0.6, [| p.Cost; p.Cost |], [| p.QualityLow; p.QualityHigh |])
        markers model style 2.4 [| p |]

    /// Names the single models, each where it covers the fewest curves and points. The plot must have been drawn.
    let private nameModels (data: RunData) (rc: IRenderContext) (model: PlotModel) =
        let screen (p: OperatingPoint) =
            ScreenPoint(model.DefaultXAxis.Transform p.Cost, model.DefaultYAxis.Transform p.Quality)
        let curves = curves data
        let mutable obstacles =
            [| for struct (policy, points) in curves do
                   let corners = points |> Array.map screen
                   // A marker hides more than a piece of a line.
                   for _ in 1..3 do yield! corners
                   if not (Style.isFixed policy) then yield! Labels.sample (corners, 2.0) |]
        for struct (policy, points) in curves do
            if Style.isFixed policy then
                for p in points do
                    let name = RunData.modelName data (Style.fixedStage policy)
                    let size = rc.MeasureText(name, "", labelSize, 400.0)
                    let box = Labels.place (screen p, size, model.PlotArea, obstacles)
                    rc.DrawText(box.Center, name, (Style.policy policy).Color, "", labelSize, 400.0, 0.0,
                                HorizontalAlignment.Center, VerticalAlignment.Middle, Nullable())
                    obstacles <- Array.append obstacles (Labels.outline box)

    let private plot (data: RunData) =
        let points = data.Tradeoff
        let model = Panel.create ""
        let costs, qualities = padded (xs points), padded (ys points)
        Panel.addLinear (
            model, AxisPosition.Bottom, "mean cost per query (cheapest model = 1)", max 0.0 (fst costs), snd costs, nan)
        Panel.addLinear (
            model, AxisPosition.Left, "mean quality on test queries", max 0.0 (fst qualities), min 1.0 (snd qualities), nan)
        // Ours last, on top of the baselines.
        for struct (policy, points) in Array.rev (curves data) do
            let style = Style.policy policy
            if Style.isFixed policy then points |> Array.iter (singleModel model style)
            else
                if policy = Style.ours then
                    let known = points |> Array.filter (fun p -> Double.IsFinite p.QualityLow && Double.IsFinite p.QualityHigh)
                    Panel.addBand (model, style, xs known, known |> Array.map _.QualityLow, known |> Array.map _.QualityHigh)
                Panel.addLine (model, style, style.Dash, style.Width, xs points, ys points)
                if style.Marker <> MarkerType.None then
                    markers model style (if policy = Style.ours then 2.6 else 1.9) points
        model

    let private legend (data: RunData) : LegendEntry[] =
        let named = [| for struct (policy, _) in curves data -> policy |]
        [| for policy in named do
               if not (Style.isFixed policy) then
                   { Style = Style.policy policy; Filled = (policy = Style.ours); Band = (policy = Style.ours) }
           if named |> Array.exists Style.isFixed then
               { Style = Style.policy "fixed-1"; Filled = false; Band = false }
           { Style = { Style.line ("filled: on the Pareto front", Style.grey, LineStyle.None, 0.0) with Marker = MarkerType.Circle }
             Filled = true; Band = false } |]

    /// The figure, or None where the run has no trade-off experiment.
    let drawing (data: RunData) : Drawing option =
        if data.Tradeoff.Length = 0 then None
        else
            let entries = legend data
            let width = Panel.oneColumn
            Some
                { Title = "Figure 1b: quality against cost"
                  Description =
                    $"Mean quality against mean cost per query on the test queries for {(curves data).Length} policies; "
                    + "the shaded band is the 95 % interval of our policy, filled markers lie on the Pareto front, "
                    + "the dotted oracle is not attainable."
                  Width = width
                  Height = plotHeight + 6.0 + Panel.legendHeight (entries.Length, 2)
                  Draw =
                    fun rc ->
                        let model = plot data
                        Panel.draw (rc, model, 0.0, 0.0, width, plotHeight)
                        nameModels data rc model
                        Panel.drawLegend (rc, entries, 4.0, plotHeight + 4.0, width - 8.0) }
