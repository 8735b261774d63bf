namespace OptimalStopping.Cli.Plots

open System

/// One headline number of the report: the number, what it is, and the fine print that makes it honest.
type Headline = { Value: string; Meaning: string; Detail: string }

/// The numbers that a reader wants first. Each is computed from the tables of the run; where a table is missing, or the
/// number is not defined, there is no headline.
module Headlines =

    /// The best model alone: highest quality, the cheapest of equals.
    let bestSingle (data: RunData) : OperatingPoint option =
        data.Tradeoff
        |> Array.filter (fun p -> Style.isFixed p.Policy)
        |> Array.sortBy (fun p -> -p.Quality, p.Cost)
        |> Array.tryHead

    /// The cheapest operating point of our policy that keeps a share of a given quality.
    let cheapestKeeping (data: RunData, share: float, quality: float) : OperatingPoint option =
        data.Tradeoff
        |> Array.filter (fun p -> p.Policy = Style.ours && p.Quality >= share * quality)
        |> Array.sortBy _.Cost
        |> Array.tryHead

    let private percent (x: float) = Numbers.decimals (0, 100.0 * x) + " %"

    let private name (data: RunData) (single: OperatingPoint) =
        RunData.modelName data (Style.fixedStage single.Policy)

    let private saving (data: RunData) =
        bestSingle data
        |> Option.bind (fun best ->
            let name = name data best
            match cheapestKeeping (data, 0.98, best.Quality) with
            | Some p ->
                Some
                    { Value = percent (p.Cost / best.Cost)
                      Meaning = $"of the cost of {name} keeps 98 %% of its quality"
                      Detail =
                        $"quality {Numbers.decimals (3, p.Quality)} at cost {Numbers.decimals (2, p.Cost)}, against "
                        + $"{Numbers.decimals (3, best.Quality)} at {Numbers.decimals (2, best.Cost)}; read off the test curve" }
            | None when data.Tradeoff |> Array.exists (fun p -> p.Policy = Style.ours) ->
                Some
                    { Value = "not reached"; Meaning = $"98 %% of the quality of {name}"
                      Detail = $"no operating point of our policy has quality {Numbers.decimals (3, 0.98 * best.Quality)}" }
            | None -> None)

    let private gain (data: RunData) =
        match bestSingle data with
        | None -> None
        | Some best ->
            data.Tradeoff
            |> Array.filter (fun p -> p.Policy = Style.ours && p.Cost <= best.Cost)
            |> Array.sortBy (fun p -> -p.Quality, p.Cost)
            |> Array.tryHead
            |> Option.map (fun p ->
                { Value = Numbers.signed (1, 100.0 * (p.Quality - best.Quality)) + " points"
                  Meaning = $"of quality against {name data best}, at no higher cost"
                  Detail =
                    $"best point of our policy: quality {Numbers.decimals (3, p.Quality)} "
                    + $"[{Numbers.decimals (3, p.QualityLow)}, {Numbers.decimals (3, p.QualityHigh)}] "
                    + $"at cost {Numbers.decimals (2, p.Cost)}; read off the test curve" })

    let private comparisons (data: RunData) =
        if data.Comparisons.Length = 0 then None
        else
            let tested = data.Comparisons |> Array.filter Table1.tested
            let count wanted = tested |> Array.filter (fun row -> Table1.verdict row = wanted) |> Array.length
            Some
                { Value = $"{count 1} of {tested.Length}"
                  Meaning = "comparisons with baselines won significantly"
                  Detail =
                    $"{count -1} lost significantly, {count 0} undecided; permutation tests on "
                    + $"{Table1.pairs data.Comparisons} pairs, Holm-adjusted p below {Numbers.parameter Table1.level}" }

    let private regret (data: RunData) =
        data.Slopes
        |> Array.filter (fun s -> not (RunData.isSimulated s.Instance))
        |> Array.sortBy (fun s -> if Style.isOurLearner s.Learner then 0 else 1)
        |> Array.tryHead
        |> Option.map (fun s ->
            let bound =
                if Double.IsNaN s.BoundFinal then ""
                else $"; bound {Numbers.decimals (0, s.BoundFinal)}" + (if s.Theorem = "" then "" else $" ({s.Theorem})")
            let slope =
                if Double.IsNaN s.Slope then ""
                else
                    $"; log-log slope {Numbers.decimals (2, s.Slope)} "
                    + $"[{Numbers.decimals (2, s.SlopeLow)}, {Numbers.decimals (2, s.SlopeHigh)}]"
            { Value = Numbers.decimals (4, s.RegretFinal / s.TFinal)
              Meaning = $"regret per query after {Numbers.grouped s.TFinal} recorded queries ({s.Learner})"
              Detail = $"cumulative regret {Numbers.decimals (1, s.RegretFinal)}{bound}{slope}" })

    /// All headlines that the run allows.
    let all (data: RunData) : Headline[] =
        [| saving data; gain data; comparisons data; regret data |] |> Array.choose id
