/// `toolkit theory`: thresholds, regret bounds and sample sizes for a cascade, before any data or for a trace file.
module OptimalStopping.Cli.Commands.Theory

open System
open System.IO
open System.Text.Json
open System.Threading
open Argu
open OptimalStopping.Cli.Terminal
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Traces
open OptimalStopping.Theory
open OptimalStopping.Cli.Commands.Shared
open OptimalStopping.Cli.Commands.TheoryTraces

type TheoryArguments =
    | Config of file: string
    | Lambda of float
    | Cost_Unit of unit: string
    | Traces of file: string
    | Bins of int
    | Horizon of int
    | Epsilon of float
    | Delta of float
    | Seed of int
    | Simulate of dir: string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the cascade file (default: configs/miniature.yaml)."
            | Lambda _ -> "price of cost: quality that one unit of cost is worth (default: 0.01)."
            | Cost_Unit _ ->
                "what lambda prices: file (one unit of the cascade file, default), largest (one answer of the largest model) or all (one of each)."
            | Traces _ -> "plan for these recorded outcomes too; costs are then the file's means."
            | Bins _ -> "bins of a confidence (default: 10)."
            | Horizon _ -> "queries T that the regret bounds are for (default: 100000)."
            | Epsilon _ -> "error that the sample sizes are for, in units of quality (default: 0.05)."
            | Delta _ -> "failure probability (default: 0.05)."
            | Seed _ -> "seed of the traces' split into halves, and of the simulation (default: 1)."
            | Simulate _ ->
                "run every learner on the named simulated instances for --horizon queries and write FOLDER/regret_table.csv (long)."
            | Json -> "print JSON."

/// Everything that the command prints.
type private Answer =
    {
        Cascade: string
        Models: string[]
        Costs: float[]
        /// As given, and per unit of the cascade file.
        GivenLambda: float
        CostUnit: string
        Lambda: float
        Bins: int
        Horizon: int
        Epsilon: float
        Delta: float
        Range: float
        BreakEven: float[]
        Thresholds: ReferenceThresholds[]
        ByPrice: (float * ReferenceThresholds)[]
        Regret: RegretGuarantee[]
        Samples: SampleGuarantee[]
        Traces: TracePlans option
    }

let private prices lambda = [| 0.001; 0.003; 0.01; 0.03; 0.1; 0.3; 1.0; lambda |] |> Array.distinct |> Array.sort

