namespace OptimalStopping.Reports

open System
open System.IO
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Files

/// report.html of an evaluation: the comparison, and the default policy taken apart at every price of cost. The page holds
/// everything it needs (plotly.js too), and its content security policy forbids every request: it works offline and tells
/// nobody.
module EvaluationPage =

    let private escape = ReportTables.escape
    let private fixedPoint digits (x: float) = if Double.IsFinite x then Numbers.decimals (digits, x) else "never"
    let private finite (x: float) = if Double.IsFinite x then Nullable x else Nullable()

    /// One row of the table of figures: value, and the paired difference to the pair envelope with its interval.
    let private metricCell (policy: PolicyEvaluation) name scale digits lowerIsBetter =
        let m = policy[name]
        let clear = m.DifferenceLow > 0.0 || m.DifferenceHigh < 0.0
        let better = (m.Difference > 0.0) <> lowerIsBetter
        let mark =
            if not clear then ""
            elif better then " class=\"better\""
            else " class=\"worse\""
        let difference =
            if policy.Policy = Evaluation.Reference || not (Double.IsFinite m.DifferenceLow && Double.IsFinite m.DifferenceHigh) then
                ""
            else
                $" <small{mark}>[{fixedPoint digits (scale * m.DifferenceLow)}, {fixedPoint digits (scale * m.DifferenceHigh)}]</small>"
        $"<td>{fixedPoint digits (scale * m.Value)}{difference}</td>"

    let private table (report: EvaluationReport) =
        let row (policy: PolicyEvaluation) =
            let cell = metricCell policy
            $"<tr><th scope=\"row\">{escape (Style.policy policy.Policy).Label}</th>"
            + cell "auc" 100.0 2 false
            + cell "aiq" 100.0 2 false
            + cell "cost_at_95pct" 1.0 2 true
            + cell "cost_at_98pct" 1.0 2 true
            + cell "cost_at_100pct" 1.0 2 true
            + cell "apgr" 1.0 3 false
            + cell "cpt50" 1.0 3 true
            + cell "cpt80" 1.0 3 true
            + "</tr>\n"
        "<div class=\"scroll\"><table>\n<thead><tr><th>policy</th><th>AUC × 100</th><th>AIQ × 100</th><th>cost at 95 %</th>"
        + "<th>cost at 98 %</th><th>cost at 100 %</th><th>APGR</th><th>CPT 50</th><th>CPT 80</th></tr></thead>\n<tbody>\n"
        + (report.Policies |> Seq.map row |> String.concat "")
        + "</tbody></table></div>\n"

    let private models (report: EvaluationReport) =
        let row name cost quality =
            $"<tr><th scope=\"row\">{escape name}</th><td>{fixedPoint 3 cost}</td><td>{fixedPoint 4 quality}</td></tr>\n"
        "<div class=\"scroll\"><table>\n<thead><tr><th>model alone</th><th>mean cost</th><th>mean quality</th></tr></thead>\n<tbody>\n"
        + (Seq.map3 row report.Models report.ModelCost report.ModelQuality |> String.concat "")
        + "</tbody></table></div>\n"

    /// What the script draws from.
    let private content (report: EvaluationReport) =
        let best = Array.IndexOf(report.ModelQuality, Array.max report.ModelQuality)
        {| models = report.Models
           modelCost = report.ModelCost
           modelQuality = report.ModelQuality
           best = best
           curves =
            report.Policies
            |> Seq.map (fun p ->
                {| name = (Style.policy p.Policy).Label
                   ours = (p.Policy = report.Policies[0].Policy)
                   reachable = (p.Policy <> Style.oracle && p.Policy <> Evaluation.Ceiling)
                   cost = p.Points |> Seq.map _.Cost
                   quality = p.Points |> Seq.map _.Quality |})
           points =
            report.Explained
            |> Seq.map (fun p ->
                {| lambda = Numbers.parameter p.Lambda
                   cost = p.Cost
                   quality = p.Quality
                   paths = p.Paths |> Seq.map (fun x -> {| ran = x.Ran; answer = x.Answer; share = x.Share |})
                   rules =
                    p.Rules
                    |> Seq.map (fun r ->
                        {| stage = r.Stage
                           after = r.After
                           share = r.Share
                           bands = r.Bands |> Seq.map (fun b -> {| from = b.From; until = b.To; next = b.Next |})
                           confidence = r.ThresholdConfidence
                           quality = r.ThresholdQuality |}) |}) |}

    /// The page as text. `source` names the trace file.
    let html (source: string, report: EvaluationReport) : string =
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
        let section id title body = $"<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n"
        String.concat
            "\n"
            [ "<!DOCTYPE html>"
              "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"
              $"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
              $"<title>{escape source}: stopping policies</title>"
              "<style>\n" + Report.own "report.css" + Report.own "evaluate.css" + "</style>\n</head>\n<body>"
              $"<header>\n<h1>What stopping early saves: {escape source}</h1>"
              "<button id=\"theme\" type=\"button\">light / dark</button>\n</header>\n<main>"
              $"<section class=\"provenance\"><p><strong>Measured</strong> by replaying recorded outcomes: policies fitted on "
              + $"{report.TrainQueries} queries and compared on {report.TestQueries} others. Brackets hold 95 %% bootstrap intervals "
              + "of the difference to the envelope of all two-model cascades, paired by query.</p></section>"
              "<noscript><p>The charts need JavaScript; their figures lie beside this page as CSV.</p></noscript>"
              section
                  "curves"
                  "Quality against cost"
                  ("<p>Up and to the left is better. Tap a name in the legend to hide its curve. The ring is the price chosen below.</p>\n"
                   + "<div class=\"chart\" id=\"tradeoff\" role=\"img\" aria-label=\"Quality against cost for each policy\"></div>\n")
              section
                  "price"
                  "What a price buys"
                  ("<div class=\"slider\"><label for=\"lambda\">price of cost λ = <output id=\"lambda-value\"></output></label>\n"
                   + "<input id=\"lambda\" type=\"range\" min=\"0\" step=\"1\">\n<p id=\"lambda-text\" aria-live=\"polite\"></p></div>\n"
                   + "<h3>Whose answer is returned</h3>\n<p>Share of queries that each model answers. Where a policy recalls, that may be a "
                   + "model before the last one asked; the ways through the cascade, below, show both.</p>\n<div id=\"stops\"></div>\n"
                   + "<h3>Why: what happens after each model, by the predicted quality of its answer</h3>\n"
                   + "<p>The axis is calibrated: at 0.8 the answer is expected to be worth 0.8. Each bar runs over what the model's "
                   + "confidences can predict, everything else as on a typical query that comes this way.</p>\n"
                   + "<div id=\"key\"></div>\n<div id=\"rules\"></div>\n"
                   + "<h3>Ways through the cascade</h3>\n<div class=\"scroll\"><table><thead><tr><th>asked</th><th>answers</th><th>share of queries</th></tr></thead><tbody id=\"paths\"></tbody></table></div>\n"
                   + "<h3>Every price at a glance</h3>\n<div class=\"chart\" id=\"shares\" role=\"img\" aria-label=\"Which model answers, by mean cost\"></div>\n")
              section "figures" "The figures" (table report)
              section "models" "The models alone" (models report)
              "</main>\n<footer>Written by the Optimal Stopping Toolkit; every number lies beside this page as CSV. "
              + "Charts by plotly.js (MIT licence), contained in this file.</footer>"
              $"<script>\n{Report.plotly.Value}\n</script>"
              $"<script type=\"application/json\" id=\"data\">{Report.json (content report)}</script>"
              "<script>\n" + Report.own "theme.js" + Report.own "evaluate.js" + "</script>\n</body>\n</html>\n" ]

    /// Writes report.html into a folder.
    let write (source: string, report: EvaluationReport, folder: string) : unit =
        let path = Path.Combine(folder, "report.html")
        AtomicFile.Write(path, html (source, report))
