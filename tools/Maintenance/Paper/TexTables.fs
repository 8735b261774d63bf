namespace OptimalStopping.Maintenance.Paper

open System
open System.IO
open OptimalStopping.Reports

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

    let private headline (dir: string) =
        let path = Path.Combine(dir, "headline.csv")
        if File.Exists path then Csv.read (path, [| "metric"; "value"; "low"; "high" |]) else [||]

    let private find (rows: CsvRow[]) (name: string) = rows |> Array.tryFind (fun r -> r.Text "metric" = name)

    let private withInterval digits scale (row: CsvRow) =
        let show x = Numbers.decimals (digits, scale * x)
        let low, high = row.NumberOrNaN "low", row.NumberOrNaN "high"
        show (row.Number "value") + (if Double.IsNaN low then "" else $" [{show low}, {show high}]")

    /// Each model alone: accuracy, how its calibrated confidence ranks and errs, and the share of queries it answers for us.
    let models (dir: string, data: RunData) : string option =
        let rows = headline dir
        let stages = data.Signals |> Array.map (fun s -> s.Stage, s.Model) |> Array.distinct
        if rows.Length = 0 || stages.Length = 0 then
            None
        else
            let line (stage, model: string) =
                let signal = data.Signals |> Array.tryFind (fun s -> s.Stage = stage && s.Signal = "calibrated")
                let raw =
                    data.Signals
                    |> Array.filter (fun s -> s.Stage = stage && s.Signal <> "calibrated" && Double.IsFinite s.Auroc)
                    |> Array.sortBy (fun s -> -s.Auroc)
                    |> Array.tryHead
                let of' f =
                    function
                    | Some s -> f s
                    | None -> "--"
                [ Table1.escape model
                  find rows $"accuracy {model}" |> of' (withInterval 1 100.0)
                  raw |> of' (fun s -> $"{Numbers.decimals (3, s.Auroc)} ({Table1.escape (s.Signal.Replace('_', ' '))})")
                  signal |> of' (fun s -> Numbers.decimals (3, s.Auroc))
                  signal |> of' (fun s -> Numbers.decimals (3, s.Ece))
                  signal |> of' (fun s -> Numbers.decimals (3, s.Brier))
                  find rows $"chosen share answered by {model}" |> of' (withInterval 1 100.0) ]
                |> String.concat " & "
            Some(
                table
                    "@{}lllrrrr@{}"
                    @"Model & Accuracy, \% & Best raw signal (AUROC) & AUROC & ECE & Brier & Answers, \%"
                    (Array.map line stages)
            )

    let private aucs (dir: string) =
        headline dir
        |> Array.filter (fun r -> (r.Text "metric").StartsWith("auc ", StringComparison.Ordinal))
        |> Array.map (fun r -> (r.Text "metric").Substring 4, r.Number "value")
        |> Array.sortBy (fun (policy, _) -> Style.policyRank policy)

    /// Area under quality against cost, x 100, of each policy: one column for the main run and one for each recorded cascade.
    let areas (runs: (string * string)[]) : string option =
        let columns = runs |> Array.map (fun (name, dir) -> name, Map.ofArray (aucs dir))
        let policies =
            columns |> Array.collect (fun (_, m) -> Map.toArray m |> Array.map fst) |> Array.distinct |> Array.sortBy Style.policyRank
        if policies.Length = 0 then
            None
        else
            let best (m: Map<string, float>) = m |> Map.filter (fun p _ -> p <> Style.oracle) |> Map.values |> Seq.max
            let line policy =
                (Table1.escape (Style.policy policy).Label)
                :: [ for _, m in columns ->
                         match Map.tryFind policy m with
                         | Some x when policy <> Style.oracle && x >= best m -> $@"\textbf{{{Numbers.decimals (2, 100.0 * x)}}}"
                         | Some x -> Numbers.decimals (2, 100.0 * x)
                         | None -> "--" ]
                |> String.concat " & "
            let head = "Policy" :: [ for name, _ in columns -> Table1.escape name ] |> String.concat " & "
            Some(table ("@{}l" + String('r', columns.Length) + "@{}") head (Array.map line policies))

    /// Regret of each learner and instance at the last round, with its bound, slope, and what the certificate says.
    let regret (data: RunData) : string option =
        if data.Slopes.Length = 0 then
            None
        else
            let number x = if Double.IsNaN x then "--" else (Numbers.decimals (0, x))
            let line (s: RegretSlope) =
                let last =
                    data.Regret
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
                    (Array.map line data.Slopes)
            )

    /// The last target's drafters: for each chain the best fixed draft length and the adaptive one.
    let speculation (data: RunData) : string option =
        if data.SpeculationTimes.Length = 0 then
            None
        else
            let target = (Array.last data.SpeculationTimes).Target
            let line (t: SpeculationTime) =
                [ Table1.escape t.Chain
                  Table1.escape t.Length
                  Numbers.decimals (2, t.TokensPerForward)
                  $"{Numbers.decimals (2, t.Speedup)} [{Numbers.decimals (2, t.SpeedupLow)}, {Numbers.decimals (2, t.SpeedupHigh)}]"
                  Numbers.decimals (2, t.Formula) ]
                |> String.concat " & "
            let isFixed (t: SpeculationTime) = fst (Int32.TryParse t.Length)
            let rows =
                data.SpeculationTimes
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
