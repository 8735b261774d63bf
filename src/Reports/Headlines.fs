namespace OptimalStopping.Reports

open System

/// One headline number of the report: the number, what it is, and the fine print that makes it honest.
type Headline = { Value: string; Meaning: string; Detail: string }

/// The numbers that a reader wants first. Each is computed from the tables of the run; where a table is missing, or the
/// number is not defined, there is no headline.
module Headlines =

    let private percent (x: float) = Numbers.decimals (1, 100.0 * x) + " %"

    /// The point that headline.csv holds, which the README quotes too. A point read off the test curve would look better
    /// than it is, and would contradict it.
    let private saving (data: RunData) =
        let number = RunData.headline data
        let accuracy, cost = "chosen share of the largest model's accuracy", "chosen share of the largest model's cost"
        match number accuracy, number cost, number "chosen accuracy", number "chosen cost" with
        | Some share, Some price, Some quality, Some spent ->
            let interval (n: HeadlineNumber) =
                if Double.IsNaN n.Low || Double.IsNaN n.High then
                    ""
                else
                    $" [{Numbers.decimals (1, 100.0 * n.Low)}, {Numbers.decimals (1, 100.0 * n.High)}]"
            let largest = RunData.modelName data (RunData.headlineModels data).Length
            Some
                { Value = percent price.Value
                  Meaning = $"of the cost of {largest} keeps {percent share.Value}{interval share} of its quality"
                  Detail =
                    $"quality {Numbers.decimals (3, quality.Value)} of {Numbers.decimals (3, quality.Value / share.Value)} at cost "
                    + $"{Numbers.decimals (2, spent.Value)} of {Numbers.decimals (2, spent.Value / price.Value)}; test queries, "
                    + "at a point chosen on calibration queries" }
        | _ -> None

    let private comparisons (data: RunData) =
        if data.Comparisons.Length = 0 then
            None
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
                if Double.IsNaN s.BoundFinal then
                    ""
                else
                    $"; bound {Numbers.decimals (0, s.BoundFinal)}" + (if s.Theorem = "" then "" else $" ({s.Theorem})")
            let slope =
                if Double.IsNaN s.Slope then
                    ""
                else
                    $"; log-log slope {Numbers.decimals (2, s.Slope)} "
                    + $"[{Numbers.decimals (2, s.SlopeLow)}, {Numbers.decimals (2, s.SlopeHigh)}]"
            { Value = Numbers.decimals (4, s.RegretFinal / s.TFinal)
              Meaning = $"regret per query after {Numbers.grouped s.TFinal} recorded queries ({s.Learner})"
              Detail = $"cumulative regret {Numbers.decimals (1, s.RegretFinal)}{bound}{slope}" })

    /// All headlines that the run allows.
    let all (data: RunData) : Headline[] = [| saving data; comparisons data; regret data |] |> Array.choose id
