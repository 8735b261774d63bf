namespace OptimalStopping.Reports

open System
open OxyPlot
open OxyPlot.Axes
open OptimalStopping.Experiments

/// Speculative decoding with the last model as target, in four panels: tokens per forward against draft length with the
/// formula, acceptance by position, speed-up with the adaptive length beside the fixed ones, and the front of the
/// cascade with and without reuse of the earlier answer.
module SpeculativeFigure =

    let private palette = [| Style.blue; Style.vermillion; Style.green; Style.purple; Style.orange; Style.sky |]
    let private shapes =
        [| MarkerType.Circle; MarkerType.Square; MarkerType.Triangle; MarkerType.Diamond; MarkerType.Cross; MarkerType.Plus |]

    let private style index label =
        { Style.line (label, palette[index % palette.Length], LineStyle.Solid, 1.0) with Marker = shapes[index % 4] }

    let private target (data: RunData) =
        if data.Table<SpeculationTime>().Length > 0 then (Array.last (data.Table<SpeculationTime>())).Target
        elif data.Table<SpeculationCount>().Length > 0 then (Array.last (data.Table<SpeculationCount>())).Target
        else ""

    /// The chains of the last target that draft with models or lookup, in the order of the file.
    let private chains (data: RunData) =
        data.Table<SpeculationCount>() |> Array.filter (fun c -> c.Target = target data) |> Array.map _.Chain |> Array.distinct

    let private span (values: float[]) =
        let finite = values |> Array.filter Double.IsFinite
        if finite.Length = 0 then
            0.0, 1.0
        else
            let low, high = Array.min finite, Array.max finite
            let pad = max 1e-3 (0.06 * (high - low))
            low - pad, high + pad

    let private plot title (x: string) (y: string) (xs: float[]) (ys: float[]) =
        let model = Panel.create title
        let x0, x1 = span xs
        let y0, y1 = span ys
        Panel.addLinear (model, AxisPosition.Bottom, x, x0, x1, nan)
        Panel.addLinear (model, AxisPosition.Left, y, y0, y1, nan)
        model

    let private curve (model: PlotModel) style dash (points: (float * float)[]) =
        let points = points |> Array.filter (fun (_, y) -> Double.IsFinite y)
        Panel.addLine (model, style, dash, 0.9, Array.map fst points, Array.map snd points)

    let private marks (model: PlotModel) style (points: (float * float)[]) =
        let points = points |> Array.filter (fun (_, y) -> Double.IsFinite y)
        Panel.addMarkers (model, style, 2.2, true, Array.map fst points, Array.map snd points)

    let private tokens (data: RunData) =
        let rows = data.Table<SpeculationCount>() |> Array.filter (fun c -> c.Target = target data)
        let model =
            plot
                "tokens per forward"
                "draft length"
                "tokens"
                (rows |> Array.map (fun r -> float r.Length))
                (Array.append (rows |> Array.map _.TokensPerForward) (rows |> Array.map _.FormulaFinite))
        for i, chain in Array.indexed (chains data) do
            let own = rows |> Array.filter (fun r -> r.Chain = chain)
            let s = style i chain
            curve model s LineStyle.Dash (own |> Array.map (fun r -> float r.Length, r.FormulaFinite))
            marks model s (own |> Array.map (fun r -> float r.Length, r.TokensPerForward))
        model

    let private positions (data: RunData) =
        let longest = data.Table<SpeculationPosition>() |> Array.filter (fun p -> p.Target = target data && p.Tested >= 30)
        let of' chain =
            let own = longest |> Array.filter (fun p -> p.Chain = chain)
            if own.Length = 0 then
                [||]
            else
                let most = own |> Array.map _.Length |> Array.max
                own |> Array.filter (fun p -> p.Length = most) |> Array.map (fun p -> float p.Position, p.Acceptance)
        let all = chains data |> Array.collect of'
        let model = plot "acceptance by position" "position in the draft" "acceptance" (Array.map fst all) (Array.map snd all)
        for i, chain in Array.indexed (chains data) do
            curve model (style i chain) LineStyle.Solid (of' chain)
            marks model (style i chain) (of' chain)
        model

    let private speedups (data: RunData) =
        let rows = data.Table<SpeculationTime>() |> Array.filter (fun t -> t.Target = target data && t.Length <> "none")
        let fixedOnly = rows |> Array.filter (fun t -> t.Length <> "adaptive")
        let lengths = fixedOnly |> Array.map (fun t -> float t.Length)
        let model =
            plot
                "speed-up (dashed: adaptive)"
                "draft length"
                "times plain decoding"
                lengths
                (Array.append [| 1.0 |] (rows |> Array.map _.Speedup))
        for i, chain in Array.indexed (chains data) do
            let s = style i chain
            let own = fixedOnly |> Array.filter (fun t -> t.Chain = chain) |> Array.map (fun t -> float t.Length, t.Speedup)
            curve model s LineStyle.Solid own
            marks model s own
            for t in rows |> Array.filter (fun t -> t.Chain = chain && t.Length = "adaptive") do
                curve model s LineStyle.Dash [| Array.min lengths, t.Speedup; Array.max lengths, t.Speedup |]
        model

    let private reuse (data: RunData) =
        let model =
            plot
                "cascade (open: drafts not reused)"
                "mean cost per query"
                "quality"
                (data.Table<ReusePoint>() |> Array.map _.Cost)
                (data.Table<ReusePoint>() |> Array.map _.Quality)
        for reused in [ false; true ] do
            let points = data.Table<ReusePoint>() |> Array.filter (fun p -> p.Reuse = reused) |> Array.sortBy _.Cost
            let s = { Style.line ("", (if reused then Style.blue else Style.grey), LineStyle.Solid, 1.0) with Marker = MarkerType.Circle }
            let xs, ys = points |> Array.map _.Cost, points |> Array.map _.Quality
            Panel.addLine (model, s, (if reused then LineStyle.Solid else LineStyle.Dash), 1.0, xs, ys)
            Panel.addMarkers (model, s, 1.9, reused, xs, ys)
        model

    let private width = Panel.twoColumns
    let private height = 150.0

    /// The figure, or None where the run has no speculative experiment.
    let drawing (data: RunData) : Drawing option =
        let panels =
            [| if data.Table<SpeculationCount>().Length > 0 then tokens
               if data.Table<SpeculationPosition>().Length > 0 then positions
               if data.Table<SpeculationTime>().Length > 0 then speedups
               if data.Table<ReusePoint>().Length > 0 then reuse |]
        if panels.Length = 0 then
            None
        else
            let entries =
                chains data
                |> Array.mapi (fun i chain -> { Style = style i (chain.Replace(">", " > ")); Filled = true; Band = false }: LegendEntry)
            let rows = (panels.Length + 1) / 2
            let wide = width / 2.0
            Some
                { Title = "Speculative decoding"
                  Description =
                    $"Speculative decoding for {target data}: tokens per forward with the formula (dashed), acceptance by position, "
                    + "speed-up over plain decoding, and quality against cost of the cascade with and without reuse of drafts."
                  Width = width
                  Height = height * float rows + 8.0 + Panel.legendHeight (entries.Length, 3)
                  Draw =
                    fun rc ->
                        panels
                        |> Array.iteri (fun i panel ->
                            Panel.draw (rc, panel data, wide * float (i % 2), height * float (i / 2), wide, height))
                        Panel.drawLegend (rc, entries, 4.0, height * float rows + 4.0, width - 8.0) }
