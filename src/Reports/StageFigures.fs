namespace OptimalStopping.Reports

open OptimalStopping.Runtime.Cascades
open System
open OxyPlot
open OxyPlot.Annotations
open OxyPlot.Axes
open OxyPlot.Series
open OptimalStopping.Experiments

/// Reliability diagrams, one panel for each stage: accuracy of the answers against the confidence that the stage gave
/// them, with exact 95 % intervals. On the diagonal a confidence of 0.8 is right 80 times in 100. Bars at the bottom are the
/// shares of queries.
module ReliabilityFigure =

    /// The bins of each stage, in order.
    let stages (data: RunData) : struct (int * ReliabilityPoint[])[] =
        data.Table<ReliabilityPoint>()
        |> Array.groupBy _.Stage
        |> Array.sortBy fst
        |> Array.map (fun (stage, bins) -> struct (stage, bins |> Array.sortBy _.BinLow))

    /// Expected calibration error of binned confidences: mean of |confidence - accuracy| weighted by the bins' counts
    /// (Naeini, Cooper and Hauskrecht 2015). NaN where all bins are empty.
    let calibrationError (bins: ReliabilityPoint[]) : float =
        let total = bins |> Array.sumBy _.Count
        if total = 0 then
            nan
        else
            bins
            |> Array.filter (fun b -> b.Count > 0)
            |> Array.sumBy (fun b -> float b.Count / float total * abs (b.Confidence - b.Accuracy))

    let private height = 142.0

    let private share (bins: ReliabilityPoint[]) (b: ReliabilityPoint) = float b.Count / float (max 1 (bins |> Array.sumBy _.Count))

    /// The largest share of a stage's queries in one bin, over all stages.
    let private tallest (data: RunData) =
        stages data |> Array.map (fun (struct (_, bins)) -> bins |> Array.map (share bins) |> Array.max) |> Array.max

    let private panel (data: RunData) (stage: int) (bins: ReliabilityPoint[]) tallest first =
        let model = Panel.create $"{stage}: {data.ModelName(stage)}"
        let style = { Style.policy PolicyRegistry.Default with Width = 1.2 }
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
        let full = bins |> Array.filter _.IsFull
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
            match data.Table<FeatureQuality>() |> Array.tryFind (fun s -> s.Stage = stage && s.Feature = "calibrated") with
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

