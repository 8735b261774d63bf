namespace OptimalStopping.Reports

open System

/// The parts of the report as HTML. A chart is an empty element here, which the page's script fills by its id.
module ReportSections =

    let private escape = ReportTables.escape

    let private figure id (label: string) = $"<div class=\"chart\" id=\"{id}\" role=\"img\" aria-label=\"{escape label}\"></div>\n"

    let private grid kind (items: seq<string>) = $"<div class=\"grid {kind}\">\n" + String.Concat items + "</div>\n"

    let private titled heading chart = $"<div><h3>{heading}</h3>\n{chart}</div>\n"

    let private hasCalibration (data: RunData) = data.Reliability.Length + data.Signals.Length > 0

    /// Stages that have a reliability diagram, in order.
    let reliabilityStages (data: RunData) : int[] = ReliabilityFigure.stages data |> Array.map (fun (struct (stage, _)) -> stage)

    /// Stages that have a map of accuracies, in order.
    let mapStages (data: RunData) : int[] = data.Stages |> Array.map _.Stage |> Array.distinct |> Array.sort

    /// The headline numbers as cards.
    let headlines (data: RunData) : string =
        let card (h: Headline) =
            "<article class=\"card\">"
            + $"<b>{escape h.Value}</b><span>{escape h.Meaning}</span><small>{escape h.Detail}</small></article>\n"
        match Headlines.all data with
        | [||] -> ""
        | all ->
            let rules = Table1.rules data |> Option.map (fun text -> $"<p class=\"rules\">{ReportTables.prose text}</p>\n")
            "<div class=\"cards\">\n" + (all |> Array.map card |> String.concat "") + "</div>\n" + Option.defaultValue "" rules

    /// What of the page was measured, and what was simulated.
    let provenance (data: RunData) : string =
        let italic instance = $"<i>{escape (Figure1a.heading instance)}</i>"
        let simulated, recorded = Figure1a.instances data |> Array.partition RunData.isSimulated
        let measured =
            [| if data.Tradeoff.Length > 0 then "quality against cost"
               if data.Comparisons.Length > 0 then "the comparisons"
               if hasCalibration data then "calibration"
               if data.Stages.Length > 0 then "accuracy by task"
               for instance in recorded do
                   $"regret on {italic instance}" |]
        let unit =
            match RunData.costUnit data with
            | "" -> "Costs are per query, in the unit of the recorded costs."
            | _ -> "Costs are per query, in units of the cheapest model."
        let list (items: string[]) = String.Join(", ", items)
        [| if measured.Length > 0 then
               $"<p><strong>Measured</strong> on recorded answers of the models: {list measured}. "
               + $"Intervals are 95 %% intervals. {unit}</p>"
           if simulated.Length > 0 then
               "<p><strong>Simulated</strong>, with queries drawn from a known distribution by a seeded generator: regret on "
               + $"{list (Array.map italic simulated)}. These check the theory and say nothing about real models.</p>"
           else
               "<p>Nothing on this page is simulated.</p>" |]
        |> String.concat "\n"

    let private slider =
        "<div class=\"slider\" hidden>\n"
        + "<label for=\"lambda\">price of cost λ = <output id=\"lambda-value\"></output></label>\n"
        + "<input id=\"lambda\" type=\"range\" min=\"0\" step=\"1\">\n"
        + "<p id=\"lambda-text\" aria-live=\"polite\"></p>\n<div id=\"stops\"></div>\n</div>\n"

    let private tradeoff =
        "<p>Up and to the left is better. Move the slider: a larger λ makes cost count more. Tap a name in the legend to "
        + "hide its curve; the oracle looks at the qualities before it chooses, so no policy can reach it.</p>\n"
        + slider
        + figure "tradeoff" "Quality against cost for each policy"

    let private regret (data: RunData) =
        let chart i instance =
            let heading = Figure1a.heading instance
            let kind, word = if RunData.isSimulated instance then "badge", "simulated" else "badge measured", "recorded"
            titled $"{escape heading} <span class=\"{kind}\">{word}</span>" (figure $"regret-{i}" $"Cumulative regret, {heading}")
        "<p>Both axes are logarithmic. Solid lines are means over seeds with 95 % bands, dashed lines the a-priori bounds, "
        + "dotted lines certificates computed from the run itself.</p>\n"
        + grid "wide" (Figure1a.instances data |> Seq.mapi chart)
        + (if data.Slopes.Length > 0 then ReportTables.slopes data else "")

    let private perStage (data: RunData) prefix label (stages: int[]) =
        grid
            "narrow"
            (stages
             |> Seq.map (fun stage ->
                 let name = RunData.modelName data stage
                 titled $"{stage}: {escape name}" (figure $"{prefix}-{stage}" $"{label} of {name}")))

    let private calibration (data: RunData) =
        "<p>On the dashed diagonal a confidence of 0.8 is right 80 times in 100.</p>\n"
        + (if data.Reliability.Length > 0 then perStage data "reliability" "Reliability" (reliabilityStages data) else "")
        + (if data.Signals.Length > 0 then ReportTables.signals data else "")

    let private accuracy (data: RunData) =
        "<p>Share of queries answered right; tap a cell for the number of queries and of tokens.</p>\n"
        + perStage data "accuracy" "Accuracy" (mapStages data)

    /// Every section for which the run has data: id, title and content.
    let all (data: RunData) : struct (string * string * string)[] =
        [| if data.Tradeoff.Length > 0 then struct ("tradeoff-section", "Quality against cost", tradeoff)
           if data.Regret.Length > 0 then struct ("regret-section", "Regret", regret data)
           if data.Comparisons.Length > 0 then
               let text = $"<p>{ReportTables.caption data}</p>\n"
               struct ("comparisons", "Comparison with baselines", text + ReportTables.comparisons data)
           if hasCalibration data then struct ("calibration", "Calibration", calibration data)
           if data.Stages.Length > 0 then struct ("accuracy", "Accuracy by task and level", accuracy data)
           if data.SpeculationTimes.Length + data.DraftFeatures.Length > 0 then
               struct ("speculative", "Speculative decoding", SpeculativeTables.all data)
           if data.Manifest.Length > 0 then struct ("manifest", "How it was run", ReportTables.manifest data) |]
