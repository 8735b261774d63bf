namespace OptimalStopping.Reports

open OxyPlot
open OxyPlot.Axes
open OptimalStopping.Experiments

/// Figure 1a: cumulative regret against rounds, both axes logarithmic, one panel for each instance. Solid lines are
/// means over seeds with their 95 % bands, dashed lines the a-priori bounds of the matching theorems, the dotted line
/// the data-dependent certificate; the number at the end of a line is its slope.
module Figure1a =

    /// Learners of a file in the order of the legend (NEST first, then as they come) with their styles.
    let learners (data: RunData) : struct (string * string * CurveStyle)[] =
        data.Table<RegretPoint>()
        |> Array.map (fun p -> p.Learner, p.Feedback)
        |> Array.distinct
        |> Array.sortBy (fun (learner, _) -> if Style.isNest learner then 0 else 1)
        |> Array.mapi (fun i (learner, feedback) -> struct (learner, feedback, Style.learner (i, learner, feedback)))

    /// Instances with the recorded cascade first; the others keep the order of the file.
    let instances (data: RunData) : string[] =
        data.Table<RegretPoint>()
        |> Array.map _.Instance
        |> Array.distinct
        |> Array.sortBy (fun name -> if RegretPoint.IsSimulated name then 1 else 0)

    /// Heading of an instance's panel: says in words whether the queries were recorded or simulated.
    let heading (instance: string) : string =
        if RegretPoint.IsSimulated instance then
            match instance.Substring("simulated".Length).Trim('-', ' ') with
            | "" -> "Simulated"
            | rest -> $"Simulated: {rest}"
        elif instance = "recorded" then
            "Recorded cascade"
        else
            $"Recorded: {instance}"

    let private height = 168.0
    let private right = 24.0

    let private positive (value: float) = value > 0.0

    /// Learner whose certificate is drawn: more than one would hide the rest.
    let private certified (data: RunData) =
        learners data
        |> Array.tryFind (fun (struct (learner, feedback, _)) ->
            data.Table<RegretPoint>() |> Array.exists (fun p -> p.Learner = learner && p.Feedback = feedback && positive p.Certificate))
        |> Option.map (fun (struct (learner, feedback, _)) -> learner, feedback)

    /// The plot of one instance and the labels at the ends of its lines: style, T, regret and text.
    let private panel (data: RunData) (instance: string) first =
        let all = data.Table<RegretPoint>() |> Array.filter (fun p -> p.Instance = instance)
        let model = Panel.create (heading instance)
        model.PlotMargins <- OxyThickness(34.0, nan, right, nan)
        let shown = all |> Array.collect (fun p -> [| p.Mean; p.Bound |]) |> Array.filter positive
        let low, high = (if shown.Length = 0 then 0.1, 1.0 else Array.min shown, Array.max shown)
        let floor, ceiling = low / 1.5, high * 1.2
        // A band that reaches 0 or less has no place on a logarithmic axis: it leaves the panel at the bottom.
        let below = floor / 10.0
        let ts = all |> Array.map _.T
        Panel.addLogarithmic (model, AxisPosition.Bottom, "rounds T (queries)", Array.min ts, Array.max ts, 105.0)
        let title = if first then "cumulative regret (utility)" else ""
        Panel.addLogarithmic (model, AxisPosition.Left, title, floor, ceiling, height - 45.0)
        let ends = ResizeArray()
        for struct (learner, feedback, style) in learners data do
            let rows = all |> Array.filter (fun p -> p.Learner = learner && p.Feedback = feedback) |> Array.sortBy _.T
            let line keep (value: RegretPoint -> float) dash width =
                let kept = rows |> Array.filter (fun p -> keep p && positive (value p))
                if kept.Length > 1 then Panel.addLine (model, style, dash, width, kept |> Array.map _.T, kept |> Array.map value)
            let above = rows |> Array.filter (fun p -> positive p.Mean)
            let band = above |> Array.filter (fun p -> positive p.Upper)
            Panel.addBand (
                model,
                style,
                band |> Array.map _.T,
                band |> Array.map (fun p -> if p.Lower > below then p.Lower else below),
                band |> Array.map _.Upper
            )
            line (fun _ -> true) _.Bound LineStyle.Dash 0.8
            if certified data = Some(learner, feedback) then line (fun _ -> true) _.Certificate LineStyle.Dot 1.0
            line (fun _ -> true) _.Mean style.Dash style.Width
            // Some points carry a marker; the bounds' are open, so that grey print can tell whose they are.
            let every parts (points: RegretPoint[]) =
                let step = max 1 (points.Length / parts)
                points |> Array.indexed |> Array.filter (fun (i, _) -> (points.Length - 1 - i) % step = 0) |> Array.map snd
            let bounded = rows |> Array.filter (fun p -> positive p.Bound) |> every 3
            Panel.addMarkers (model, style, 1.6, false, bounded |> Array.map _.T, bounded |> Array.map _.Bound)
            let marked = every 6 above
            Panel.addMarkers (model, style, 2.4, true, marked |> Array.map _.T, marked |> Array.map _.Mean)
            let slope =
                data.Table<RegretGrowth>() |> Array.tryFind (fun s -> s.Instance = instance && s.Learner = learner && s.Feedback = feedback)
            match slope, Array.tryLast above with
            | Some slope, Some last when System.Double.IsFinite slope.Slope -> ends.Add(struct (style, last, slope.Slope.ToString "0.00"))
            | _ -> ()
        let decades = log10 (ceiling / floor)
        let gap = decades * 8.0 / (height - 60.0)
        let placed = Panel.spread ([| for struct (_, last: RegretPoint, _) in ends -> log10 last.Mean |], gap)
        model,
        [| for i in 0 .. ends.Count - 1 ->
               let struct (style: CurveStyle, last, text) = ends[i]
               struct (style, last.T, 10.0 ** placed[i], text) |]

    let private legend (data: RunData) : LegendEntry[] =
        let reference label dash = { Style = Style.line (label, Style.grey, dash, 0.9); Filled = false; Band = false }
        [| for struct (_, _, style) in learners data do
               { Style = style; Filled = true; Band = true }
           if data.Table<RegretPoint>() |> Array.exists (fun p -> positive p.Bound) then reference "a-priori bound" LineStyle.Dash
           if (certified data).IsSome then reference "certificate" LineStyle.Dot
           if data.Table<RegretGrowth>().Length > 0 then reference "numbers: log-log slopes" LineStyle.None |]

    /// The figure, or None where the run has no regret experiment.
    let drawing (data: RunData) : Drawing option =
        let names = instances data
        if names.Length = 0 then
            None
        else
            let columns = min 3 names.Length
            let rows = (names.Length + columns - 1) / columns
            let width = if columns = 1 then Panel.oneColumn else Panel.twoColumns
            let entries = legend data
            let legendTop = height * float rows + 4.0
            let seeds = data.Table<RegretPoint>() |> Array.map _.Seeds |> Array.max
            let simulated = names |> Array.filter RegretPoint.IsSimulated |> Array.length
            Some
                { Title = "Figure 1a: cumulative regret against rounds"
                  Description =
                    $"Cumulative regret, mean over {seeds} seeds with 95 %% bands, on {names.Length - simulated} recorded "
                    + $"and {simulated} simulated instances, both axes logarithmic; dashed lines are the a-priori bounds."
                  Width = width
                  Height = legendTop + Panel.legendHeight (entries.Length, (if columns = 1 then 2 else 3))
                  Draw =
                    fun rc ->
                        names
                        |> Array.iteri (fun i name ->
                            let w = width / float columns
                            let model, labels = panel data name (i % columns = 0)
                            Panel.draw (rc, model, w * float (i % columns), height * float (i / columns), w, height)
                            for struct (style, t, regret, text) in labels do
                                Panel.write (rc, model, style, text, t, regret, 6.0))
                        Panel.drawLegend (rc, entries, 4.0, legendTop, width - 8.0) }
