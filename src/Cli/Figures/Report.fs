namespace OptimalStopping.Cli.Plots

open System
open System.Collections.Generic
open System.IO
open System.Reflection
open System.Text.Encodings.Web
open System.Text.Json
open Plotly.NET

/// report.html: the whole run on one page, with interactive charts. The page holds everything it needs (plotly.js
/// too), and its content security policy forbids every request, so that it works offline and tells nobody.
module Report =

    let private resource (assembly: Assembly) (matches: string -> bool) =
        let name = assembly.GetManifestResourceNames() |> Array.find matches
        match assembly.GetManifestResourceStream name with
        | null -> invalidOp $"the program lacks its resource {name}"
        | stream ->
            use reader = new StreamReader(stream)
            reader.ReadToEnd()

    let private own name = resource (Assembly.GetExecutingAssembly()) ((=) name)

    let private plotly =
        lazy
            (resource typeof<GenericChart>.Assembly (fun name -> name.Contains "plotly-" && name.EndsWith(".min.js", StringComparison.Ordinal)))

    let private escape = ReportTables.escape

    /// JSON inside a script element: "<" is written as an escape, so that no text can close the element.
    let private json (value: obj) =
        let options = JsonSerializerOptions(Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)
        JsonSerializer.Serialize(value, options).Replace("<", "\\u003c")

    let private section id title (body: string) =
        $"<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n"

    let private figure id (label: string) = $"<div class=\"chart\" id=\"{id}\" role=\"img\" aria-label=\"{escape label}\"></div>\n"

    let private grid kind (items: seq<string>) = $"<div class=\"grid {kind}\">\n" + String.Concat items + "</div>\n"

    let private headlines (data: RunData) =
        let card (h: Headline) =
            $"<article class=\"card\"><b>{escape h.Value}</b><span>{escape h.Meaning}</span><small>{escape h.Detail}</small></article>\n"
        match Headlines.all data with
        | [||] -> ""
        | all -> "<div class=\"cards\">\n" + (all |> Array.map card |> String.concat "") + "</div>\n"

    let private provenance (data: RunData) =
        let simulated = Figure1a.instances data |> Array.filter RunData.isSimulated
        let recorded = Figure1a.instances data |> Array.filter (RunData.isSimulated >> not)
        let measured =
            [| if data.Tradeoff.Length > 0 then "quality against cost"
               if data.Comparisons.Length > 0 then "the comparisons"
               if data.Reliability.Length + data.Signals.Length > 0 then "calibration"
               if data.Stages.Length > 0 then "accuracy by task"
               for name in recorded do $"regret on <i>{escape (Figure1a.heading name)}</i>" |]
        let list (items: string[]) = String.Join(", ", items)
        [| if measured.Length > 0 then
               $"<p><strong>Measured</strong> on recorded answers of the models: {list measured}. "
               + "Intervals are 95 % intervals. Costs are in units of the cheapest model.</p>"
           if simulated.Length > 0 then
               let names = simulated |> Array.map (Figure1a.heading >> escape >> fun n -> $"<i>{n}</i>") |> list
               $"<p><strong>Simulated</strong>, with queries drawn from a known law by a seeded generator: regret on {names}. "
               + "These check the theory and say nothing about real models.</p>"
           else "<p>Nothing on this page is simulated.</p>" |]
        |> String.concat "\n"

    let private slider =
        "<div class=\"slider\" hidden>\n<label for=\"lambda\">price of cost λ = <output id=\"lambda-value\"></output></label>\n"
        + "<input id=\"lambda\" type=\"range\" min=\"0\" step=\"1\">\n"
        + "<p id=\"lambda-text\" aria-live=\"polite\"></p>\n<div id=\"stops\"></div>\n</div>\n"

    let private tradeoff (data: RunData) =
        "<p>Up and to the left is better. Move the slider: a larger λ makes cost count more. Tap a name in the legend to hide its curve; "
        + "the oracle looks at the qualities before it chooses, so no policy can reach it.</p>\n"
        + slider + figure "tradeoff" "Quality against cost for each policy"

    let private regret (data: RunData) =
        let chart i instance =
            let badge = if RunData.isSimulated instance then "<span class=\"badge\">simulated</span>" else "<span class=\"badge measured\">recorded</span>"
            let heading = escape (Figure1a.heading instance)
            $"<div><h3>{heading} {badge}</h3>\n" + figure $"regret-{i}" $"Cumulative regret, {Figure1a.heading instance}" + "</div>\n"
        "<p>Both axes are logarithmic. Solid lines are means over seeds with 95 % bands, dashed lines the a-priori bounds, dotted lines certificates "
        + "computed from the run itself.</p>\n"
        + grid "wide" (Figure1a.instances data |> Seq.mapi chart)
        + (if data.Slopes.Length > 0 then ReportTables.slopes data else "")

    let private perStage prefix (stages: int[]) (data: RunData) label =
        grid "narrow" (
            stages |> Seq.map (fun stage ->
                let name = RunData.modelName data stage
                $"<div><h3>{stage}: {escape name}</h3>\n" + figure $"{prefix}-{stage}" $"{label} of {name}" + "</div>\n"))

    let private reliabilityStages (data: RunData) = ReliabilityFigure.stages data |> Array.map (fun (struct (stage, _)) -> stage)

    let private mapStages (data: RunData) = data.Stages |> Array.map _.Stage |> Array.distinct |> Array.sort

    let private sections (data: RunData) =
        [| if data.Tradeoff.Length > 0 then "tradeoff-section", "Quality against cost", tradeoff data
           if data.Regret.Length > 0 then "regret-section", "Regret", regret data
           if data.Comparisons.Length > 0 then
               "comparisons", "Comparison with baselines", $"<p>{ReportTables.caption data}</p>\n" + ReportTables.comparisons data
           if data.Reliability.Length + data.Signals.Length > 0 then
               "calibration", "Calibration",
               "<p>On the dashed diagonal a confidence of 0.8 is right 80 times in 100.</p>\n"
               + (if data.Reliability.Length > 0 then perStage "reliability" (reliabilityStages data) data "Reliability" else "")
               + (if data.Signals.Length > 0 then ReportTables.signals data else "")
           if data.Stages.Length > 0 then
               "accuracy", "Accuracy by task and level",
               "<p>Share of queries answered right; tap a cell for the number of queries and of tokens.</p>\n" + perStage "accuracy" (mapStages data) data "Accuracy"
           if data.Manifest.Length > 0 then "manifest", "How it was run", ReportTables.manifest data |]

    let private charts (data: RunData) =
        let charts = Dictionary<string, JsonElement>()
        let add id (chart: GenericChart) =
            use document = JsonDocument.Parse(GenericChart.toFigureJson chart)
            charts[id] <- document.RootElement.Clone()
        if data.Tradeoff.Length > 0 then add "tradeoff" (ReportCharts.tradeoff data)
        Figure1a.instances data |> Array.iteri (fun i instance -> add $"regret-{i}" (ReportCharts.regret (data, instance)))
        for stage in reliabilityStages data do add $"reliability-{stage}" (ReportCharts.reliability (data, stage))
        for stage in mapStages data do add $"accuracy-{stage}" (ReportCharts.heatMap (data, stage))
        charts

    /// What the slider shows: our operating points by lambda, with the stages' shares and thresholds where known.
    let private settings (data: RunData) =
        let orNull x = if Double.IsFinite x then Nullable x else Nullable()
        data.Tradeoff
        |> Array.filter (fun p -> p.Policy = Style.ours && Double.IsFinite p.Lambda)
        |> Array.sortBy _.Lambda
        |> Array.map (fun p ->
            let threshold stage =
                data.Thresholds
                |> Array.tryFind (fun t -> t.Lambda = p.Lambda && t.Stage = stage)
                |> Option.map (fun t -> orNull t.Threshold)
                |> Option.defaultValue (Nullable())
            {| lambda = Numbers.parameter p.Lambda; cost = p.Cost; quality = p.Quality
               costRange = $"{Numbers.decimals (2, p.CostLow)} to {Numbers.decimals (2, p.CostHigh)}"
               qualityRange = $"{Numbers.decimals (3, p.QualityLow)} to {Numbers.decimals (3, p.QualityHigh)}"
               stops =
                data.Stops
                |> Array.filter (fun s -> s.Lambda = p.Lambda)
                |> Array.sortBy _.Stage
                |> Array.map (fun s ->
                    {| model = RunData.modelName data s.Stage; share = s.Share; threshold = threshold s.Stage |}) |})

    /// The page as text.
    let html (data: RunData) : string =
        let parts = sections data
        let links = parts |> Array.map (fun (id, title, _) -> $"<a href=\"#{id}\">{title}</a>") |> String.concat "\n"
        let body = parts |> Array.map (fun (id, title, body) -> section id title body) |> String.concat ""
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
        String.concat "\n" [
            "<!DOCTYPE html>"
            "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"
            $"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
            "<title>Optimal Stopping Toolkit: report</title>"
            "<style>\n" + own "report.css" + "</style>\n</head>\n<body>"
            "<header>\n<h1>Optimal stopping on a ladder of language models</h1>"
            "<button id=\"theme\" type=\"button\">light / dark</button>\n</header>"
            $"<nav aria-label=\"Sections\">{links}</nav>\n<main>"
            headlines data
            $"<section class=\"provenance\">{provenance data}</section>"
            "<noscript><p>The charts need JavaScript; the same figures lie beside this page as SVG, PDF and PNG.</p></noscript>"
            body
            "</main>\n<footer>Written by the Optimal Stopping Toolkit from the CSV files beside this page. "
            + "Charts by plotly.js (MIT licence), contained in this file.</footer>"
            $"<script>\n{plotly.Value}\n</script>"
            $"<script type=\"application/json\" id=\"figures\">{json (charts data)}</script>"
            $"<script type=\"application/json\" id=\"settings\">{json (settings data)}</script>"
            "<script>\n" + own "report.js" + "</script>"
            "</body>\n</html>\n"
        ]
