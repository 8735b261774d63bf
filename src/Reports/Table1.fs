namespace OptimalStopping.Reports

open OptimalStopping.Runtime.Cascades
open System
open OptimalStopping.Experiments

/// Table 1: the default policy against each baseline, as a LaTeX fragment that needs the package booktabs.
module Table1 =

    /// Rows in the order of the policies, one group for each lambda, small lambdas first.
    let groups (rows: PolicyComparison[]) : struct (float * PolicyComparison[])[] =
        rows
        |> Array.groupBy (fun row -> BitConverter.DoubleToInt64Bits row.Lambda)
        |> Array.map (fun (_, rows) -> struct (rows[0].Lambda, rows |> Array.sortBy (fun r -> PolicyRegistry.Rank r.Baseline)))
        |> Array.sortBy (fun (struct (lambda, _)) -> lambda)

    /// "2000", or "1800 to 2000" where the comparisons differ in their number of pairs.
    let pairs (rows: PolicyComparison[]) : string =
        let low, high = rows |> Array.map _.Pairs |> Array.min, rows |> Array.map _.Pairs |> Array.max
        if low = high then string low else $"{low} to {high}"

    /// The name of a baseline in tables; single models are named where the run names them.
    let baseline (data: RunData) (name: string) : string =
        if PolicyRegistry.IsSingle name then
            $"{data.ModelName(PolicyRegistry.StageOf name)} alone"
        else
            (Style.policy name).Label

    /// Escapes the ten characters that LaTeX treats specially.
    let escape (text: string) : string =
        text
        |> String.collect (function
            | '\\' -> @"\textbackslash{}"
            | '~' -> @"\textasciitilde{}"
            | '^' -> @"\textasciicircum{}"
            | '&'
            | '%'
            | '$'
            | '#'
            | '_'
            | '{'
            | '}' as c -> $"\\{c}"
            | '<' -> @"\textless{}"
            | '>' -> @"\textgreater{}"
            | '–' -> "--"
            | c -> string c)

    /// A p-value of a row as the tables show it: "≤ 0.000900" where no resample was as extreme as the data, so that the number is what
    /// the resamples could show at best.
    let pValue (row: PolicyComparison) (p: float) : string =
        let shown = Numbers.pValue p
        if row.PIsBound && Char.IsDigit shown[0] then $"≤ {shown}" else shown

    let private math (text: string) =
        match text with
        | "–" -> "--"
        | "<1e-4" -> "$<10^{-4}$"
        | text -> "$" + text.Replace("≤", @"\le") + "$"

    let private interval digits low high =
        if Double.IsNaN low || Double.IsNaN high then
            ""
        else
            $" $[{Numbers.signed (digits, low)}, {Numbers.signed (digits, high)}]$"

    let private line (data: RunData) (row: PolicyComparison) =
        let mark =
            match row.Verdict with
            | 1 -> "$^{+}$"
            | -1 -> "$^{-}$"
            | _ -> ""
        [| escape (baseline data row.Baseline)
           math (Numbers.signed (4, row.Difference)) + mark + interval 4 row.CiLow row.CiHigh
           math (pValue row row.PPermutation)
           math (pValue row row.PHolm)
           math (Numbers.signed (2, row.Dz)) + interval 2 row.DzLow row.DzHigh
           math (Numbers.signed (2, row.PairedDelta)) + interval 2 row.PairedDeltaLow row.PairedDeltaHigh
           math (Numbers.signed (2, row.CliffDelta)) + interval 2 row.CliffDeltaLow row.CliffDeltaHigh
           $"{math (Numbers.decimals (3, row.QualityDefault))} / {math (Numbers.decimals (3, row.QualityBaseline))}"
           $"{math (Numbers.decimals (2, row.CostDefault))} / {math (Numbers.decimals (2, row.CostBaseline))}" |]
        |> String.concat " & "
        |> fun cells -> "    " + cells + @" \\"

    let private point lambda quality cost =
        $"lambda = {Numbers.parameter lambda}: quality {Numbers.decimals (3, quality)} at cost {Numbers.decimals (2, cost)}"

    /// One sentence that says by which rule a run chooses an operating point, and which numbers belong to which rule: two
    /// points of one policy on one page look like a contradiction otherwise. None where the run has chosen no point.
    let rules (data: RunData) : string option =
        let headline metric = data.Headline metric |> Option.ofObj
        let kept = Numbers.decimals (0, 100.0 * OptimalStopping.Experiments.Headline.Kept)
        let cheapest =
            match headline "chosen lambda", headline "chosen accuracy", headline "chosen cost" with
            | Some lambda, Some quality, Some cost ->
                $"the cheapest point that keeps {kept}%% of the largest model's quality there (the best one if none does) "
                + $"is the headline ({point lambda.Value quality.Value cost.Value})"
                |> Some
            | _ -> None
        let best =
            match groups (data.Table<PolicyComparison>()) with
            | [||] -> None
            | groups ->
                let points = [| for struct (lambda, rows) in groups -> point lambda rows[0].QualityDefault rows[0].CostDefault |]
                let points = String.Join("; ", points)
                Some $"the point of best utility at lambda is compared with the baselines ({points})"
        match cheapest, best with
        | Some cheapest, Some best ->
            Some $"Two rules choose a point of the default policy on the calibration queries: {cheapest}, and {best}."
        | Some rule, None
        | None, Some rule -> Some $"One rule chooses a point of the default policy on the calibration queries: {rule}."
        | None, None -> None

    /// What the table shows and what it does not, in words, with the numbers of the rows themselves (plain text).
    let caption (data: RunData) : string =
        let rows = data.Table<PolicyComparison>()
        let lambdas = groups rows |> Array.map (fun (struct (lambda, _)) -> Numbers.parameter lambda) |> String.concat ", "
        let tested = rows |> Array.filter _.Tested
        let count wanted = tested |> Array.filter (fun row -> row.Verdict = wanted) |> Array.length
        let better, worse, neither = count 1, count -1, count 0
        let bounds =
            if tested |> Array.exists _.PIsBound then
                " (at most, by resamples or Hoeffding's bound, where no resample was as extreme)"
            else
                ""
        let few =
            if rows |> Array.forall (fun row -> row.Pairs >= OptimalStopping.Theory.Bootstrap.SmallSample) then
                ""
            else
                $" Fewer than {OptimalStopping.Theory.Bootstrap.SmallSample} pairs: bootstrap intervals cover less often than they say."
        $"The default policy against each baseline on {pairs rows} paired test queries (lambda = {lambdas}). "
        + "Difference of mean utility (default minus baseline) with its 95% interval; p-values of the paired permutation test, "
        + $"raw and after Holm's correction{bounds}; effect sizes with 95%% intervals: d_z, paired delta (wins less losses on the same query) and "
        + "Cliff's delta (over all pairs of queries); mean quality and mean cost "
        + $"per query{data.CostUnit} of default / baseline. "
        + $"Of {tested.Length} comparisons the default is significantly better (+) in {better}, significantly worse (-) in {worse}, "
        + $"and {neither} are not significant at {Numbers.parameter PolicyComparison.Level}."
        + few
        + (rules data |> Option.map (fun text -> " " + text) |> Option.defaultValue "")

    /// The LaTeX fragment, or None where the run has no comparisons.
    let latex (data: RunData) : string option =
        if data.Table<PolicyComparison>().Length = 0 then
            None
        else
            let groups = groups (data.Table<PolicyComparison>())
            let texCaption =
                (escape (caption data))
                    .Replace("lambda", @"$\lambda$")
                    .Replace(@"d\_z", "$d_z$")
                    .Replace("paired delta", @"paired $\delta$")
                    .Replace("Cliff's delta", @"Cliff's $\delta$")
                    .Replace("p-values", "$p$-values")
                    .Replace("(+)", "($^{+}$)")
                    .Replace("(-)", "($^{-}$)")
            [| "% Needs \\usepackage{booktabs}. Written by toolkit figure; do not edit."
               @"\begin{table*}"
               @"  \centering\scriptsize\setlength{\tabcolsep}{2.5pt}"
               $"  \\caption{{{texCaption}}}"
               @"  \label{tab:comparison}"
               @"  \vspace{3pt}"
               @"  \begin{tabular}{@{}llrrlllcc@{}}"
               @"    \toprule"
               @"    Baseline & Utility difference & $p$ & $p$ (Holm) & $d_z$ & Paired $\delta$ & Cliff's $\delta$ & Quality & Cost \\"
               for struct (lambda, rows) in groups do
                   @"    \midrule"
                   if groups.Length > 1 then
                       $"    \\multicolumn{{9}}{{@{{}}l}}{{$\\lambda = {Numbers.parameter lambda}$, {pairs rows} pairs}} \\\\"
                       @"    \addlinespace[2pt]"
                   for row in rows do
                       line data row
               @"    \bottomrule"
               @"  \end{tabular}"
               @"\end{table*}"
               "" |]
            |> String.concat "\n"
            |> Some
