namespace OptimalStopping.Reports

open System

/// The speculative experiment as HTML tables of the report.
module SpeculativeTables =

    let private number digits x = if Double.IsFinite x then Numbers.decimals (digits, x) else ""
    let private escape = ReportTables.escape
    let private interval digits x low high = $"{number digits x} <small>[{number digits low}, {number digits high}]</small>"
    let private heads (text: string) = text.Split '|'

    /// Fixed lengths: what was counted and what the formulas say.
    let private counts (data: RunData) =
        let rows =
            data.SpeculationCounts
            |> Array.map (fun c ->
                [| escape c.Target
                   escape c.Chain
                   string c.Length
                   number 3 c.Acceptance
                   number 3 c.TokensPerForward
                   number 3 c.FormulaFinite
                   number 3 c.Formula
                   Numbers.pValue c.IndependenceP
                   string c.Different |])
        ReportTables.table (
            heads
                "target|chain|draft length|acceptance|tokens per forward|formula, answers end|formula, endless|p of independence|tokens that differ",
            rows
        )

    let private times (data: RunData) =
        let rows =
            data.SpeculationTimes
            |> Array.map (fun t ->
                [| escape t.Target
                   escape t.Chain
                   escape t.Length
                   number 2 t.TokensPerForward
                   number 1 (1e6 * t.SecondsPerToken)
                   interval 2 t.Speedup t.SpeedupLow t.SpeedupHigh
                   number 2 t.Formula |])
        ReportTables.table (heads "target|chain|draft length|tokens per forward|µs per token|speed-up|by the formula", rows)

    let private adaptive (data: RunData) =
        let lengths even odd = if even = odd then string even else $"{even}, {odd}"
        let rows =
            data.SpeculationAdaptive
            |> Array.map (fun a ->
                [| escape a.Target
                   escape a.Chain
                   lengths a.BestEven a.BestOdd
                   interval 3 a.AgainstBest a.AgainstBestLow a.AgainstBestHigh
                   interval 3 a.Total a.TotalLow a.TotalHigh
                   interval 3 a.Fresh a.FreshLow a.FreshHigh
                   lengths a.WorstEven a.WorstOdd
                   interval 2 a.AgainstWorst a.AgainstWorstLow a.AgainstWorstHigh
                   interval 3 a.Twin a.TwinLow a.TwinHigh |])
        ReportTables.table (
            heads
                "target|chain|best length|its time over adaptive's|by means|from nothing|worst length|its time over adaptive's|length 3 over itself",
            rows
        )

    let private signals (data: RunData) =
        let rows =
            data.DraftFeatures
            |> Array.map (fun s ->
                [| escape s.Drafter
                   escape s.Verifier
                   number 3 s.AcceptedFraction
                   number 3 s.ForwardsShare
                   number 4 s.AurocWithout
                   number 4 s.AurocWith
                   number 4 s.BrierWithout
                   number 4 s.BrierWith |])
        ReportTables.table (
            heads "drafter|verifier|accepted|forwards, share|AUROC without|with the verdict|Brier without|with the verdict",
            rows
        )

    /// All of them, with what they mean.
    let all (data: RunData) : string =
        "<p>Answers are token for token those of the target alone. All rows took turns on each prompt. Times are "
        + "sums of each prompt's median over rounds, with 95 % bootstrap intervals over the prompts; they are this machine's.</p>\n"
        + (if data.SpeculationTimes.Length > 0 then times data else "")
        + "<p>The adaptive draft length against fixed ones: above 1 it is faster. The best and the worst length are chosen on one half "
        + "of the rounds and timed on the other, both ways round. By means, what adaptive spends on planning counts too; from nothing, "
        + "so does what it learns in the first requests of a server. The last "
        + "column times two decoders that do not differ: what the measurement can tell apart.</p>\n"
        + (if data.SpeculationAdaptive.Length > 0 then adaptive data else "")
        + "<p>Tokens per forward of the target against the formula at the measured acceptance rate. The formula assumes that "
        + "acceptance is the same at every position of a draft; a small p says that it is not.</p>\n"
        + (if data.SpeculationCounts.Length > 0 then counts data else "")
        + "<p>A later stage that verifies the earlier stage's answer: share of the forwards that it still makes, and what its "
        + "opinion of the draft adds to the confidence in its own answer.</p>\n"
        + (if data.DraftFeatures.Length > 0 then signals data else "")
