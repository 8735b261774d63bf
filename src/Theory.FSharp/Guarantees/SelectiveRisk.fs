namespace OptimalStopping.Theory

open System

/// Answering only where one is sure enough: of the answers that are given, the expected loss is at most alpha, with confidence
/// 1 - delta over M calibration queries (Proposition "selective risk" of the paper). What an answer that is withheld would have lost does not
/// count. Assumptions: (i.i.d.) the queries are drawn independently from the distribution of those to come; (beforehand) what decides
/// whether an answer is given, and the order of the levels, were fixed without looking at their losses.
[<RequireQualifiedAccess>]
module SelectiveRisk =

    /// p-value for "the expected loss of an answer that is given exceeds alpha", in (0,1) and valid for any losses in [0,1]. Given which
    /// answers are given, their losses are i.i.d., so a test of their mean is valid. With `binary` it is the exact binomial one
    /// of "loss above 0" (sharper for losses of 0 and 1; it counts a part of a loss as a whole one); otherwise the betting one. Which of the two
    /// must not be chosen by these losses. 1 where no answer is given.
    /// losses[query], given[query]; delta is the level that the betting test is sharpest at.
    [<CompiledName "PValue">]
    let pValue (losses: float[], given: bool[], alpha: float, delta: float, binary: bool) : float =
        if given.Length <> losses.Length then
            raise (ArgumentException($"expected {losses.Length}, one for each loss, got {given.Length}", nameof given))
        let own = Array.zip losses given |> Array.filter snd |> Array.map fst
        if own.Length = 0 then 1.0
        elif binary then RiskControl.binomial (own |> Array.filter (fun loss -> loss > 0.0) |> Array.length, own.Length, alpha)
        else RiskControl.betting (own, alpha, delta)

    /// How many levels pass, by the fixed-sequence rule: given[level][query] says whether the level gives the answer. With
    /// probability at least 1 - delta every level passed has an expected loss of at most alpha among the answers that it
    /// gives (or gives none); the last one passed gives most where levels grow.
    [<CompiledName "Passed">]
    let passed (losses: float[], given: bool[][], alpha: float, delta: float, binary: bool) : int =
        1 + RiskControl.fixedSequence (given |> Array.map (fun level -> pValue (losses, level, alpha, delta, binary)), delta)

    /// Where to begin the sequence: the level whose p-value is the least on OTHER losses than those that `passed` is to see. More
    /// careful levels give fewer answers, which show less; they are not worth a test. 0 for no level.
    [<CompiledName "Clearest">]
    let clearest (losses: float[], given: bool[][], alpha: float, delta: float, binary: bool) : int =
        if given.Length = 0 then
            0
        else
            let values = given |> Array.map (fun level -> pValue (losses, level, alpha, delta, binary))
            Array.IndexOf(values, Array.min values)
