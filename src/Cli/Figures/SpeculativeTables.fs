namespace OptimalStopping.Cli.Plots

open System

/// The speculative experiment as HTML tables of the report.
module SpeculativeTables =

    let private number digits x = if Double.IsFinite x then Numbers.decimals (digits, x) else ""
    let private escape = ReportTables.escape
    let private heads (text: string) = text.Split '|'

    /// Fixed lengths: what was counted and what the formulas say.
    let private counts (data: RunData) =
        let rows =
            data.SpeculationCounts
            |> Array.map (fun c ->
                [| escape c.Target; escape c.Chain; string c.Length; number 3 c.Acceptance; number 3 c.TokensPerForward
                   number 3 c.FormulaFinite; number 3 c.Formula; Numbers.pValue c.IndependenceP; string c.Different |])
        ReportTables.table (heads "target|chain|draft length|acceptance|tokens per forward|formula, answers end|formula, endless|p of independence|tokens that differ", rows)

    let private times (data: RunData) =
        let rows =
            data.SpeculationTimes
            |> Array.map (fun t ->
                [| escape t.Target; escape t.Chain; escape t.Length; number 2 t.TokensPerForward; number 1 (1e6 * t.SecondsPerToken)
                   $"{number 2 t.Speedup} <small>[{number 2 t.SpeedupLow}, {number 2 t.SpeedupHigh}]</small>"; number 2 t.Formula |])
        ReportTables.table (heads "target|chain|draft length|tokens per forward|µs per token|speed-up|by the formula", rows)

    let private signals (data: RunData) =
        let rows =
            data.DraftSignals
            |> Array.map (fun s ->
                [| escape s.Drafter; escape s.Verifier; number 3 s.AcceptedFraction; number 3 s.ForwardsShare
                   number 4 s.AurocWithout; number 4 s.AurocWith; number 4 s.BrierWithout; number 4 s.BrierWith |])
        ReportTables.table (heads "drafter|verifier|accepted|forwards, share|AUROC without|with the verdict|Brier without|with the verdict", rows)

    /// All of them, with what they mean.
    let all (data: RunData) : string =
        "<p>Answers are token for token those of the target alone. Times are medians of rounds in which all rows took turns, "
        + "with the least and greatest round in brackets; they are this machine's.</p>\n"
        + (if data.SpeculationTimes.Length > 0 then times data else "")
        + "<p>Tokens per forward of the target against the formula at the measured acceptance rate. The formula assumes that "
        + "acceptance is the same at every position of a draft; a small p says that it is not.</p>\n"
        + (if data.SpeculationCounts.Length > 0 then counts data else "")
        + "<p>A later stage that verifies the earlier stage's answer: share of the forwards that it still makes, and what its "
        + "opinion of the draft adds to the confidence in its own answer.</p>\n"
        + (if data.DraftSignals.Length > 0 then signals data else "")
