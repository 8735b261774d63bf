namespace OptimalStopping.Reports

open System
open OxyPlot
open OxyPlot.Annotations
open OxyPlot.Axes
open OxyPlot.Series

/// Reliability diagrams, one panel for each stage: accuracy of the answers against the confidence that the stage gave
/// them, with exact 95 % intervals. On the diagonal a confidence of 0.8 is right 80 times in 100. Bars at the bottom are the
/// shares of queries.
module ReliabilityFigure =

    /// The bins of each stage, in order.
    let stages (data: RunData) : struct (int * ReliabilityBin[])[] =
        data.Reliability
        |> Array.groupBy _.Stage
        |> Array.sortBy fst
        |> Array.map (fun (stage, bins) -> struct (stage, bins |> Array.sortBy _.BinLow))

    /// Expected calibration error of binned confidences: mean of |confidence - accuracy| weighted by the bins' counts
    /// (Naeini, Cooper and Hauskrecht 2015). NaN where all bins are empty.
    let calibrationError (bins: ReliabilityBin[]) : float =
        let total = bins |> Array.sumBy _.Count
        if total = 0 then
            nan
        else
            bins
            |> Array.filter (fun b -> b.Count > 0)
            |> Array.sumBy (fun b -> float b.Count / float total * abs (b.Confidence - b.Accuracy))

    /// Whether a bin has queries, and so a place in the diagram.
    let isFull (b: ReliabilityBin) : bool = b.Count > 0 && Double.IsFinite b.Confidence && Double.IsFinite b.Accuracy

    let private height = 142.0

    let private share (bins: ReliabilityBin[]) (b: ReliabilityBin) = float b.Count / float (max 1 (bins |> Array.sumBy _.Count))

    /// The largest share of a stage's queries in one bin, over all stages.
    let private tallest (data: RunData) =
        stages data |> Array.map (fun (struct (_, bins)) -> bins |> Array.map (share bins) |> Array.max) |> Array.max

    let private panel (data: RunData) (stage: int) (bins: ReliabilityBin[]) tallest first =
        let model = Panel.create $"{stage}: {RunData.modelName data stage}"
        let style = { Style.policy Style.ours with Width = 1.2 }
        Panel.addLinear (model, AxisPosition.Bottom, "confidence", -0.02, 1.03, 0.5)
        Panel.addLinear (model, AxisPosition.Left, (if first then "accuracy" else ""), -0.02, 1.03, 0.5)
        let total = bins |> Array.sumBy _.Count
        let shares = RectangleBarSeries(FillColor = OxyColor.FromRgb(205uy, 205uy, 205uy), StrokeThickness = 0.0)
        for b in bins do
            // One scale for all panels: the tallest bar takes 0.3 of the height.
            let top = 0.3 * share bins b / max 1e-12 tallest
            shares.Items.Add(RectangleBarItem(b.BinLow + 0.004, 0.0, b.BinHigh - 0.004, top))
        model.Series.Add shares
        Panel.addLine (model, { style with Hex = Style.grey }, LineStyle.Dash, 0.8, [| 0.0; 1.0 |], [| 0.0; 1.0 |])
        let full = bins |> Array.filter isFull
        let xs, ys = full |> Array.map _.Confidence, full |> Array.map _.Accuracy
        Panel.addLine (model, style, LineStyle.Solid, style.Width, xs, ys)
        // Where few queries fell into a bin, its accuracy is uncertain: the line through a dot is its exact 95 % interval.
        for b in full do
            let right = int (round (b.Accuracy * float b.Count))
            let low = OptimalStopping.Theory.RiskControl.clopperPearsonLower (right, b.Count, 0.025)
            let high = OptimalStopping.Theory.RiskControl.clopperPearsonUpper (right, b.Count, 0.025)
            Panel.addLine (model, style, LineStyle.Solid, 0.7, [| b.Confidence; b.Confidence |], [| low; high |])
        Panel.addMarkers (model, style, 2.4, true, xs, ys)
        // The error of the tables, over bins of equal mass; the diagram's bins of equal width would give another one.
        let error =
            match data.Signals |> Array.tryFind (fun s -> s.Stage = stage && s.Signal = "calibrated") with
            | Some signal -> signal.Ece.ToString "0.000"
            | None -> (calibrationError bins).ToString "0.000"
        model.Annotations.Add(
            TextAnnotation(
                Text = $"ECE {error}\nn = {total}",
                TextPosition = DataPoint(0.04, 0.97),
                StrokeThickness = 0.0,
                FontSize = 6.5,
                TextHorizontalAlignment = HorizontalAlignment.Left,
                TextVerticalAlignment = VerticalAlignment.Top
            )
        )
        model

    /// The figure, or None where the run has no reliability table.
    let drawing (data: RunData) : Drawing option =
        let stages = stages data
        if stages.Length = 0 then
            None
        else
            let columns = if stages.Length <= 2 then stages.Length else min 4 stages.Length
            let rows = (stages.Length + columns - 1) / columns
            let width = if columns <= 2 then Panel.oneColumn else Panel.twoColumns
            let w = width / float columns
            let tallest = tallest data
            Some
                { Title = "Reliability of the confidences of each stage"
                  Description =
                    $"Accuracy against confidence for {stages.Length} stages; the dashed diagonal is perfect calibration; "
                    + "vertical lines are exact 95 % intervals; grey bars are the shares of queries in each bin, on one scale for all stages."
                  Width = width
                  Height = height * float rows
                  Draw =
                    fun rc ->
                        stages
                        |> Array.iteri (fun i (struct (stage, bins)) ->
                            let x, y = w * float (i % columns), height * float (i / columns)
                            Panel.draw (rc, panel data stage bins tallest (i % columns = 0), x, y, w, height)) }
