namespace OptimalStopping.Reports

open System
open System.IO
open Giraffe.ViewEngine
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Files
open OptimalStopping.Runtime.Cascades

/// report.html of an evaluation: the comparison, and the default policy taken apart at every price of cost.
module EvaluationPage =

    let private text (value: string) = [ str value ]
    let private fixedPoint digits (x: float) = if Double.IsFinite x then Numbers.decimals (digits, x) else "never"
    let private finite (x: float) = if Double.IsFinite x then Nullable x else Nullable()

    /// A figure of a policy: value, and the paired difference to the pair envelope with its interval.
    let private metricCell (policy: PolicyEvaluation) (name, scale, digits, lowerIsBetter) =
        let m = policy[name]
        let clear = m.DifferenceLow > 0.0 || m.DifferenceHigh < 0.0
        let better = (m.Difference > 0.0) <> lowerIsBetter
        let mark =
            if not clear then []
            elif better then [ _class "better" ]
            else [ _class "worse" ]
        [ str (fixedPoint digits (scale * m.Value))
          if policy.Policy <> PolicyRegistry.Reference && Double.IsFinite m.DifferenceLow && Double.IsFinite m.DifferenceHigh then
              str " "
              small mark [ str $"[{fixedPoint digits (scale * m.DifferenceLow)}, {fixedPoint digits (scale * m.DifferenceHigh)}]" ] ]

    let private figures =
        [ "AUC × 100", ("auc", 100.0, 2, false)
          "AIQ × 100", ("aiq", 100.0, 2, false)
          "cost at 95 %", ("cost_at_95pct", 1.0, 2, true)
          "cost at 98 %", ("cost_at_98pct", 1.0, 2, true)
          "cost at 100 %", ("cost_at_100pct", 1.0, 2, true)
          "APGR", ("apgr", 1.0, 3, false)
          "CPT 50", ("cpt50", 1.0, 3, true)
          "CPT 80", ("cpt80", 1.0, 3, true) ]

    let private metrics (report: EvaluationReport) =
        report.Policies
        |> Seq.map (fun policy -> text (PolicyRegistry.Label policy.Policy) :: [ for _, figure in figures -> metricCell policy figure ])
        |> Page.table (text "policy" :: [ for heading, _ in figures -> text heading ])

    let private models (report: EvaluationReport) =
        let share (x: float) = text (if Double.IsFinite x then Numbers.decimals (3, x) else "")
        report.ModelRows
        |> Seq.map (fun m ->
            [ text m.Model
              text (m.Cost.ToString("G3", Globalization.CultureInfo.InvariantCulture))
              text (fixedPoint 4 m.Quality)
              share m.Auroc
              share m.Ece
              share m.FeaturesAuroc
              share m.FeaturesEce ])
        |> Page.table
            [ for heading in [ "model alone"; "mean cost"; "mean quality"; "AUROC"; "ECE"; "AUROC, features"; "ECE, features" ] ->
                  text heading ]

    /// What more labelled queries would bring; nothing where that was not asked.
    let private learning (report: EvaluationReport) =
        match Option.ofObj report.Learning with
        | None -> []
        | Some curve ->
            [ Page.titled
                  "learning"
                  "What more labels would buy"
                  [ Page.paragraph curve.Sentence
                    curve.Points
                    |> Seq.map (fun p -> [ text (string p.Queries); text (string p.Fits); text (fixedPoint 2 (100.0 * p.Auc)) ])
                    |> Page.table [ text "queries to fit on"; text "fits"; text "AUC × 100" ]
                    Page.paragraph (
                        $"{PolicyRegistry.Label curve.Family}, fitted on parts of the train queries; the gain is extrapolated by a - b/√queries, "
                        + "and its interval holds the noise of the test queries and of the draw of the others. An estimate, not a guarantee."
                    ) ] ]

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
                   isDefault = (p.Policy = report.Policies[0].Policy)
                   reachable = (p.Policy <> PolicyRegistry.Oracle && p.Policy <> PolicyRegistry.Ceiling)
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
    let html (source: string, report: EvaluationReport, unit: string) : string =
        Page.render
            $"{source}: stopping policies"
            $"What stopping early saves: {source}"
            [ "report.css"; "evaluate.css" ]
            []
            [ section
                  [ _class "provenance" ]
                  [ match Option.ofObj report.Headline with
                    | Some headline -> p [] [ strong [] [ str (headline.Sentence unit) ] ]
                    | None -> ()
                    p
                        []
                        [ strong [] [ str "Measured" ]
                          str (
                              $" by replaying recorded outcomes: policies fitted on {report.TrainQueries} queries and compared on "
                              + $"{report.TestQueries} others. Brackets hold 95 %% bootstrap intervals "
                              + "of the difference to the envelope of all two-model cascades, paired by query."
                          ) ] ]
              noscript [] [ Page.paragraph "The charts need JavaScript; their figures lie beside this page as CSV." ]
              Page.titled
                  "curves"
                  "Quality against cost"
                  [ Page.paragraph
                        "Up and to the left is better. Tap a name in the legend to hide its curve. The ring is the price chosen below."
                    Page.chart "tradeoff" "Quality against cost for each policy" ]
              Page.titled
                  "price"
                  "What a price buys"
                  [ Page.slider [] []
                    h3 [] [ str "Whose answer is returned" ]
                    Page.paragraph (
                        "Share of queries that each model answers. Where a policy recalls, that may be a "
                        + "model before the last one asked; the ways through the cascade, below, show both."
                    )
                    div [ _id "stops" ] []
                    h3 [] [ str "Why: what happens after each model, by the predicted quality of its answer" ]
                    Page.paragraph (
                        "The axis is calibrated: at 0.8 the answer is expected to be worth 0.8. Each bar runs over what the model's "
                        + "confidences can predict, everything else as on a typical query that comes this way."
                    )
                    div [ _id "key" ] []
                    div [ _id "rules" ] []
                    h3 [] [ str "Ways through the cascade" ]
                    div
                        [ _class "scroll" ]
                        [ table
                              []
                              [ thead [] [ tr [] [ for heading in [ "asked"; "answers"; "share of queries" ] -> th [] [ str heading ] ] ]
                                tbody [ _id "paths" ] [] ] ]
                    h3 [] [ str "Every price at a glance" ]
                    Page.chart "shares" "Which model answers, by mean cost" ]
              Page.titled "figures" "The figures" [ metrics report ]
              Page.titled "models" "The models alone" [ models report ]
              yield! learning report ]
            "; every number lies beside this page as CSV."
            [ "data", content report ]
            [ "theme.js"; "evaluate.js" ]

    /// Writes report.html into a folder, whole or not at all.
    let write (source: string, report: EvaluationReport, unit: string, folder: string) : unit =
        AtomicFile.Write(Path.Combine(folder, "report.html"), html (source, report, unit))
