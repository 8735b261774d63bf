/// The results that the README quotes, written from the files of a run, so that no number in it is typed.
module OptimalStopping.Maintenance.ReadmeBlock

open System
open System.Globalization
open System.IO
open OptimalStopping.Runtime
open OptimalStopping.Reports

let private first = "<!-- results: written by `dotnet run --project tools/Maintenance -- readme DIR`; do not edit -->"
let private last = "<!-- end of results -->"

let private number digits (x: float) = x.ToString("F" + string<int> digits, CultureInfo.InvariantCulture)

/// The block's text from headline.csv, table1.csv, figure1a_slopes.csv, regret_checks.csv and calibration.csv of a run.
let text (dir: string) : string =
    let read name columns = Csv.read (Path.Combine(dir, name), columns)
    let headline = read "headline.csv" [| "metric"; "value"; "low"; "high" |]
    let metric name =
        match headline |> Array.tryFind (fun r -> r.Text "metric" = name) with
        | Some row -> row
        | None -> raise (ToolkitException $"""{Path.Combine(dir, "headline.csv")}: expected the metric '{name}', got none""")
    let value digits scale name =
        let row = metric name
        let shown (x: float) = number digits (scale * x)
        let low, high = row.NumberOrNaN "low", row.NumberOrNaN "high"
        if Double.IsNaN low then shown (row.Number "value") else $"""{shown (row.Number "value")} [{shown low}, {shown high}]"""
    let percent = value 1 100.0
    let models =
        headline
        |> Array.map (fun r -> r.Text "metric")
        |> Array.filter _.StartsWith("accuracy ", StringComparison.Ordinal)
        |> Array.map _.Substring(9)
    let calibration = read "calibration.csv" [| "model"; "signal"; "auroc"; "ece" |]
    let signal model name column digits =
        let row = calibration |> Array.find (fun r -> r.Text "model" = model && r.Text "signal" = name)
        number digits (row.Number column)
    let slopes = read "figure1a_slopes.csv" [| "instance"; "learner"; "slope"; "regret_final"; "bound_final"; "t_final" |]
    let checks = read "regret_checks.csv" [| "instance"; "learner"; "bound_holds"; "certificate_holds" |]
    let nest = slopes |> Array.find (fun r -> r.Text "instance" = "recorded" && r.Text "learner" = "nest")
    let ucb = slopes |> Array.find (fun r -> r.Text "instance" = "recorded" && r.Text "learner" = "ucb1")
    let holding column =
        let rows = checks |> Array.filter (fun r -> not (Double.IsNaN(r.NumberOrNaN column)))
        $"{rows |> Array.filter (fun r -> r.Number column = 1.0) |> Array.length} of {rows.Length}"
    let lines =
        [ yield first
          yield ""
          yield "On 4,000 held-out queries, with 95 % bootstrap intervals:"
          yield ""
          yield "| | accuracy, % | AUROC of calibrated confidence | ECE |"
          yield "|---|---|---|---|"
          for model in models do
              let auroc, ece = signal model "calibrated" "auroc" 3, signal model "calibrated" "ece" 3
              let accuracy = percent $"accuracy {model}"
              yield $"| {model} alone | {accuracy} | {auroc} | {ece} |"
          yield $"""| **adaptive, at the point that calibration chose** | **{percent "chosen accuracy"}** | | |"""
          yield ""
          yield
              $"""- The adaptive policy keeps **{percent "chosen share of the largest model's accuracy"} %%** of the largest model's accuracy at **{percent "chosen share of the largest model's cost"} %%** of its cost."""
          let auc = value 2 100.0
          yield
              $"""- Area under quality against cost, x 100: the adaptive policy {auc "auc jump-recall"}, threshold per stage {auc "auc threshold-per-stage"}, best pairs of models {auc "auc pair-envelope"}, full chain {auc "auc chain"}, one threshold {auc "auc threshold"}, random {auc "auc random"}; oracle (not attainable) {auc "auc oracle"}."""
          let lead name =
              let points, cost = value 2 100.0 $"least lead over {name}", value 2 1.0 $"least lead over {name} at cost"
              $"{points} points (at cost {cost})"
          yield
              $"""- Least lead of its front over the whole range of costs: over random {lead "random"}, over one threshold {lead "threshold"}. Where the fronts meet, near the largest model's accuracy, a lead is a few queries in 4,000, and its sign changes with `--seed`."""
          yield
              $"""- Regret after {number 0 (nest.Number "t_final")} queries drawn from the recorded outcomes: NEST {number 0 (nest.Number "regret_final")} (its bound, Theorem 4: {number 0 (nest.Number "bound_final")}; log-log slope {number 2 (nest.Number "slope")}), UCB1 over fixed depths {number 0 (ucb.Number "regret_final")} (slope {number 2 (ucb.Number "slope")})."""
          yield
              $"""- Mean regret stays under its bound at every checkpoint for {holding "bound_holds"} learners and instances; the certificate covers the realised regret in every run for {holding "certificate_holds"}."""
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
