namespace OptimalStopping.Maintenance.Paper

open System
open System.IO
open OptimalStopping.Runtime
open OptimalStopping.Theory
open OptimalStopping.Reports
open OptimalStopping.Experiments

/// The numbers that the paper's text quotes, by the name under which `\result{NAME}` prints them.
module TexNumbers =

    /// 12345 as 12,345, with LaTeX's spacing.
    let grouped (x: float) : string = (Numbers.grouped x).Replace(",", "{,}")

    let private scientific (x: float) =
        let exponent = floor (log10 x)
        $@"\ensuremath{{{Numbers.decimals (1, x / 10.0 ** exponent)}\times10^{{{exponent}}}}}"

    /// The first horizon among 1, 1.1, 1.2, ..., 9.9 times powers of ten at which a property holds.
    let private firstHorizon (holds: int -> bool) =
        seq {
            for e in 3..8 do
                for d in 10..99 -> int (float d / 10.0 * 10.0 ** float e)
        }
        |> Seq.find holds
        |> float

    /// What the text says of Theorems 7 and 9 at n = 4, computed by the functions that the theorems describe.
    let theory () : (string * string)[] =
        let range, horizon = 1.3, 100_000
        let branches t = Regret.optStopBranches (4, 10, t, range, 3.0 * float t)
        let at = branches horizon
        let policyClass logN = SampleComplexity.samplesFor (range, logN, 0.05, 0.05) |> float |> grouped
        [| "thm7-range", Numbers.parameter range
           "thm7-bernstein", scientific at.Bernstein
           "thm7-hoeffding", scientific at.Hoeffding
           "thm7-trivial", scientific (range * float horizon)
           "thm7-first", scientific (firstHorizon (fun t -> not (Regret.optStop (4, 10, t, range)).Vacuous))
           "thm7-first-m5", scientific (firstHorizon (fun t -> not (Regret.optStop (4, 5, t, range)).Vacuous))
           "thm7-bernstein-first", scientific (firstHorizon (fun t -> (branches t).Bernstein < range * float t))
           // Where the rate of the Bernstein branch pays: many stages.
           "thm7-bernstein-stages",
           seq { 2..1000 }
           |> Seq.tryFind (fun n ->
               let b = Regret.optStopBranches (n, 10, 1_000_000_000, range, float (n - 1) * 1e9)
               b.Bernstein < b.Hoeffding)
           |> Option.defaultValue 1000
           |> string
           "thm9-thresholds", policyClass (SampleComplexity.logThresholdPolicies (4, 10))
           "thm9-class100", policyClass (log 100.0)
           "thm9-depths", policyClass (log 4.0) |]

    let private percent (x: float) = Numbers.decimals (1, 100.0 * x)

    let private interval (digits: int) (scale: float) (low: float) (high: float) =
        if Double.IsNaN low || Double.IsNaN high then
            ""
        else
            $" [{Numbers.decimals (digits, scale * low)}, {Numbers.decimals (digits, scale * high)}]"

    /// A row of headline.csv as text: its value times a scale, with its interval where it has one.
    let private metric (data: RunData) (name: string) digits scale =
        data.Headline name
        |> Option.ofObj
        |> Option.map (fun r -> Numbers.decimals (digits, scale * r.Value) + interval digits scale r.Low r.High)

    /// What the text says of the run itself. Names whose source the run does not have are left out; the paper then shows
    /// "[no run]" in their place.
    let ofRun (data: RunData) : (string * string)[] =
        let setting name = data.Settings |> Array.tryPick (fun (struct (key, value)) -> if key = name then Some value else None)
        let number name = setting name |> Option.map (fun text -> grouped (float text))
        let regret learner = data.Table<RegretGrowth>() |> Array.tryFind (fun s -> s.Instance = "recorded" && s.Learner = learner)
        let ofRegret learner (value: RegretGrowth -> string) = regret learner |> Option.map value
        let tested = data.Table<PolicyComparison>() |> Array.filter _.Tested
        let won wanted =
            if tested.Length = 0 then None else Some(string (tested |> Array.filter (fun r -> r.Verdict = wanted) |> Array.length))
        [| "toolkit", setting "toolkit"
           "commit", setting "commit" |> Option.map (fun c -> c[.. min 9 (c.Length - 1)])
           "seed", setting "settings.seed"
           "horizon", number "settings.horizon"
           "runs", setting "settings.runs"
           "resamples", number "settings.resamples"
           "bins", setting "settings.confidence_bins"
           "regret-price", setting "settings.regret_price"
           "table-price", setting "settings.table_price"
           "test-queries",
           (if tested.Length = 0 then
                None
            else
                Some(
                    Table1.pairs tested
                    |> fun s ->
                        (match Double.TryParse s with
                         | true, x -> grouped x
                         | _ -> s)
                ))
           "chosen-lambda", metric data "chosen lambda" 3 1.0
           "chosen-accuracy", metric data "chosen accuracy" 1 100.0
           "chosen-cost", metric data "chosen cost" 2 1.0
           "chosen-accuracy-share", metric data "chosen share of the largest model's accuracy" 1 100.0
           "chosen-cost-share", metric data "chosen share of the largest model's cost" 1 100.0
           "lead-random", metric data "least lead over random" 2 100.0
           "lead-random-cost", metric data "least lead over random at cost" 2 1.0
           "lead-threshold", metric data "least lead over threshold" 2 100.0
           "lead-threshold-cost", metric data "least lead over threshold at cost" 2 1.0
           "tests", (if tested.Length = 0 then None else Some(string tested.Length))
           "tests-won", won 1
           "tests-lost", won -1
           "tests-undecided", won 0
           "nest-regret", ofRegret "nest" (fun s -> grouped s.RegretFinal)
           "nest-bound", ofRegret "nest" (fun s -> grouped s.BoundFinal)
           "nest-slope", ofRegret "nest" (fun s -> Numbers.decimals (2, s.Slope))
           "ucb-regret", ofRegret "ucb1" (fun s -> grouped s.RegretFinal)
           "ucb-slope", ofRegret "ucb1" (fun s -> Numbers.decimals (2, s.Slope)) |]
        |> Array.choose (fun (name, value) -> value |> Option.map (fun v -> name, v))

    /// The same of a run on a recorded cascade, under names that begin with `recorded-`, with the areas that its paragraph quotes.
    let ofRecorded (data: RunData) : (string * string)[] =
        let areas =
            [| "default"; "recall"; "pair-envelope"; "chain"; "oracle" |]
            |> Array.choose (fun policy ->
                data.Headline $"{HeadlineNumber.AreaOf}{policy}"
                |> Option.ofObj
                |> Option.map (fun r -> $"auc-{policy}", Numbers.decimals (2, 100.0 * r.Value)))
        Array.append (ofRun data) areas |> Array.map (fun (name, value) -> $"recorded-{name}", value)

    /// generated/numbers.tex: one line for each number.
    let file (numbers: (string * string)[]) : string =
        [| yield "% Written by tools/Maintenance; do not edit."
           for name, value in numbers -> $@"\defresult{{{name}}}{{{value}}}"
           yield "" |]
        |> String.concat "\n"
