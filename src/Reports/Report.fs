namespace OptimalStopping.Reports

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

    let internal own name = resource (Assembly.GetExecutingAssembly()) ((=) name)

    let internal plotly =
        lazy
            (resource typeof<GenericChart>.Assembly (fun name ->
                name.Contains "plotly-" && name.EndsWith(".min.js", StringComparison.Ordinal)))

    /// JSON inside a script element: "<" is written as an escape, so that no text can close the element.
    let internal json (value: obj) =
        let options = JsonSerializerOptions(Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)
        JsonSerializer.Serialize(value, options).Replace("<", "\\u003c")

    let private charts (data: RunData) =
        let charts = Dictionary<string, JsonElement>()
        let add id (chart: GenericChart) =
            use document = JsonDocument.Parse(GenericChart.toFigureJson chart)
            charts[id] <- document.RootElement.Clone()
        if data.Tradeoff.Length > 0 then add "tradeoff" (ReportCharts.tradeoff data)
        for i, instance in Array.indexed (Figure1a.instances data) do
            add $"regret-{i}" (ReportCharts.regret (data, instance))
        for stage in ReportSections.reliabilityStages data do
            add $"reliability-{stage}" (ReportCharts.reliability (data, stage))
        for stage in ReportSections.mapStages data do
            add $"accuracy-{stage}" (ReportCharts.heatMap (data, stage))
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
            {| lambda = Numbers.parameter p.Lambda
               cost = p.Cost
               quality = p.Quality
               costRange = $"{Numbers.decimals (2, p.CostLow)} to {Numbers.decimals (2, p.CostHigh)}"
               qualityRange = $"{Numbers.decimals (3, p.QualityLow)} to {Numbers.decimals (3, p.QualityHigh)}"
               stops =
                data.Stops
                |> Array.filter (fun s -> s.Lambda = p.Lambda)
                |> Array.sortBy _.Stage
                |> Array.map (fun s -> {| model = RunData.modelName data s.Stage; share = s.Share; threshold = threshold s.Stage |}) |})

    /// The page as text.
    let html (data: RunData) : string =
        let sections = ReportSections.all data
        let links = sections |> Array.map (fun (struct (id, title, _)) -> $"<a href=\"#{id}\">{title}</a>") |> String.concat "\n"
        let body =
            sections
            |> Array.map (fun (struct (id, title, body)) -> $"<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")
            |> String.concat ""
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
        String.concat
            "\n"
            [ "<!DOCTYPE html>"
              "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"
              $"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
              "<title>Optimal Stopping Toolkit: report</title>"
              "<style>\n" + own "report.css" + "</style>\n</head>\n<body>"
              "<header>\n<h1>Optimal stopping on a cascade of language models</h1>"
              "<button id=\"theme\" type=\"button\">light / dark</button>\n</header>"
              $"<nav aria-label=\"Sections\">{links}</nav>\n<main>"
              ReportSections.headlines data
              $"<section class=\"provenance\">{ReportSections.provenance data}</section>"
              "<noscript><p>The charts need JavaScript; the same figures lie beside this page as SVG, PDF and PNG.</p>" + "</noscript>"
              body
              "</main>\n<footer>Written by the Optimal Stopping Toolkit from the CSV files beside this page. "
              + "Charts by plotly.js (MIT licence), contained in this file.</footer>"
              $"<script>\n{plotly.Value}\n</script>"
              $"<script type=\"application/json\" id=\"figures\">{json (charts data)}</script>"
              $"<script type=\"application/json\" id=\"settings\">{json (settings data)}</script>"
              "<script>\n" + own "theme.js" + own "report.js" + "</script>"
              "</body>\n</html>\n" ]
