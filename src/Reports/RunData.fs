namespace OptimalStopping.Reports

open System.IO
open System.Text.Json
open OptimalStopping.Runtime

/// All that a run folder holds; a part whose file is absent (that experiment was not run) is an empty array.
type RunData =
    {
        Regret: RegretPoint[]
        Slopes: RegretSlope[]
        Tradeoff: OperatingPoint[]
        Headline: HeadlineNumber[]
        Comparisons: Comparison[]
        Reliability: ReliabilityBin[]
        Signals: SignalQuality[]
        Stages: StageAccuracy[]
        Stops: StopShare[]
        Thresholds: StageThreshold[]
        SpeculationCounts: SpeculationCount[]
        SpeculationPositions: SpeculationPosition[]
        SpeculationTimes: SpeculationTime[]
        SpeculationAdaptive: SpeculationAdaptive[]
        Reuse: ReusePoint[]
        DraftFeatures: DraftSignal[]
        /// Settings of the run, flattened from manifest.json: dotted key, value as text.
        Manifest: struct (string * string)[]
    }

/// Reads a run folder.
module RunData =

    let private table (dir: string) name (columns: string) (convert: CsvRow -> 'a) : 'a[] =
        let path = Path.Combine(dir, name)
        if File.Exists path then Csv.read (path, columns.Split ',') |> Array.map convert else [||]

    let private regret (r: CsvRow) : RegretPoint =
        { Instance = r.Text "instance"
          Learner = r.Text "learner"
          Feedback = r.TextOrEmpty "feedback"
          T = r.Positive "t"
          Seeds = r.Count "seeds"
          Mean = r.Number "mean"
          Lower = r.NumberOrNaN "lower"
          Upper = r.NumberOrNaN "upper"
          Bound = r.NumberOrNaN "bound"
          Certificate = r.NumberOrNaN "certificate" }

    let private slope (r: CsvRow) : RegretSlope =
        { Instance = r.Text "instance"
          Learner = r.Text "learner"
          Feedback = r.TextOrEmpty "feedback"
          Theorem = r.TextOrEmpty "theorem"
          Slope = r.NumberOrNaN "slope"
          SlopeLow = r.NumberOrNaN "slope_low"
          SlopeHigh = r.NumberOrNaN "slope_high"
          RegretFinal = r.Number "regret_final"
          BoundFinal = r.NumberOrNaN "bound_final"
          TFinal = r.Positive "t_final" }

    let private point (r: CsvRow) : OperatingPoint =
        { Policy = r.Text "policy"
          Lambda = r.NumberOrNaN "lambda"
          Cost = r.Number "cost"
          CostLow = r.NumberOrNaN "cost_low"
          CostHigh = r.NumberOrNaN "cost_high"
          Quality = r.Unit "quality"
          QualityLow = r.NumberOrNaN "quality_low"
          QualityHigh = r.NumberOrNaN "quality_high"
          Pareto = r.Flag "pareto" }

    let private comparison (r: CsvRow) : Comparison =
        { Baseline = r.Text "baseline"
          Lambda = r.NumberOrNaN "lambda"
          Pairs = r.Count "pairs"
          UtilityOurs = r.Number "utility_ours"
          UtilityBaseline = r.Number "utility_baseline"
          Difference = r.Number "difference"
          CiLow = r.NumberOrNaN "ci_low"
          CiHigh = r.NumberOrNaN "ci_high"
          PPermutation = r.Unit "p_permutation"
          PHolm = r.UnitOrNaN "p_holm"
          PBh = r.UnitOrNaN "p_bh"
          PWilcoxon = r.UnitOrNaN "p_wilcoxon"
          PT = r.UnitOrNaN "p_t"
          Dz = r.NumberOrNaN "d_z"
          Gz = r.NumberOrNaN "g_z"
          CliffDelta = r.NumberOrNaN "cliff_delta"
          DzLow = r.NumberOrNaN "d_z_low"
          DzHigh = r.NumberOrNaN "d_z_high"
          QualityOurs = r.Unit "quality_ours"
          QualityBaseline = r.Unit "quality_baseline"
          CostOurs = r.Number "cost_ours"
          CostBaseline = r.Number "cost_baseline" }

    let private bin (r: CsvRow) : ReliabilityBin =
        { Stage = r.Count "stage"
          Model = r.Text "model"
          BinLow = r.Unit "bin_low"
          BinHigh = r.Unit "bin_high"
          Count = r.Count "count"
          Confidence = r.UnitOrNaN "confidence"
          Accuracy = r.UnitOrNaN "accuracy" }

    let private signal (r: CsvRow) : SignalQuality =
        { Stage = r.Count "stage"
          Model = r.Text "model"
          Signal = r.Text "signal"
          Auroc = r.UnitOrNaN "auroc"
          Ece = r.UnitOrNaN "ece"
          Brier = r.UnitOrNaN "brier" }

    let private accuracy (r: CsvRow) : StageAccuracy =
        { Stage = r.Count "stage"
          Model = r.Text "model"
          Family = r.Text "family"
          Level = r.TextOrEmpty "level"
          Queries = r.Count "queries"
          Accuracy = r.UnitOrNaN "accuracy"
          MeanTokens = r.NumberOrNaN "mean_tokens" }

    let rec private flatten (prefix: string) (element: JsonElement) : struct (string * string) seq =
        let under name = if prefix = "" then name else $"{prefix}.{name}"
        match element.ValueKind with
        | JsonValueKind.Object -> element.EnumerateObject() |> Seq.collect (fun p -> flatten (under p.Name) p.Value)
        | JsonValueKind.Array when element.EnumerateArray() |> Seq.exists (fun e -> e.ValueKind = JsonValueKind.Object) ->
            element.EnumerateArray() |> Seq.indexed |> Seq.collect (fun (i, e) -> flatten (under (string (i + 1))) e)
        | JsonValueKind.Array -> Seq.singleton (struct (prefix, element.EnumerateArray() |> Seq.map string |> String.concat ", "))
        | _ -> Seq.singleton (struct (prefix, string element))

    let private manifest (dir: string) =
        let path = Path.Combine(dir, "manifest.json")
        if not (File.Exists path) then
            [||]
        else
            try
                use document = JsonDocument.Parse(File.ReadAllText path)
                flatten "" document.RootElement |> Seq.toArray
            with :? JsonException as e ->
                let line = e.LineNumber.GetValueOrDefault() + 1L
                raise (ToolkitException($"{path}:{line}: expected JSON, got: {e.Message}", e))

    /// Reads every result file of a run folder. A missing folder or a malformed file is a ToolkitException.
    let load (dir: string) : RunData =
        if not (Directory.Exists dir) then raise (ToolkitException $"{dir}: expected the folder of a run, got no such folder")
        { Regret = table dir "figure1a.csv" "instance,learner,feedback,t,seeds,mean,lower,upper,bound,certificate" regret
          Slopes =
            table
                dir
                "figure1a_slopes.csv"
                "instance,learner,feedback,theorem,slope,slope_low,slope_high,regret_final,bound_final,t_final"
                slope
          Tradeoff = table dir "figure1b.csv" "policy,lambda,cost,cost_low,cost_high,quality,quality_low,quality_high,pareto" point
          Headline =
            table dir "headline.csv" "metric,value,low,high" (fun r ->
                { Metric = r.Text "metric"; Value = r.NumberOrNaN "value"; Low = r.NumberOrNaN "low"; High = r.NumberOrNaN "high" }
                : HeadlineNumber)
          Comparisons =
            table
                dir
                "table1.csv"
                ("baseline,lambda,pairs,utility_ours,utility_baseline,difference,ci_low,ci_high,p_permutation,p_holm,"
                 + "p_bh,p_wilcoxon,p_t,d_z,g_z,cliff_delta,d_z_low,d_z_high,"
                 + "quality_ours,quality_baseline,cost_ours,cost_baseline")
                comparison
          Reliability = table dir "reliability.csv" "stage,model,bin_low,bin_high,count,confidence,accuracy" bin
          Signals = table dir "calibration.csv" "stage,model,signal,auroc,ece,brier" signal
          Stages = table dir "stages.csv" "stage,model,family,level,queries,accuracy,mean_tokens" accuracy
          Stops =
            table dir "stops.csv" "lambda,stage,share" (fun r ->
                { Lambda = r.Number "lambda"; Stage = r.Count "stage"; Share = r.Unit "share" }: StopShare)
          Thresholds =
            table dir "thresholds.csv" "lambda,stage,threshold" (fun r ->
                { Lambda = r.Number "lambda"; Stage = r.Count "stage"; Threshold = r.NumberOrNaN "threshold" })
          SpeculationCounts =
            table
                dir
                "speculative.csv"
                ("target,chain,length,prompts,tokens,forwards,drafted,accepted,acceptance,tokens_per_forward,formula,"
                 + "formula_finite,independence_p,different_tokens")
                (fun r ->
                    { Target = r.Text "target"
                      Chain = r.Text "chain"
                      Length = r.Count "length"
                      Acceptance = r.UnitOrNaN "acceptance"
                      TokensPerForward = r.Number "tokens_per_forward"
                      Formula = r.NumberOrNaN "formula"
                      FormulaFinite = r.NumberOrNaN "formula_finite"
                      IndependenceP = r.UnitOrNaN "independence_p"
                      Different = r.Count "different_tokens" })
          SpeculationPositions =
            table dir "speculative_positions.csv" "target,chain,length,position,tested,accepted,acceptance" (fun r ->
                { Target = r.Text "target"
                  Chain = r.Text "chain"
                  Length = r.Count "length"
                  Position = r.Count "position"
                  Tested = r.Count "tested"
                  Acceptance = r.UnitOrNaN "acceptance" })
          SpeculationTimes =
            table
                dir
                "speculative_times.csv"
                ("target,chain,length,tokens_per_forward,drafted_per_forward,seconds_per_token,speedup,speedup_low,"
                 + "speedup_high,formula_speedup,different_tokens")
                (fun r ->
                    { Target = r.Text "target"
                      Chain = r.Text "chain"
                      Length = r.Text "length"
                      TokensPerForward = r.Number "tokens_per_forward"
                      SecondsPerToken = r.Number "seconds_per_token"
                      Speedup = r.Number "speedup"
                      SpeedupLow = r.Number "speedup_low"
                      SpeedupHigh = r.Number "speedup_high"
                      Formula = r.NumberOrNaN "formula_speedup"
                      Different = r.Count "different_tokens" })
          SpeculationAdaptive =
            table
                dir
                "speculative_adaptive.csv"
                ("target,chain,best_even,best_odd,against_best,against_best_low,against_best_high,against_best_naive,"
                 + "against_best_total,against_best_total_low,against_best_total_high,worst_even,worst_odd,against_worst,"
                 + "against_worst_low,against_worst_high,fresh,fresh_low,fresh_high,twin,twin_low,twin_high")
                (fun r ->
                    { Target = r.Text "target"
                      Chain = r.Text "chain"
                      BestEven = r.Count "best_even"
                      BestOdd = r.Count "best_odd"
                      AgainstBest = r.Number "against_best"
                      AgainstBestLow = r.Number "against_best_low"
                      AgainstBestHigh = r.Number "against_best_high"
                      Total = r.Number "against_best_total"
                      TotalLow = r.Number "against_best_total_low"
                      TotalHigh = r.Number "against_best_total_high"
                      WorstEven = r.Count "worst_even"
                      WorstOdd = r.Count "worst_odd"
                      AgainstWorst = r.Number "against_worst"
                      AgainstWorstLow = r.Number "against_worst_low"
                      AgainstWorstHigh = r.Number "against_worst_high"
                      Fresh = r.Number "fresh"
                      FreshLow = r.Number "fresh_low"
                      FreshHigh = r.Number "fresh_high"
                      Twin = r.Number "twin"
                      TwinLow = r.Number "twin_low"
                      TwinHigh = r.Number "twin_high" })
          Reuse =
            table dir "speculative_reuse.csv" "lambda,reuse,cost,quality" (fun r ->
                { Lambda = r.Number "lambda"; Reuse = r.Flag "reuse"; Cost = r.Number "cost"; Quality = r.Unit "quality" })
          DraftFeatures =
            table
                dir
                "speculative_signals.csv"
                ("drafter,verifier,queries,accepted_fraction,forwards_share,auroc_without,auroc_with,brier_without,"
                 + "brier_with,different_tokens")
                (fun r ->
                    { Drafter = r.Text "drafter"
                      Verifier = r.Text "verifier"
                      AcceptedFraction = r.Unit "accepted_fraction"
                      ForwardsShare = r.Number "forwards_share"
                      AurocWithout = r.UnitOrNaN "auroc_without"
                      AurocWith = r.UnitOrNaN "auroc_with"
                      BrierWithout = r.NumberOrNaN "brier_without"
                      BrierWith = r.NumberOrNaN "brier_with" })
          Manifest = manifest dir }

    /// Whether no result file has a data line (the manifest alone is nothing to draw).
    let isEmpty (data: RunData) : bool =
        data.Regret.Length
        + data.Slopes.Length
        + data.Tradeoff.Length
        + data.Comparisons.Length
        + data.Reliability.Length
        + data.Signals.Length
        + data.Stages.Length
        + data.Stops.Length
        + data.Thresholds.Length
        + data.SpeculationCounts.Length
        + data.SpeculationTimes.Length
        + data.Reuse.Length
        + data.DraftFeatures.Length
            =
            0

    // headline.csv has one such line for each model, from the first stage to the last.
    let private accuracyOf = "accuracy "

    /// The models' names as headline.csv has them, in the order of the stages. A run on recorded traces has no other.
    let headlineModels (data: RunData) : string[] =
        data.Headline
        |> Array.filter (fun h -> h.Metric.StartsWith(accuracyOf, System.StringComparison.Ordinal))
        |> Array.map (fun h -> h.Metric.Substring accuracyOf.Length)

    /// The name of a stage's model, from whichever file gives it; "model k" where none does.
    let modelName (data: RunData) (stage: int) : string =
        seq {
            for s in data.Stages do
                if s.Stage = stage then s.Model
            for s in data.Signals do
                if s.Stage = stage then s.Model
            for s in data.Reliability do
                if s.Stage = stage then s.Model
            for k, name in Array.indexed (headlineModels data) do
                if k + 1 = stage then name
        }
        |> Seq.tryHead
        |> Option.defaultValue $"model {stage}"

    /// A line of headline.csv, where the run has it and it holds a number.
    let headline (data: RunData) (metric: string) : HeadlineNumber option =
        data.Headline |> Array.tryFind (fun h -> h.Metric = metric && System.Double.IsFinite h.Value)

    /// " (cheapest model = 1)" where the cheapest model costs 1, else nothing: recorded traces have a unit of their own,
    /// which their file does not name.
    let costUnit (data: RunData) : string =
        let alone (policy: string) = policy.StartsWith("fixed-", System.StringComparison.Ordinal)
        let costs =
            [| for p in data.Tradeoff do
                   if alone p.Policy then p.Cost
               for c in data.Comparisons do
                   if alone c.Baseline then c.CostBaseline |]
        if costs.Length > 0 && abs (Array.min costs - 1.0) < 1e-9 then " (cheapest model = 1)" else ""

    /// Whether an instance of the regret experiment was drawn by a simulator (as opposed to replayed recordings).
    let isSimulated (instance: string) : bool = instance.StartsWith("simulated", System.StringComparison.Ordinal)
