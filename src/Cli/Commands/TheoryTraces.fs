/// What `toolkit theory --traces` adds: plans fitted on one half of a trace file and replayed on the other.
module OptimalStopping.Cli.Commands.TheoryTraces

open System
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Traces
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies

/// Where a fitted policy stops at one stage. Bins count from 0, the least sure.
type StageRule =
    {
        Stage: string
        /// Stops from this raw confidence on (0: always; NaN: never), and the mean quality seen there on the fitting half.
        Confidence: float
        Calibrated: float
        /// Whether "stop iff at least the threshold" is the whole rule at this stage.
        SingleCrossing: bool
        /// Which stages run next from the bins in which it goes on, as "bins 1-3: name".
        GoesTo: string
    }

/// One action set's plan: what it guaranteed on the fitting half and what it earned on the other.
type FittedPlan = { Actions: string; Entry: string; Rules: StageRule[]; Guaranteed: PolicyValue; Earned: PolicyValue }

type TracePlans =
    {
        Queries: int
        /// Queries that lack a stage, which are left out.
        LeftOut: int
        Fitted: int
        Models: string[]
        Costs: float[]
        /// Mean quality of each stage alone on the replayed half.
        Qualities: float[]
        /// Calibration error of each stage's raw confidence (equal-mass bins), NaN where it reports none.
        CalibrationErrors: float[]
        /// The least number of fitting queries in any stage and bin, and what Theorem 11 then says of the plug-in chain.
        LeastCount: int64
        PlugInError: float
        /// By how much any policy of histories may beat the chain's plan on the fitting half, and what Theorem 14 then says of it.
        PlanGap: float
        PlanError: float
        /// B, from the dearest query.
        Range: float
        Plans: FittedPlan[]
    }

let private half (table: TraceTable) (edges: float[][]) (rows: int[]) : BinnedRecords =
    let cascade, n = table.Cascade, table.Cascade.Stages
    let binning k = { Edges = edges[k]; Values = Array.zeroCreate (edges[k].Length + 1) }
    let binnings = Array.init n binning
    let pick (values: float[]) = rows |> Array.map (fun q -> Array.sub values (q * n) n)
    { Bins =
        rows
        |> Array.map (fun q ->
            Array.init n (fun k ->
                let s = cascade.Confidence[q * n + k]
                if Double.IsNaN s then 0 else binnings[k].Bin s))
      Qualities = pick cascade.Quality
      Costs = pick cascade.Cost
      BinCounts = edges |> Array.map (fun e -> e.Length + 1) }

/// Runs of bins with the same next stage, as "bins 1-3: name" (bins shown from 1).
let private goesTo (models: string[]) stage (next: int[]) =
    let runs = ResizeArray<string>()
    let mutable first = 0
    for s in 0 .. next.Length - 1 do
        if s = next.Length - 1 || next[s + 1] <> next[s] then
            if next[s] <> stage then
                let bins = if first = s then $"bin {s + 1}" else $"bins {first + 1}-{s + 1}"
                runs.Add $"{bins}: {models[next[s]]}"
            first <- s + 1
    String.Join(", ", runs)

