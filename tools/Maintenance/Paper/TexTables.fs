namespace OptimalStopping.Maintenance.Paper

open System
open OptimalStopping.Reports
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades

/// The paper's small tables, each from the CSV files of a run; None where the run lacks them.
module TexTables =

    let private written = "% Written by tools/Maintenance; do not edit."

    let private table (columns: string) (head: string) (rows: string seq) =
        [| yield written
           yield $@"\begin{{tabular}}{{{columns}}}"
           yield @"\toprule"
           yield head + @" \\"
           yield @"\midrule"
           for row in rows -> row + @" \\"
           yield @"\bottomrule"
           yield @"\end{tabular}"
           yield "" |]
        |> String.concat "\n"

    let private withInterval digits scale (row: HeadlineNumber) =
        let show x = Numbers.decimals (digits, scale * x)
        show row.Value + (if Double.IsNaN row.Low then "" else $" [{show row.Low}, {show row.High}]")

    /// Each model alone: accuracy, how its calibrated confidence ranks and errs, and the share of queries it answers under the default policy.
    let models (data: RunData) : string option =
        let stages = data.Table<FeatureQuality>() |> Array.map (fun s -> s.Stage, s.Model) |> Array.distinct
        if data.Table<HeadlineNumber>().Length = 0 || stages.Length = 0 then
            None
        else
            let line (stage, model: string) =
                let signal = data.Table<FeatureQuality>() |> Array.tryFind (fun s -> s.Stage = stage && s.Feature = "calibrated")
                let raw =
                    data.Table<FeatureQuality>()
                    |> Array.filter (fun s -> s.Stage = stage && s.Feature <> "calibrated" && Double.IsFinite s.Auroc)
                    |> Array.sortBy (fun s -> -s.Auroc)
                    |> Array.tryHead
                let of' f =
                    function
                    | Some s -> f s
                    | None -> "--"
                [ Table1.escape model
                  data.Headline $"{HeadlineNumber.AccuracyOf}{model}" |> Option.ofObj |> of' (withInterval 1 100.0)
                  raw |> of' (fun s -> $"{Numbers.decimals (3, s.Auroc)} ({Table1.escape (s.Feature.Replace('_', ' '))})")
                  signal |> of' (fun s -> Numbers.decimals (3, s.Auroc))
                  signal |> of' (fun s -> Numbers.decimals (3, s.Ece))
                  signal |> of' (fun s -> Numbers.decimals (3, s.Brier))
                  data.Headline $"chosen share answered by {model}" |> Option.ofObj |> of' (withInterval 1 100.0) ]
                |> String.concat " & "
            Some(
                table
                    "@{}lllrrrr@{}"
                    @"Model & Accuracy, \% & Best raw signal (AUROC) & AUROC & ECE & Brier & Answers, \%"
                    (Array.map line stages)
            )

    let private areasOf (data: RunData) =
        data.Table<HeadlineNumber>()
        |> Array.filter (fun r -> r.Metric.StartsWith(HeadlineNumber.AreaOf, StringComparison.Ordinal))
        |> Array.map (fun r -> r.Metric.Substring HeadlineNumber.AreaOf.Length, r.Value)
        |> Map.ofArray

    /// Area under quality against cost, x 100, of each policy: one column for the main run and one for each recorded cascade.
    let areas (runs: (string * RunData)[]) : string option =
        let columns = runs |> Array.map (fun (name, data) -> name, areasOf data)
        let policies =
            columns |> Array.collect (fun (_, m) -> Map.toArray m |> Array.map fst) |> Array.distinct |> Array.sortBy PolicyRegistry.Rank
        if policies.Length = 0 then
            None
        else
            let best (m: Map<string, float>) = m |> Map.filter (fun p _ -> p <> PolicyRegistry.Oracle) |> Map.values |> Seq.max
            let line policy =
                (Table1.escape (Style.policy policy).Label)
                :: [ for _, m in columns ->
                         match Map.tryFind policy m with
                         | Some x when policy <> PolicyRegistry.Oracle && x >= best m -> $@"\textbf{{{Numbers.decimals (2, 100.0 * x)}}}"
                         | Some x -> Numbers.decimals (2, 100.0 * x)
                         | None -> "--" ]
                |> String.concat " & "
            let head = "Policy" :: [ for name, _ in columns -> Table1.escape name ] |> String.concat " & "
            Some(table ("@{}l" + String('r', columns.Length) + "@{}") head (Array.map line policies))

    /// Regret of each learner and instance at the last round, with its bound, slope, and what the certificate says.
    let regret (data: RunData) : string option =
        if data.Table<RegretGrowth>().Length = 0 then
            None
        else
            let number x = if Double.IsNaN x then "--" else (Numbers.decimals (0, x))
            let line (s: RegretGrowth) =
                let last =
                    data.Table<RegretPoint>()
                    |> Array.filter (fun p -> p.Instance = s.Instance && p.Learner = s.Learner && p.Feedback = s.Feedback)
                    |> Array.sortBy _.T
                    |> Array.tryLast
                let certificate =
                    match last with
                    | Some p -> p.Certificate
                    | None -> nan
                let slope =
                    if Double.IsNaN s.Slope then
                        "--"
                    else
                        $"{Numbers.decimals (2, s.Slope)} [{Numbers.decimals (2, s.SlopeLow)}, {Numbers.decimals (2, s.SlopeHigh)}]"
                [ Table1.escape (Figure1a.heading s.Instance)
                  Table1.escape s.Learner
                  Table1.escape s.Feedback
                  number s.RegretFinal
                  slope
                  number s.BoundFinal
                  number certificate
                  Table1.escape s.Theorem ]
                |> String.concat " & "
            Some(
                table
                    "@{}lllrlrrl@{}"
                    "Instance & Learner & Feedback & Regret & Slope & Bound & Certificate & Source"
                    (Array.map line (data.Table<RegretGrowth>()))
            )

    /// The last target's drafters: for each chain the best fixed draft length and the adaptive one.
    let speculation (data: RunData) : string option =
        if data.Table<SpeculationTime>().Length = 0 then
            None
        else
            let target = (Array.last (data.Table<SpeculationTime>())).Target
            let line (t: SpeculationTime) =
                [ Table1.escape t.Chain
                  Table1.escape t.Length
                  Numbers.decimals (2, t.TokensPerForward)
                  $"{Numbers.decimals (2, t.Speedup)} [{Numbers.decimals (2, t.SpeedupLow)}, {Numbers.decimals (2, t.SpeedupHigh)}]"
                  Numbers.decimals (2, t.FormulaSpeedup) ]
                |> String.concat " & "
            let isFixed (t: SpeculationTime) = fst (Int32.TryParse t.Length)
            let rows =
                data.Table<SpeculationTime>()
                |> Array.filter (fun t -> t.Target = target)
                |> Array.groupBy _.Chain
                |> Array.collect (fun (_, rows) ->
                    let fixedRows, others = rows |> Array.partition isFixed
                    Array.append (if fixedRows.Length = 0 then [||] else [| fixedRows |> Array.maxBy _.Speedup |]) others)
            Some(
                table
                    "@{}llrrr@{}"
                    $"Drafters of {Table1.escape target} & Draft length & Tokens per forward & Speed-up & Formula"
                    (Array.map line rows)
            )

    /// The appendix: every inequality of the proofs with the inputs tried and the largest left over right side.
    let checks (checks: Check[]) : string =
        [| yield written
           yield @"\begin{longtable}{@{}p{2.2cm}p{9.6cm}rr@{}}"
           yield @"\toprule Used in & Statement & Trials & Largest ratio \\ \midrule \endhead"
           for c in checks ->
               let worst =
                   if c.Statement.Contains "identity" || c.Statement.Contains "pathwise" then "exact" else Numbers.decimals (4, c.Worst)
               $@"{Table1.escape c.Theorem} & {c.Statement} & {c.Trials} & {worst} \\"
           yield @"\bottomrule"
           yield @"\end{longtable}"
           yield "" |]
        |> String.concat "\n"
