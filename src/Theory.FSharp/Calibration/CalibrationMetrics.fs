namespace OptimalStopping.Theory

open System

/// One bar of a reliability diagram: how many predictions fell in [Low, High], their mean, and the mean label.
[<Struct>]
type ReliabilityBin = { Low: float; High: float; Count: int; MeanPrediction: float; MeanLabel: float }

/// How good predicted probabilities in [0,1] are against labels in [0,1] (0/1, or a graded quality). Same lengths >= 1.
[<RequireQualifiedAccess>]
module CalibrationMetrics =

    /// Brier score: mean squared error (Brier 1950), in [0,1].
    [<CompiledName "Brier">]
    let brier (probabilities: float[], labels: float[]) : float =
        Labelled.checkProbabilities probabilities labels
        Array.fold2 (fun total p y -> total + (p - y) * (p - y)) 0.0 probabilities labels / float labels.Length

    /// Mean of -(y ln p + (1-y) ln(1-p)) in nats, with p held inside [1e-12, 1 - 1e-12].
    [<CompiledName "LogLoss">]
    let logLoss (probabilities: float[], labels: float[]) : float =
        Labelled.checkProbabilities probabilities labels
        let term (p: float) y =
            let p = Math.Clamp(p, 1e-12, 1.0 - 1e-12)
            -(y * log p + (1.0 - y) * log (1.0 - p))
        Array.fold2 (fun total p y -> total + term p y) 0.0 probabilities labels / float labels.Length

    let private requireBins (bins: int) = if bins < 1 then raise (ArgumentOutOfRangeException("bins", bins, "expected at least 1"))

    let private summarise (low: float) (high: float) (members: (float * float)[]) =
        let mean (pick: float * float -> float) = if members.Length = 0 then nan else Array.averageBy pick members
        { Low = low; High = high; Count = members.Length; MeanPrediction = mean fst; MeanLabel = mean snd }

    /// Reliability bins of equal width 1/bins over [0,1]; the last holds 1. Empty bins have Count 0 and NaN means.
    [<CompiledName "ReliabilityEqualWidth">]
    let reliabilityEqualWidth (probabilities: float[], labels: float[], bins: int) : ReliabilityBin[] =
        Labelled.checkProbabilities probabilities labels
        requireBins bins
        let cells = Array.init bins (fun _ -> ResizeArray())
        Array.iter2 (fun p y -> cells[min (bins - 1) (int (p * float bins))].Add((p, y))) probabilities labels
        cells |> Array.mapi (fun i cell -> summarise (float i / float bins) (float (i + 1) / float bins) (cell.ToArray()))

    /// Reliability bins that hold as equal shares of the predictions as ties allow (equal predictions stay together);
    /// Low and High are the extreme predictions of the bin. None is empty, and there may be fewer than asked for.
    [<CompiledName "ReliabilityEqualMass">]
    let reliabilityEqualMass (probabilities: float[], labels: float[], bins: int) : ReliabilityBin[] =
        Labelled.checkProbabilities probabilities labels
        let edges = HistogramBinning.equalMassEdges (probabilities, bins)
        let binning = { Edges = edges; Values = Array.zeroCreate (edges.Length + 1) }
        Array.zip probabilities labels
        |> Array.groupBy (fun (p, _) -> binning.Bin p)
        |> Array.sortBy fst
        |> Array.map (fun (_, cell) ->
            let predictions = Array.map fst cell
            summarise (Array.min predictions) (Array.max predictions) cell)

    let private expectedError (bins: ReliabilityBin[]) =
        let gap bin = if bin.Count = 0 then 0.0 else float bin.Count * abs (bin.MeanPrediction - bin.MeanLabel)
        Array.sumBy gap bins / float (bins |> Array.sumBy (fun bin -> bin.Count))

    /// Expected calibration error over bins of equal width (Naeini et al. 2015): the count-weighted mean gap, in [0,1].
    [<CompiledName "EceEqualWidth">]
    let eceEqualWidth (probabilities: float[], labels: float[], bins: int) : float =
        expectedError (reliabilityEqualWidth (probabilities, labels, bins))

    /// Expected calibration error over bins of equal mass: less biased where the predictions crowd near 1.
    [<CompiledName "EceEqualMass">]
    let eceEqualMass (probabilities: float[], labels: float[], bins: int) : float =
        expectedError (reliabilityEqualMass (probabilities, labels, bins))

    /// Area under the ROC curve: P(signal of a right answer > signal of a wrong one), ties counting one half
    /// (Mann and Whitney). A label y in (0,1) counts as mass y right and 1-y wrong. Signals need not be probabilities.
    /// NaN when all labels are 0 or all are 1: there is nothing to tell apart.
    [<CompiledName "Auroc">]
    let auroc (signals: float[], labels: float[]) : float =
        Labelled.check (nameof signals) signals labels
        let right = Array.sum labels
        let wrong = float labels.Length - right
        let order = Array.init signals.Length id |> Array.sortBy (fun i -> signals[i])
        let mutable area, wrongBelow, first = 0.0, 0.0, 0
        while first < order.Length do
            let mutable next, tiedRight, tiedWrong = first, 0.0, 0.0
            while next < order.Length && signals[order[next]] = signals[order[first]] do
                tiedRight <- tiedRight + labels[order[next]]
                tiedWrong <- tiedWrong + (1.0 - labels[order[next]])
                next <- next + 1
            area <- area + tiedRight * (wrongBelow + 0.5 * tiedWrong)
            wrongBelow <- wrongBelow + tiedWrong
            first <- next
        if right <= 0.0 || wrong <= 0.0 then nan else area / (right * wrong)