let private compute (arguments: ParseResults<TheoryArguments>) : Answer =
    let inside name least most (value: 'a) =
        if not (value >= least && value <= most) then
            raise (UsageException $"--{name}: expected a number from {least} to {most}, got {value}")
        value
    let between name (value: float) =
        if not (value > 0.0 && value < 1.0) then
            raise (UsageException $"--{name}: expected a number strictly between 0 and 1, got {value}")
        value
    let given = inside "lambda" 0.0 1e9 (arguments.GetResult(TheoryArguments.Lambda, defaultValue = 0.01))
    let bins = inside "bins" 2 1000 (arguments.GetResult(Bins, defaultValue = 10))
    let horizon = inside "horizon" 1 Int32.MaxValue (arguments.GetResult(TheoryArguments.Horizon, defaultValue = 100_000))
    let epsilon = between "epsilon" (arguments.GetResult(Epsilon, defaultValue = 0.05))
    let delta = between "delta" (arguments.GetResult(Delta, defaultValue = 0.05))
    let seed = arguments.GetResult(TheoryArguments.Seed, defaultValue = 1)
    let config, traces = arguments.TryGetResult TheoryArguments.Config, arguments.TryGetResult TheoryArguments.Traces
    let file = if config.IsSome || traces.IsNone then Some(CascadeFile.Load(cascadeFile config)) else None
    let unit = arguments.GetResult(Cost_Unit, defaultValue = "file")
    let perUnit (costs: float[]) =
        match unit with
        | "file" -> given
        | "largest" -> given / Array.last costs
        | _ -> given / Array.sum costs
    let plans = traces |> Option.map (fun path -> fit path (TraceReader.ReadTable path) perUnit bins seed delta)
    match file, plans with
    | Some cascade, Some plans when Array.ofSeq (Seq.map (fun (s: CascadeStage) -> s.Name) cascade.Stages) <> plans.Models ->
        let names = String.Join(", ", Seq.map (fun (s: CascadeStage) -> s.Name) cascade.Stages)
        raise (ToolkitException $"""{traces.Value}: expected the cascade file's models {names}, got {String.Join(", ", plans.Models)}""")
    | _ -> ()
    let models, costs =
        match plans, file with
        | Some p, _ -> p.Models, p.Costs
        | None, Some cascade -> [| for s in cascade.Stages -> s.Name |], [| for s in cascade.Stages -> s.Cost |]
        | None, None -> failwith "a cascade file is loaded where there are no traces"
    let n, lambda = costs.Length, perUnit costs
    let range =
        match plans with
        | Some p -> p.Range
        | None -> 1.0 + lambda * Array.sum costs[1..]
    { Cascade =
        (match file with
         | Some cascade -> cascade.Name
         | None -> traces.Value)
      Models = models
      Costs = costs
      GivenLambda = given
      CostUnit = unit
      Lambda = lambda
      Bins = bins
      Horizon = horizon
      Epsilon = epsilon
      Delta = delta
      Range = range
      BreakEven = ReferenceThresholds.BreakEvenPrices costs
      Thresholds = ReferenceThresholds.All(costs, lambda)
      ByPrice = prices lambda |> Array.map (fun price -> price, ReferenceThresholds.Reference(costs, price))
      Regret = CascadeGuarantees.regret (n, bins, horizon, range, delta)
      Samples =
        (try
            CascadeGuarantees.samples (n, bins, range, epsilon, delta)
         with :? ArgumentOutOfRangeException ->
             raise (UsageException $"--epsilon: {epsilon} would take more than 9.2e18 queries at B = {range}"))
      Traces = plans }

// ---- as text ----

let private print (answer: Answer) =
    let n = answer.Costs.Length
    let threshold x = if x = 0.0 then "always" else number x 3
    let unit =
        match answer.CostUnit with
        | "largest" -> $"answer of {Array.last answer.Models}, that is %g{answer.Lambda} per unit of cost"
        | "all" -> $"run of all models, that is %g{answer.Lambda} per unit of cost"
        | _ -> $"unit of cost"
    printfn "cascade %s: %d models, lambda %g of quality per %s" answer.Cascade n answer.GivenLambda unit
    printfn
        "a run of all models costs %s of quality; rewards span B = %s"
        (number (answer.Lambda * Array.sum answer.Costs) 3)
        (number answer.Range 3)
    printfn ""
    printfn "Thresholds on calibrated confidence: stop after a model if at least this sure ('always': whatever it says)"
    let head =
        Array.append
            [| "after"; "cost"; "pays below lambda"; "any distribution <=" |]
            [| for t in answer.Thresholds[1..] do
                   yield! [| for actions in [ "chain"; "jump"; "recall" ] -> $"{t.Assumption}: {actions}" |] |]
    Table.print
        head
        [| for k in 0 .. n - 2 ->
               Array.append
                   [| answer.Models[k]; number answer.Costs[k] 2; number answer.BreakEven[k] 3; threshold answer.Thresholds[0].Chain[k] |]
                   [| for t in answer.Thresholds[1..] do
                          yield! [| threshold t.Chain[k]; threshold t.Jump[k]; threshold t.Recall[k] |] |] |]
    for t in answer.Thresholds[1..] do
        printfn "%s: a jump policy enters at %s and earns %s a query" t.Assumption answer.Models[t.Entry] (number t.Value 3)
    printfn "any distribution: no optimal threshold lies above it. uniform: confidences independent and uniform on [0,1]."
    printfn "reference: the same, and the last model is always right (quality = agreement with it)."
    if Array.forall (fun price -> answer.Lambda >= price) answer.BreakEven then
        printfn
            "At this price going on never pays: the next model costs %s of quality, and no answer gains more than 1."
            (number (answer.Lambda * answer.Costs[1]) 3)
        if answer.CostUnit = "file" then
            printfn "(--cost-unit all prices a run of all models at lambda instead of one unit of cost.)"
    printfn ""
    printfn "By price of cost (reference, recall)"
    Table.print
        (Array.append [| "lambda" |] (answer.Models[.. n - 2] |> Array.map (fun m -> "after " + m)))
        [| for price, t in answer.ByPrice -> Array.append [| price.ToString "g" |] (t.Recall |> Array.map threshold) |]
    printfn ""
    printfn "Regret after T = %d queries, %d bins, delta %g" answer.Horizon answer.Bins answer.Delta
    Table.print
        [| "learner"; "theorem"; "graded"; "against"; "needs"; "regret"; "per query"; "says something from T" |]
        [| for g in answer.Regret ->
               [| g.Learner
                  g.Theorem
                  g.Feedback
                  g.Against
                  g.Assumption
                  (if g.IsLowerBound then ">= "
                   elif g.Vacuous then "B T = "
                   else "<= ")
                  + number g.Value 0
                  number g.PerQuery 4
                  (if g.IsLowerBound then ""
                   elif g.MeaningfulFrom < 0 then "> 10^9"
                   else string g.MeaningfulFrom) |] |]
    printfn ""
    printfn "Fully graded queries for an error of at most %g with probability %g" answer.Epsilon (1.0 - answer.Delta)
    Table.print
        [| "best policy of"; "theorem"; "needs"; "ln N"; "queries" |]
        [| for s in answer.Samples ->
               [| s.Class; s.Theorem; s.Assumption; (if Double.IsNaN s.LogPolicies then "" else number s.LogPolicies 1); string s.Samples |] |]
    printfn
        "Calibration: an ECE of e in every model costs at most %d e of quality per query (2 n e) where the transition tables are exact;"
        (2 * n)
    printfn
        "an error of d (total variation) in every table adds at most %s d (2 (n-1) B d)."
        (number (2.0 * float (n - 1) * answer.Range) 2)

let private printTraces (answer: Answer) (plans: TracePlans) =
    printfn ""
    printfn
        "Plug-in plans: fitted on %d queries, replayed on %d%s"
        plans.Fitted
        (plans.Queries - plans.LeftOut - plans.Fitted)
        (if plans.LeftOut = 0 then "" else $"; {plans.LeftOut} that lack a model are left out")
    Table.print
        [| "model"; "mean cost"; "quality"; "calibration error" |]
        [| for k in 0 .. plans.Models.Length - 1 ->
               [| plans.Models[k]
                  number plans.Costs[k] 3
                  number plans.Qualities[k] 4
                  (if Double.IsNaN plans.CalibrationErrors[k] then "no confidence" else number plans.CalibrationErrors[k] 4) |] |]
    printfn ""
    Table.print
        [| "plan"; "after"; "stops from confidence"; "where quality is"; "one threshold"; "goes on to" |]
        [| for plan in plans.Plans do
               for rule in plan.Rules ->
                   [| plan.Actions
                      rule.Stage
                      (if Double.IsNaN rule.Confidence then "never"
                       elif rule.Confidence = 0.0 then "always"
                       else number rule.Confidence 4)
                      (if Double.IsNaN rule.Calibrated then "" else number rule.Calibrated 3)
                      (if rule.SingleCrossing then "yes" else "no")
                      rule.GoesTo |] |]
    printfn ""
    Table.print
        [| "plan"; "enters at"; "guaranteed"; "earned"; "quality"; "cost" |]
        [| for plan in plans.Plans ->
               [| plan.Actions
                  plan.Entry
                  number plan.Guaranteed.Value 4
                  number plan.Earned.Value 4
                  number plan.Earned.Quality 4
                  number plan.Earned.Cost 3 |] |]
    printfn "guaranteed and earned are quality - lambda cost per query, on the fitted and on the replayed half."
    printfn
        "Theorem 11: with at least %d fitted queries per bin the chain's plan loses at most %s, if signals are Markov%s."
        plans.LeastCount
        (number plans.PlugInError 3)
        (if plans.PlugInError >= 1.0 then " (vacuous)" else "")
    printfn
        "Theorem 14: without that assumption it loses at most %s to the best policy of its kind; on its own queries no policy gains more than %s."
        (number plans.PlanError 3)
        (number plans.PlanGap 4)
    let errors = plans.CalibrationErrors |> Array.filter (Double.IsNaN >> not)
    if errors.Length > 0 then
        printfn
            "Raw confidences used as they are, with exact transition tables, would cost at most %s per query (2 x the sum of their ECEs)."
            (number (min answer.Range (2.0 * Array.sum errors)) 3)

// ---- as JSON ----

let private json (answer: Answer) =
    let thresholds (t: ReferenceThresholds) =
        {| assumption = t.Assumption
           chain = t.Chain
           jump = t.Jump
           recall = t.Recall
           entry = (if t.Entry < 0 then null else answer.Models[t.Entry])
           value = finite t.Value |}
    let value (v: PolicyValue) = {| value = v.Value; quality = v.Quality; cost = v.Cost |}
    let traces =
        match answer.Traces with
        | None -> null
        | Some p ->
            box
                {| queries = p.Queries
                   left_out = p.LeftOut
                   fitted = p.Fitted
                   mean_costs = p.Costs
                   qualities = p.Qualities
                   calibration_errors = Array.map finite p.CalibrationErrors
                   least_count = p.LeastCount
                   plug_in_error = p.PlugInError
                   plan_gap = p.PlanGap
                   plan_error = p.PlanError
                   plans =
                    [| for plan in p.Plans ->
                           {| actions = plan.Actions
                              entry = plan.Entry
                              guaranteed = value plan.Guaranteed
                              earned = value plan.Earned
                              rules =
                               [| for r in plan.Rules ->
                                      {| after = r.Stage
                                         confidence = finite r.Confidence
                                         calibrated = finite r.Calibrated
                                         single_crossing = r.SingleCrossing
                                         goes_to = r.GoesTo |} |] |} |] |}
    printJson
        {| cascade = answer.Cascade
           models = answer.Models
           costs = answer.Costs
           lambda = answer.GivenLambda
           cost_unit = answer.CostUnit
           lambda_per_unit = answer.Lambda
           bins = answer.Bins
           horizon = answer.Horizon
           epsilon = answer.Epsilon
           delta = answer.Delta
           range = answer.Range
           pays_below_lambda = Array.map finite answer.BreakEven
           thresholds = Array.map thresholds answer.Thresholds
           by_price = [| for price, t in answer.ByPrice -> {| lambda = price; thresholds = thresholds t |} |]
           regret =
            [| for g in answer.Regret ->
                   {| learner = g.Learner
                      theorem = g.Theorem
                      feedback = g.Feedback
                      against = g.Against
                      assumption = g.Assumption
                      lower_bound = g.IsLowerBound
                      value = g.Value
                      per_query = g.PerQuery
                      vacuous = g.Vacuous
                      meaningful_from = (if g.MeaningfulFrom < 0 then Nullable() else Nullable g.MeaningfulFrom) |} |]
           samples =
            [| for s in answer.Samples ->
                   {| policies = s.Class
                      theorem = s.Theorem
                      assumption = s.Assumption
                      log_policies = finite s.LogPolicies
                      queries = s.Samples |} |]
           traces = traces |}

/// The table of regrets, which is no part of the answer about a cascade: it takes minutes.
let private simulate (arguments: ParseResults<TheoryArguments>) (folder: string) (cancel: CancellationToken) =
    let horizon = arguments.GetResult(TheoryArguments.Horizon, defaultValue = 100_000)
    if horizon < 100 then raise (UsageException $"--horizon: expected at least 100, got {horizon}")
    let options = ExperimentOptions(Seed = arguments.GetResult(TheoryArguments.Seed, defaultValue = 1), Horizon = horizon)
    Directory.CreateDirectory folder |> ignore
    Progress.show (fun report -> RegretTable.Run(options, folder, Action<float>(fun share -> report.Invoke("regret", share)), cancel))
    printfn "%s" (Path.Combine(folder, "regret_table.csv"))

let execute (arguments: ParseResults<TheoryArguments>) (cancel: CancellationToken) =
    match arguments.TryGetResult Simulate with
    | Some folder -> simulate arguments folder cancel
    | None ->
        let answer = compute arguments
        if arguments.Contains TheoryArguments.Json then
            json answer
        else
            print answer
            Option.iter (printTraces answer) answer.Traces
