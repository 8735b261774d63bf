namespace OptimalStopping.Reports

open System

/// The tables of the report as HTML.
module ReportTables =

    /// Text as HTML; characters outside ASCII stay as they are.
    let escape (text: string) : string = text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("\"", "&quot;")

    let private minus (text: string) = text.Replace('-', '−')

    let private number digits x = minus (Numbers.decimals (digits, x))

    let private signed digits x = minus (Numbers.signed (digits, x))

    let private bracket low high = $" <small>[{low}, {high}]</small>"

    let private interval digits low high =
        if Double.IsNaN low || Double.IsNaN high then "" else bracket (signed digits low) (signed digits high)

    /// A table that scrolls sideways on a narrow screen. Cells are HTML already; the first column holds row headings.
    let table (headings: string[], rows: string[][]) : string =
        let head = headings |> Array.map (fun h -> $"<th scope=\"col\">{h}</th>") |> String.concat ""
        let row (cells: string[]) =
            let rest = cells[1..] |> Array.map (fun c -> $"<td>{c}</td>") |> String.concat ""
            $"<tr><th scope=\"row\">{cells[0]}</th>{rest}</tr>\n"
        let body = rows |> Array.map row |> String.concat ""
        $"<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n"

    /// A sentence that Table 1 may hold too, as HTML, with its symbols.
    let prose (text: string) : string = (escape text).Replace("lambda", "λ").Replace("%", "&nbsp;%").Replace("d_z", "d<sub>z</sub>")

    /// The caption of Table 1 as HTML.
    let caption (data: RunData) : string = prose (Table1.caption data)

    /// Table 1, with the tests that the paper's version leaves out.
    let comparisons (data: RunData) : string =
        let p value = (Numbers.pValue value).Replace("<1e-4", "&lt;&#8239;10<sup>−4</sup>")
        let verdict row =
            match Table1.verdict row with
            | 1 -> "<span class=\"better\">better</span>"
            | -1 -> "<span class=\"worse\">worse</span>"
            | _ when not (Table1.tested row) -> "not tested"
            | _ -> "not significant"
        let cells (row: Comparison) =
            [| escape (Table1.baseline data row.Baseline)
               Numbers.parameter row.Lambda
               signed 4 row.Difference + interval 4 row.CiLow row.CiHigh
               verdict row
               p row.PHolm
               signed 2 row.Dz + interval 2 row.DzLow row.DzHigh
               signed 2 row.CliffDelta
               $"{number 3 row.QualityOurs} / {number 3 row.QualityBaseline}"
               $"{number 2 row.CostOurs} / {number 2 row.CostBaseline}"
               p row.PPermutation
               p row.PBh
               p row.PWilcoxon
               p row.PT
               signed 2 row.Gz
               string row.Pairs |]
        let headings =
            "baseline|λ|utility difference|ours is|p Holm|d<sub>z</sub>|Cliff’s δ|quality ours / its|cost ours / its|"
            + "p permutation|p BH|p Wilcoxon|p t|g<sub>z</sub>|pairs"
        let rows = Table1.groups data.Comparisons |> Array.collect (fun (struct (_, rows)) -> Array.map cells rows)
        table (headings.Split '|', rows)

    /// Slopes and bounds of the regret experiment.
    let slopes (data: RunData) : string =
        let cells (s: RegretSlope) =
            let ratio = s.BoundFinal / s.RegretFinal
            [| escape (Figure1a.heading s.Instance)
               escape s.Learner
               escape s.Feedback
               number 2 s.Slope + (if Double.IsNaN s.SlopeLow then "" else bracket (number 2 s.SlopeLow) (number 2 s.SlopeHigh))
               number 1 s.RegretFinal
               number 1 s.BoundFinal
               (if Double.IsFinite ratio && s.RegretFinal > 0.0 then number 1 ratio else "–")
               escape s.Theorem
               number 0 s.TFinal |]
        let headings = "instance|learner|feedback|slope|regret|bound|bound / regret|theorem|T"
        table (headings.Split '|', data.Slopes |> Array.map cells)

    /// Every confidence signal of every stage.
    let signals (data: RunData) : string =
        let cells (s: SignalQuality) =
            [| $"{s.Stage}: {escape s.Model}"; escape s.Signal; number 3 s.Auroc; number 3 s.Ece; number 3 s.Brier |]
        table ("stage|signal|AUROC|ECE|Brier score".Split '|', data.Signals |> Array.map cells)

    /// Settings of the run as they stand in its manifest.
    let manifest (data: RunData) : string =
        let rows = data.Manifest |> Array.map (fun (struct (key, value)) -> [| escape key; escape value |])
        table ([| "setting"; "value" |], rows)
