namespace OptimalStopping.Reports

open System
open OxyPlot
open OxyPlot.Axes
open OxyPlot.Series

/// The pictures of docs/concepts.md, drawn from a real run: where each model stops, and what lambda does to that.
module ConceptFigures =

    let private inks = [| Style.sky; Style.blue; Style.orange; Style.vermillion; Style.purple; Style.green |]

    let private stages (data: RunData) = data.Reliability |> Array.map _.Stage |> Array.distinct |> Array.sort

    /// The listed price whose thresholds lie nearest to 0.6 on average, so that the picture shows both sides of each.
    let instructivePrice (data: RunData) : float option =
        data.Thresholds
        |> Array.filter (fun t -> t.Lambda > 0.0 && Double.IsFinite t.Threshold)
        |> Array.groupBy _.Lambda
        |> Array.map (fun (lambda, rows) -> lambda, abs (0.6 - Array.averageBy (fun (t: StageThreshold) -> t.Threshold) rows))
        |> Array.sortBy snd
        |> Array.tryHead
        |> Option.map fst

    let private threshold (data: RunData) (lambda: float) stage =
        data.Thresholds
        |> Array.tryFind (fun t -> t.Lambda = lambda && t.Stage = stage && Double.IsFinite t.Threshold)
        |> Option.map _.Threshold

    let private stoppingPanel (data: RunData) lambda stage first =
        let model = Panel.create $"{stage}: {RunData.modelName data stage}"
        Panel.addLinear (model, AxisPosition.Bottom, "calibrated confidence", -0.02, 1.03, 0.5)
        Panel.addLinear (model, AxisPosition.Left, (if first then "accuracy; share of queries" else ""), 0.0, 1.03, 0.5)
        let bins = data.Reliability |> Array.filter (fun b -> b.Stage = stage) |> Array.sortBy _.BinLow
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
        let full = bins |> Array.filter ReliabilityFigure.isFull
        let style = { Style.policy Style.ours with Width = 1.2 }
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
        let prices = data.Stops |> Array.map _.Lambda |> Array.filter (fun l -> l > 0.0) |> Array.distinct |> Array.sort
        let all = data.Stops |> Array.map _.Stage |> Array.distinct |> Array.sort
        if prices.Length < 2 then
            None
        else
            let low, high = Array.head prices, Array.last prices
            let style i (stage: int) = Style.line (RunData.modelName data stage, inks[i % inks.Length], LineStyle.Solid, 1.4)
            let left =
                let model = Panel.create "thresholds"
                Panel.addLogarithmic (model, AxisPosition.Bottom, "lambda (quality per unit of cost)", low, high, 160.0)
                Panel.addLinear (model, AxisPosition.Left, "stop at this confidence and above", -0.02, 1.03, 0.5)
                all
                |> Array.iteri (fun i stage ->
                    let rows =
                        data.Thresholds
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
                    data.Stops
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
