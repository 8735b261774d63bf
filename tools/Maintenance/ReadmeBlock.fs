/// The results that the README quotes, written from the files of a run, so that no number in it is typed.
module OptimalStopping.Maintenance.ReadmeBlock

open System
open System.Globalization
open System.IO
open OptimalStopping.Experiments
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Reports

let private first = "<!-- results: written by `dotnet run --project tools/Maintenance -- readme DIR`; do not edit -->"
let private last = "<!-- end of results -->"

let private number digits (x: float) = x.ToString("F" + string<int> digits, CultureInfo.InvariantCulture)

/// The block's text from headline.csv, table1.csv, figure1a_slopes.csv, regret_checks.csv and calibration.csv of a run.
let text (dir: string) : string =
    let data = RunData.Load dir
    let headline = data.Table<HeadlineNumber>()
    let metric name =
        match data.Headline name with
        | null ->
            raise (
                ToolkitException $"""{Path.Combine(dir, ResultTable.FileOf<HeadlineNumber>())}: expected the metric '{name}', got none"""
            )
        | row -> row
    let value digits scale name =
        let row = metric name
        let shown (x: float) = number digits (scale * x)
        if Double.IsNaN row.Low then shown row.Value else $"{shown row.Value} [{shown row.Low}, {shown row.High}]"
    let percent = value 1 100.0
    let calibrated model = data.Table<FeatureQuality>() |> Array.find (fun s -> s.Model = model && s.Feature = "calibrated")
    let recorded learner = data.Table<RegretGrowth>() |> Array.find (fun s -> s.Instance = "recorded" && s.Learner = learner)
    let nest, ucb = recorded "nest", recorded "ucb1"
    let checks = data.Table<RegretCheck>()
    let holding (verdict: RegretCheck -> Nullable<bool>) =
        let rows = checks |> Array.filter (fun r -> (verdict r).HasValue)
        $"{rows |> Array.filter (fun r -> (verdict r).Value) |> Array.length} of {rows.Length}"
    let lines =
        [ yield first
          yield ""
          yield "On 4,000 held-out queries, with 95 % bootstrap intervals:"
          yield ""
          yield "| | accuracy, % | AUROC of calibrated confidence | ECE |"
          yield "|---|---|---|---|"
          for model in data.HeadlineModels do
              let signal = calibrated model
              let accuracy = percent $"{HeadlineNumber.AccuracyOf}{model}"
              yield $"| {model} alone | {accuracy} | {number 3 signal.Auroc} | {number 3 signal.Ece} |"
          yield $"""| **adaptive, at the point that calibration chose** | **{percent "chosen accuracy"}** | | |"""
          yield ""
          yield
              $"""- The adaptive policy keeps **{percent "chosen share of the largest model's accuracy"} %%** of the largest model's accuracy at **{percent "chosen share of the largest model's cost"} %%** of its cost."""
          let auc = value 2 100.0
          let areas =
              [ for row in headline do
                    if row.Metric.StartsWith(HeadlineNumber.AreaOf, StringComparison.Ordinal) then
                        $"{PolicyRegistry.Label(row.Metric.Substring HeadlineNumber.AreaOf.Length)} {auc row.Metric}" ]
          let areas = String.Join(", ", areas)
          yield $"- Area under quality against cost, x 100: {areas}."
          let lead name =
              let points, cost = value 2 100.0 $"least lead over {name}", value 2 1.0 $"least lead over {name} at cost"
              $"{points} points (at cost {cost})"
          yield
              $"""- Least lead of the default's front over the whole range of costs: over random {lead "random"}, over one threshold {lead "threshold"}. Where the fronts meet, near the largest model's accuracy, a lead is a few queries in 4,000, and its sign changes with `--seed`."""
          yield
              $"""- Regret after {number 0 nest.TFinal} queries drawn from the recorded outcomes: NEST {number 0 nest.RegretFinal} (its bound, Theorem 4: {number 0 nest.BoundFinal}; log-log slope {number 2 nest.Slope}), UCB1 over fixed depths {number 0 ucb.RegretFinal} (slope {number 2 ucb.Slope})."""
          yield
              $"""- Mean regret stays under its bound at every checkpoint for {holding _.BoundHolds} learners and instances; the certificate covers the realised regret in every run for {holding _.CertificateHolds}."""
          yield ""
          yield last ]
    String.Join("\n", lines)

/// Replaces the block between its two marks in a README. A file without both marks is a ToolkitException.
let write (dir: string, readme: string) : unit =
    let old = File.ReadAllText readme
    let start, stop = old.IndexOf first, old.IndexOf last
    if start < 0 || stop < start then
        raise (ToolkitException $"{readme}: expected the lines '{first}' and '{last}', got none")
    Export.write (readme, Text.Encoding.UTF8.GetBytes(old[.. start - 1] + text dir + old[stop + last.Length ..])) |> ignore