/// The pictures of docs/concepts.md, drawn from a real run: where each model stops, and what lambda does to that.
module ConceptFigures =

    let private inks = [| Style.sky; Style.blue; Style.orange; Style.vermillion; Style.purple; Style.green |]

    let private stages (data: RunData) = data.Table<ReliabilityPoint>() |> Array.map _.Stage |> Array.distinct |> Array.sort

    /// The listed price whose thresholds lie nearest to 0.6 on average, so that the picture shows both sides of each.
    let instructivePrice (data: RunData) : float option =
        data.Table<StageThreshold>()
        |> Array.filter (fun t -> t.Lambda > 0.0 && Double.IsFinite t.Threshold)
        |> Array.groupBy _.Lambda
        |> Array.map (fun (lambda, rows) -> lambda, abs (0.6 - Array.averageBy (fun (t: StageThreshold) -> t.Threshold) rows))
        |> Array.sortBy snd
        |> Array.tryHead
        |> Option.map fst

    let private threshold (data: RunData) (lambda: float) stage =
        data.Table<StageThreshold>()
        |> Array.tryFind (fun t -> t.Lambda = lambda && t.Stage = stage && Double.IsFinite t.Threshold)
        |> Option.map _.Threshold

    let private stoppingPanel (data: RunData) lambda stage first =
        let model = Panel.create $"{stage}: {data.ModelName(stage)}"
        Panel.addLinear (model, AxisPosition.Bottom, "calibrated confidence", -0.02, 1.03, 0.5)
        Panel.addLinear (model, AxisPosition.Left, (if first then "accuracy; share of queries" else ""), 0.0, 1.03, 0.5)
        let bins = data.Table<ReliabilityPoint>() |> Array.filter (fun b -> b.Stage = stage) |> Array.sortBy _.BinLow
        let total = bins |> Array.sumBy _.Count |> max 1
        let bars = RectangleBarSeries(FillColor = OxyColor.FromRgb(190uy, 190uy, 190uy), StrokeThickness = 0.0)
        for b in bins do
            bars.Items.Add(RectangleBarItem(b.BinLow + 0.006, 0.0, b.BinHigh - 0.006, float b.Count / float total))
        model.Series.Add bars
        match threshold data lambda stage with
        | Some t ->
            let style = Style.line ("", Style.green, LineStyle.Solid, 1.0)
            Panel.addBand (model, style, [| t; 1.0 |], [| 0.0; 0.0 |], [| 1.0; 1.0 |])
            Panel.addLine (model, style, LineStyle.Solid, 1.2, [| t; t |], [| 0.0; 1.0 |])
        | None -> ()
        let full = bins |> Array.filter _.IsFull
        let style = { Style.policy PolicyRegistry.Default with Width = 1.2 }
        Panel.addLine (model, style, LineStyle.Solid, style.Width, full |> Array.map _.Confidence, full |> Array.map _.Accuracy)
        Panel.addMarkers (model, style, 2.4, true, full |> Array.map _.Confidence, full |> Array.map _.Accuracy)
        model

    /// Where each model but the last stops: its queries by confidence (bars), how often it is right (dots), and the confidences
    /// at which the policy accepts its answer (shaded, right of the threshold). None without thresholds.
    let stopping (data: RunData) : Drawing option =
        let shown = stages data |> Array.filter (fun s -> s < (Array.append [| 0 |] (stages data) |> Array.max))
        match instructivePrice data with
        | Some lambda when shown.Length > 0 ->
            let width, height = Panel.twoColumns, 150.0
            let w = width / float shown.Length
            Some
                { Title = $"Where each model's answer is accepted, lambda = {Numbers.parameter lambda}"
                  Description =
                    "For each model but the last: share of queries by confidence (bars), accuracy (dots), and the confidences at "
                    + "which the policy stops (shaded)."
                  Width = width
                  Height = height
                  Draw =
                    fun rc ->
                        shown
                        |> Array.iteri (fun i stage ->
                            Panel.draw (rc, stoppingPanel data lambda stage (i = 0), w * float i, 0.0, w, height)) }
        | _ -> None

    /// What lambda does: thresholds fall as it grows (left), and cheaper models answer more of the queries (right). None
    /// where the run has fewer than two prices.
    let price (data: RunData) : Drawing option =
        let prices = data.Table<StopShare>() |> Array.map _.Lambda |> Array.filter (fun l -> l > 0.0) |> Array.distinct |> Array.sort
        let all = data.Table<StopShare>() |> Array.map _.Stage |> Array.distinct |> Array.sort
        if prices.Length < 2 then
            None
        else
            let low, high = Array.head prices, Array.last prices
            let style i (stage: int) = Style.line (data.ModelName(stage), inks[i % inks.Length], LineStyle.Solid, 1.4)
            let left =
                let model = Panel.create "thresholds"
                Panel.addLogarithmic (model, AxisPosition.Bottom, "lambda (quality per unit of cost)", low, high, 160.0)
                Panel.addLinear (model, AxisPosition.Left, "stop at this confidence and above", -0.02, 1.03, 0.5)
                all
                |> Array.iteri (fun i stage ->
                    let rows =
                        data.Table<StageThreshold>()
                        |> Array.filter (fun t -> t.Stage = stage && t.Lambda > 0.0 && Double.IsFinite t.Threshold)
                        |> Array.sortBy _.Lambda
                    if rows.Length > 1 then
                        let xs, ys = rows |> Array.map _.Lambda, rows |> Array.map _.Threshold
                        Panel.addLine (model, style i stage, LineStyle.Solid, 1.4, xs, ys)
                        Panel.addMarkers (model, { style i stage with Marker = MarkerType.Circle }, 1.8, true, xs, ys))
                model
            let right =
                let model = Panel.create "who answers"
                Panel.addLogarithmic (model, AxisPosition.Bottom, "lambda (quality per unit of cost)", low, high, 160.0)
                Panel.addLinear (model, AxisPosition.Left, "share of queries", 0.0, 1.0, 0.5)
                let share lambda stage =
                    data.Table<StopShare>()
                    |> Array.tryFind (fun s -> s.Lambda = lambda && s.Stage = stage)
                    |> Option.map _.Share
                    |> Option.defaultValue 0.0
                let mutable floor = Array.zeroCreate prices.Length
                all
                |> Array.iteri (fun i stage ->
                    let top = Array.map2 (fun below lambda -> below + share lambda stage) floor prices
                    let area =
                        AreaSeries(
                            Color = OxyColors.White,
                            Fill = OxyColor.FromAColor(200uy, (style i stage).Color),
                            StrokeThickness = 0.6
                        )
                    area.Points.AddRange(Array.map2 (fun x y -> DataPoint(x, y)) prices floor)
                    area.Points2.AddRange(Array.map2 (fun x y -> DataPoint(x, y)) prices top)
                    model.Series.Add area
                    floor <- top)
                model
            let entries = all |> Array.mapi (fun i stage -> { Style = { style i stage with Width = 3.0 }; Filled = true; Band = false })
            let height = 160.0
            Some
                { Title = "What the price of cost does"
                  Description = "Left: the threshold of each model against lambda. Right: share of queries that each model answers."
                  Width = Panel.twoColumns
                  Height = height + 6.0 + Panel.legendHeight (entries.Length, 4)
                  Draw =
                    fun rc ->
                        let w = Panel.twoColumns / 2.0
                        Panel.draw (rc, left, 0.0, 0.0, w, height)
                        Panel.draw (rc, right, w, 0.0, w, height)
                        Panel.drawLegend (rc, entries, 4.0, height + 4.0, Panel.twoColumns - 8.0) }

/// The figures of a run.
module RunFigures =

    /// Name of the files, and the drawing where the run has what it shows.
    let all: (string * (RunData -> Drawing option)) list =
        [ "figure1a", Figure1a.drawing
          "figure1b", Figure1b.drawing
          "reliability", ReliabilityFigure.drawing
          "speculative", SpeculativeFigure.drawing
          "stopping", ConceptFigures.stopping
          "price", ConceptFigures.price ]