/// Cuts confidences into at most `bins` cells of equal mass per stage, fits the plug-in chain, jump and recall plans on a
/// seeded half of the queries that have every stage, and replays them on the other half.
/// `price` gives lambda per unit of the file's costs, from the stages' mean costs.
let fit (file: string) (table: TraceTable) (price: float[] -> float) (bins: int) (seed: int) (delta: float) : TracePlans =
    let cascade, n = table.Cascade, table.Cascade.Stages
    let models = Seq.toArray table.Models
    let complete =
        [| 0 .. cascade.Queries - 1 |] |> Array.filter (fun q -> Seq.forall (fun k -> cascade.IsRecorded(q, k)) (seq { 0 .. n - 1 }))
    if n < 2 then raise (ToolkitException $"{file}: expected at least 2 models, got 1")
    if complete.Length < 4 then
        raise (
            ToolkitException $"{file}: expected at least 4 queries on which every one of the {n} models is recorded, got {complete.Length}"
        )
    let split = EvaluationSplit.Make(complete.Length, 0.5, seed)
    let fitting, testing = Array.map (Array.get complete) split.Train, Array.map (Array.get complete) split.Test
    let confidences k = fitting |> Array.map (fun q -> cascade.Confidence[q * n + k]) |> Array.filter (Double.IsNaN >> not)
    let edges =
        Array.init n (fun k ->
            match confidences k with
            | [||] -> [||]
            | some -> HistogramBinning.equalMassEdges (some, bins))
    let known, fresh = half table edges fitting, half table edges testing
    let model = EmpiricalModel.jump known
    let lambda = price model.Costs
    let chain = EmpiricalModel.chain (known, lambda)
    let counts = EmpiricalModel.counts known
    let rule k threshold holds next =
        { Stage = models[k]
          Confidence =
            if threshold = 0 then 0.0
            elif threshold > edges[k].Length then nan
            else edges[k].[threshold - 1]
          Calibrated = if threshold > edges[k].Length then nan else model.Means[k].[threshold]
          SingleCrossing = holds
          GoesTo = goesTo models k next }
    let chainPlan = Chain.plan chain
    let jumpPlan, recallPlan = Jump.plan (model, lambda), Recall.plan (model, lambda)
    let ofChain =
        let stop = Chain.policy chainPlan
        { Actions = "chain"
          Entry = models[0]
          Rules =
            Array.init (n - 1) (fun k ->
                let d = chainPlan.D[k].[.. edges[k].Length]
                rule k (SingleCrossing.threshold d) (SingleCrossing.holds d) (d |> Array.map (fun x -> if x >= 0.0 then k else k + 1)))
          Guaranteed = EmpiricalModel.replayChain (known, stop, lambda)
          Earned = EmpiricalModel.replayChain (fresh, stop, lambda) }
    let ofJump =
        let advantages, thresholds = Jump.advantages (model, jumpPlan), Jump.thresholds (model, jumpPlan)
        { Actions = "jump"
          Entry = models[jumpPlan.Entry]
          Rules = Array.init (n - 1) (fun k -> rule k thresholds[k] (SingleCrossing.holds advantages[k]) jumpPlan.Actions[k])
          Guaranteed = EmpiricalModel.replayJump (known, jumpPlan, lambda)
          Earned = EmpiricalModel.replayJump (fresh, jumpPlan, lambda) }
    let ofRecall =
        // The rule depends on the best answer so far too; shown is the stage's own answer being the best.
        let own k s = recallPlan.Next(k, s, recallPlan.LevelOf[k].[s])
        { Actions = "recall"
          Entry = models[recallPlan.Entry]
          Rules =
            Array.init (n - 1) (fun k ->
                let next = Array.init known.BinCounts[k] (own k)
                let advantages = next |> Array.map (fun j -> if j = k then 1.0 else -1.0)
                rule k (SingleCrossing.threshold advantages) (SingleCrossing.holds advantages) next)
          Guaranteed = EmpiricalModel.replayRecall (known, recallPlan, lambda)
          Earned = EmpiricalModel.replayRecall (fresh, recallPlan, lambda) }
    let calibrationError k =
        let pairs =
            fitting
            |> Array.map (fun q -> cascade.Confidence[q * n + k], cascade.Quality[q * n + k])
            |> Array.filter (fst >> Double.IsNaN >> not)
        if pairs.Length = 0 then nan else CalibrationMetrics.eceEqualMass (Array.map fst pairs, Array.map snd pairs, bins)
    let range = 1.0 + lambda * (Array.append known.Costs fresh.Costs |> Array.map (fun row -> Array.sum row[1..]) |> Array.max)
    let gap = EmpiricalModel.reactiveGap (known, Chain.policy chainPlan, lambda)
    let mostBins = Array.max known.BinCounts
    { Queries = cascade.Queries
      LeftOut = cascade.Queries - complete.Length
      Fitted = fitting.Length
      Models = models
      Costs = model.Costs
      Qualities = Array.init n (fun k -> fresh.Qualities |> Array.averageBy (fun row -> row[k]))
      CalibrationErrors = Array.init n calibrationError
      LeastCount = counts |> Array.map Array.min |> Array.min
      PlugInError = SampleComplexity.epsilonForPlugIn (counts, int64 fitting.Length, delta)
      PlanGap = gap
      PlanError = SampleComplexity.epsilonForReactivePlan (range, n, mostBins, int64 fitting.Length, gap, delta)
      Range = range
      Plans = [| ofChain; ofJump; ofRecall |] }
